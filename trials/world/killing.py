"""Kills one of the workers now and then, for as long as tasks run."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from trials.recovery.crew import Crew


@dataclass(slots=True)
class Killer:
    """``every_s``: seconds between kills, drawn between half and one and a half of it; the first one comes sooner."""

    crew: Crew
    dice: random.Random
    every_s: float
    killed: list[int] = field(default_factory=list)

    async def rage(self) -> None:
        """Kill until cancelled; another worker always polls."""
        pause = self.every_s * self.dice.uniform(0, 0.5)  # a sample is over soon
        while True:
            await asyncio.sleep(pause)
            await self.crew.complete()
            pid = self.dice.choice(self.crew.pids)
            await self.crew.kill(pid)
            self.killed.append(pid)
            pause = self.every_s * self.dice.uniform(0.5, 1.5)


@asynccontextmanager
async def killing(killer: Killer) -> AsyncIterator[Killer]:
    """Have workers killed for as long as the block lasts."""
    await killer.crew.complete()
    raging = asyncio.create_task(killer.rage())
    try:
        yield killer
    finally:
        raging.cancel()
        with suppress(asyncio.CancelledError):
            await raging
