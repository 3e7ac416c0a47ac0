"""Heartbeats for as long as an activity runs, whatever it waits for: a worker that was killed is noticed within 3 s."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from temporalio import activity

_BEAT = 1.0  # seconds; most calls are over before the first one, which would cost the server a request


@contextmanager
def beating() -> Iterator[None]:
    """Send a heartbeat every second while the block runs; a local activity has none to send."""
    if activity.info().is_local:
        yield
        return
    loop = asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = []

    def beat() -> None:
        activity.heartbeat()
        timers[:] = [loop.call_later(_BEAT, beat)]

    timers.append(loop.call_later(_BEAT, beat))
    try:
        yield
    finally:
        timers[0].cancel()
