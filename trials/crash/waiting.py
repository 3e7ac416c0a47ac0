"""Waiting for facts of other processes, which can only be looked for."""

import asyncio
from collections.abc import Awaitable, Callable

Fact = Callable[[], Awaitable[bool]]


async def until(holds: Fact, every_s: float = 0.05) -> None:
    """Wait until a fact holds, for as long as whoever waits has time."""
    while not await holds():  # noqa: ASYNC110 - see above
        await asyncio.sleep(every_s)
