"""Read what others send to a workflow by hand, tolerantly: no payload may ever wedge a task.

The SDK hands a parameter annotated exactly ``RawValue`` (default None) every payload, whatever its encoding. It forgets
the annotation for a signature with ``*args``, and raises for a second argument without it, so `lenient` shows it one
parameter and accepts any number (measured on temporalio 1.35).
"""

import functools
import json
from collections.abc import Callable
from inspect import iscoroutinefunction, signature
from typing import Any, NoReturn, TypeVar, cast

from temporalio.common import RawValue

from core.record import Json
from core.values import unfit_values

Handler = TypeVar("Handler", bound=Callable[..., Any])


class Undecodable(ValueError):
    """A payload that is no JSON, or holds what cannot be passed on, or several where one is expected."""


def lenient(handler: Handler) -> Handler:
    """Let a handler with one parameter, or none, be called with none, one or several."""
    wanted = len(signature(handler).parameters) - 1
    if iscoroutinefunction(handler):

        @functools.wraps(handler)
        async def run(self: object, *args: object) -> object:
            return await handler(self, *_one(args)[:wanted])

        return cast("Handler", run)

    @functools.wraps(handler)
    def call(self: object, *args: object) -> object:
        return handler(self, *_one(args)[:wanted])

    return cast("Handler", call)


def _one(args: tuple[object, ...]) -> tuple[object, ...]:
    return args if len(args) <= 1 else (list(args),)


def read(raw: object) -> Json:
    """Decode what others sent. What could not be passed on (half a surrogate pair, an infinity, a number beyond 2^53,
    endless nesting) would fail every later workflow task, so it ends here. Raises Undecodable.
    """
    value = decode(raw)
    for where, problem in unfit_values(value):
        raise Undecodable(f"{where or 'it'}: {problem}")
    return value


def decode(raw: object) -> Json:
    """Decode what `lenient` passed on. Raises Undecodable."""
    if raw is None:
        return None
    if not isinstance(raw, RawValue):
        raise Undecodable("several arguments where one is expected")
    encoding = raw.payload.metadata.get("encoding", b"").decode("ascii", "replace")
    if encoding == "binary/null":
        return None
    try:
        return json.loads(raw.payload.data, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        shown = raw.payload.data[:60]
        raise Undecodable(f"{shown!r} (encoding {encoding or 'unknown'}) is no JSON") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
