"""``python -m trials.recovery [--full] [--seed N] [--only PART]``: kill workers in each phase, servers under load."""

import asyncio
import json
import math
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from trials.counter import counting
from trials.recovery.crew import crewed
from trials.recovery.phases import PHASES, VERIFIED_BY_DOOR, Scene, plan_of
from trials.recovery.server import kill_servers
from trials.results import Figure
from trials.running import Part, Run, main
from trials.stage import Stage, staged

_AGENTS = Path(__file__).with_name("agents")
_KEYED = frozenset({"grant", "pay", "ship", "book"})
_BOUNDS_S = {"parked": 3.0, "mid effect (keyed)": 6.0}
_SLOW = ("planning", "deciding", "validating")
"""Phases of 10 s and more, mostly waiting for time-outs of Temporal: half the sample, and `_LANES` at once."""

_LANES = 4
"""Stages on which a slow phase is played side by side. A phase with a bound has the machine for itself, and is played
in full always.
"""


@asynccontextmanager
async def _stage() -> AsyncIterator[Stage]:
    async with counting(keyed=_KEYED, denials={"verify": VERIFIED_BY_DOOR}) as counter:
        with tempfile.TemporaryDirectory(prefix="lastmile-trial-") as folder:
            async with staged(Path(folder), _AGENTS, counter) as stage:
                yield stage


async def _phase(name: str, run: Run) -> Sequence[Figure]:
    samples = run.size(f"kills {name}", 50 if name in _BOUNDS_S else 5 if name in _SLOW else 10, 50)
    lanes = _LANES if name in _SLOW else 1
    async with asyncio.TaskGroup() as group:
        played = [group.create_task(_lane(name, range(lane, samples, lanes))) for lane in range(lanes)]
    return [summary(name, [seconds for lane in played for seconds in lane.result()])]


async def _lane(name: str, numbers: Iterable[int]) -> list[float]:
    async with _stage() as stage, crewed(stage) as crew:
        seconds = []
        for number in numbers:
            await crew.complete()
            seconds.append(await PHASES[name](Scene(stage, crew), f"{name.partition(' ')[0].strip(',')}-{number}"))
        return seconds


def summary(name: str, seconds: Sequence[float]) -> Figure:
    """Say how long tasks stood still; with fewer than 100 samples the 99th percentile is the largest."""
    bound = _BOUNDS_S.get(name)
    worst = percentile(seconds, 0.99)
    return Figure(
        name=f"worker killed, {name}: until it moves on",
        measured=f"p50 {percentile(seconds, 0.5):.1f} s, p99 {worst:.1f} s",
        must_be=f"p99 at most {bound:g} s" if bound else "",
        holds=worst <= bound if bound else None,
        note=f"{len(seconds)} kills" + (", so p99 is the maximum" if len(seconds) < 100 else ""),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of all do not exceed (nearest rank)."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


async def _server(run: Run) -> Sequence[Figure]:
    kills = run.size("kills of the server", 3, 50)
    async with _stage() as stage, stage.working():
        stage.counter.plan = json.dumps(plan_of("grant", {"amount_cents": 5}))
        return await kill_servers(stage, kills, run.seed)


def parts() -> dict[str, Part]:
    """Name the parts."""
    return {**{name: partial(_phase, name) for name in PHASES}, "server": _server}


if __name__ == "__main__":
    sys.exit(main("recovery", parts()))
