"""Plays tasks of a desk through the runtime: real workers over MCP, answers lost, workers killed."""

import asyncio
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.mcp_servers import accept, ask_servers
from config.settings import load
from trials.counter import counting
from trials.recovery.crew import crewed
from trials.stage import Stage, outcome, staged
from trials.world.killing import Killer, killing
from trials.world.tau2.desk import Desk, Gold
from trials.world.tau2.plans import Script, script
from trials.world.tau2.post import Post

HERE = Path(__file__).parent
AT_ONCE = 6
LIMIT_S = 400.0
_KILL_EVERY_S = 5.0


@dataclass(slots=True)
class Played:
    """What became of the tasks, as the runtime told it, in the order of the golds."""

    results: Sequence[dict[str, Any]]
    scripts: Sequence[Script]
    kills: int


async def play(desk: Desk, golds: Sequence[Gold], post: Post, seed: int) -> Played:
    """Play all tasks, some side by side; the state of each is kept under ``ours-ID``."""
    scripts = [script(gold.acts) for gold in golds]
    environ = {"TAU2_ADDRESS": post.address}
    async with (
        counting() as counter,
        staged(desk.folder / "stage", HERE / "agents" / desk.name, counter, environ) as stage,
    ):
        await _accepted(stage, environ)
        dice = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        async with crewed(stage) as crew, killing(Killer(crew, dice, _KILL_EVERY_S)) as killer:
            gate = asyncio.Semaphore(AT_ONCE)
            results = await asyncio.gather(
                *(_one(stage, gate, gold, plans) for gold, plans in zip(golds, scripts, strict=True))
            )
        return Played(results, scripts, len(killer.killed))


async def _accepted(stage: Stage, environ: dict[str, str]) -> None:
    """Accept what the server says of its tools, as `starter.py tools --accept` does."""
    shutil.copy(HERE / "bridge.py", stage.folder / "agents" / stage.agent)
    settings = load(stage.config)
    accept(settings, stage.agent, await ask_servers(settings, stage.agent, environ))


async def _one(stage: Stage, gate: asyncio.Semaphore, gold: Gold, plans: Script) -> dict[str, Any]:
    async with gate:
        task = await stage.start(f"ours-{gold.id}", plans.replies)
        return await outcome(task, LIMIT_S)
