"""The stage of the trials in bulk: the agent `bulk`, a counter that honours no key, a folder for the while."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from trials.counter import counting
from trials.stage import Stage, staged

AGENTS = Path(__file__).with_name("agents")


@asynccontextmanager
async def staged_in_bulk() -> AsyncIterator[Stage]:
    """Set the stage for one part."""
    async with counting() as counter:
        with tempfile.TemporaryDirectory(prefix="lastmile-trial-") as folder:
            async with staged(Path(folder), AGENTS, counter) as stage:
                yield stage
