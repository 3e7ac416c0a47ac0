"""Heartbeats for as long as an activity runs, whatever it waits for: a worker that was killed is noticed within 3 s."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio import activity

_BEAT = 1.0  # seconds


@asynccontextmanager
async def beating() -> AsyncIterator[None]:
    """Send a heartbeat every second while the block runs; a local activity has none to send."""
    task = asyncio.create_task(_beat())
    try:
        yield
    finally:
        task.cancel()


async def _beat() -> None:
    while not activity.info().is_local:
        activity.heartbeat()
        await asyncio.sleep(_BEAT)
