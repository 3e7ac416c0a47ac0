"""Errors of sockets, names and clocks: Python's own, anyio's, and those that libraries wrap."""

import asyncio
import socket
from collections.abc import Callable

from core.ports import Sorted
from tools.sorting.words import not_sent, unknown

_NOBODY_ANSWERED = ("Multiple exceptions: [Errno", "All connection attempts failed")
"""How asyncio (several addresses of one host) and anyio say that no connection could be opened."""


_KINDS: tuple[tuple[type[BaseException], Callable[..., Sorted], str], ...] = (
    (ConnectionRefusedError, not_sent, "connect_failed"),
    (socket.gaierror, not_sent, "name_not_found"),
    (asyncio.CancelledError, unknown, "cancelled"),
    (TimeoutError, unknown, "timeout"),
    (ConnectionError, unknown, "connection_lost"),
)


def sort_network(error: BaseException) -> Sorted | None:
    """Sort an error of the operating system; None for another kind."""
    for kind, verdict, code in _KINDS:
        if isinstance(error, kind):
            return verdict(code, error)
    if isinstance(error, OSError) and str(error).startswith(_NOBODY_ANSWERED):
        return not_sent("connect_failed", error)
    return None
