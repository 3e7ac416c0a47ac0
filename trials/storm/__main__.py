"""``python -m trials.storm``: a storm and the naive baselines, or a trial beside it, or all seeds that ever failed."""

import argparse
import asyncio
import secrets
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cli.connection import silence_sdk
from cli.errors import Exit, explain
from cli.leaving import leave_process
from core.errors import LastmileError
from trials import results
from trials.results import Figure, Outcome
from trials.storm import figures
from trials.storm.baselines import WAYS, run_naive
from trials.storm.running import Ran, Size, Weather, run

SEEDS = Path(__file__).with_name("seeds.txt")
SMALL = Size(tasks=200, at_once=60, limit_s=200, quiet_s=45)
FULL = Size(tasks=10_000, at_once=60, limit_s=6 * 3600, quiet_s=180)
DEPLOYMENTS = {False: 10, True: 50}
"""SIGTERM deployments, in full or not."""

COMPARED = {False: 300, True: 1_000}
"""Tasks of each of the two runs by which throughput is compared, in full or not."""

_NAIVE_TASKS, _NAIVE_S = 100, 60.0
_MOST_REPEATED = 2_000


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for; 1 when a bound is broken."""
    given = _parse(argv)
    silence_sdk()
    try:
        return asyncio.run(_all(given))
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BaseExceptionGroup as group:
        cause = _first(group)
        if not isinstance(cause, LastmileError):
            raise
    except LastmileError as error:
        cause = error
    sentence, code = explain(cause)
    sys.stderr.write(f"error: {sentence}\n")
    return code


async def _all(given: argparse.Namespace) -> int:
    if given.seeds:
        sizes = [(seed, _sized(SMALL, tasks)) for seed, tasks in read_seeds()]
        return max([await _one(given, seed, size) for seed, size in sizes], default=0)
    seed = given.seed if given.seed is not None else secrets.randbelow(1_000_000)
    if given.deployments:
        return await _deployments(given, seed)
    return await (_throughput(given, seed) if given.throughput else _one(given, seed, size=_size(given)))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    one = group.exceptions[0]
    return _first(one) if isinstance(one, BaseExceptionGroup) else one


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m trials.storm", description="Run tasks through a storm, and count.")
    parser.add_argument("--full", action="store_true", help="10,000 tasks and at least 30,000 effects; takes hours")
    parser.add_argument("--tasks", type=int, help="another number of tasks")
    parser.add_argument("--seed", type=int, help="the seed that drives everything (default: a new one)")
    parser.add_argument("--faults", type=float, default=0.25, help="share of the bank's answers that go wrong")
    parser.add_argument("--seeds", action="store_true", help=f"run every seed of {SEEDS.name}, in the small size")
    parser.add_argument("--deployments", action="store_true", help="replace the workers under load by SIGTERM instead")
    parser.add_argument("--throughput", action="store_true", help="compare a storm and a calm by their speed instead")
    parser.add_argument("--keep", action="store_true", help="keep the folders also when all went well")
    given = parser.parse_args(argv)
    if given.tasks is not None and given.tasks < 1:
        parser.error(f"--tasks is a whole number from 1 up, found {given.tasks}")
    if not 0 <= given.faults <= 1:
        parser.error(f"--faults is a share from 0 to 1, found {given.faults}")
    return given


def _size(given: argparse.Namespace) -> Size:
    size = FULL if given.full else SMALL
    return size if given.tasks is None else _sized(size, given.tasks)


def _sized(size: Size, tasks: int) -> Size:
    return replace(size, tasks=tasks, limit_s=max(size.limit_s, tasks * 2.0))


async def _one(given: argparse.Namespace, seed: int, size: Size) -> int:
    """Run the storm and the baselines of one seed, write the outcome, and say whether it holds."""
    began, folder = time.monotonic(), _folder(seed)
    storm = await run(folder / "storm", seed, size, Weather("storm", given.faults, nemesis=True), _say)
    tasks = min(_NAIVE_TASKS, size.tasks)
    naive = [
        await run_naive(
            folder / f"naive-{way}",
            way,
            seed,
            tasks=tasks,
            fault_rate=given.faults,
            at_once=size.at_once,
            limit_s=_NAIVE_S,
            say=_say,
        )
        for way in WAYS
    ]
    found = [
        *([figures.of_size(storm)] if given.full and given.tasks is None else []),
        *figures.of_sins(storm),
        *figures.of_doubts(storm.judgement),
        figures.of_waiting(storm),
        *figures.of_blows(storm),
    ]
    outcome = Outcome(
        trial="storm",
        seed=seed,
        is_full=given.full,
        sizes=_sizes(storm, size),
        figures=tuple(found),
        baselines=tuple(figures.of_naive(naive)),
        seconds=round(time.monotonic() - began, 1),
        at=results.now(),
        versions=results.versions("aiohttp"),
    )
    has_sinned = any(one.holds is False for one in (*figures.of_sins(storm), *figures.of_doubts(storm.judgement)))
    return _conclude(outcome, folder, given, has_sinned=has_sinned)


async def _throughput(given: argparse.Namespace, seed: int) -> int:
    """Run the same tasks in a storm and in a calm, on a machine that does nothing else, and write the outcome."""
    began, folder = time.monotonic(), _folder(seed)
    size = _sized(SMALL, given.tasks or COMPARED[given.full])
    storm = await run(folder / "storm", seed, size, Weather("storm", given.faults, nemesis=True), _say)
    calm = await run(folder / "calm", seed, size, Weather("calm"), _say)
    sins = [*figures.of_sins(storm), *figures.of_sins(calm)]
    outcome = Outcome(
        trial="throughput",
        seed=seed,
        is_full=given.full,
        sizes=_sizes(storm, size),
        figures=(figures.of_throughput(calm, storm, is_judged=given.full), *sins),
        seconds=round(time.monotonic() - began, 1),
        at=results.now(),
        versions=results.versions("aiohttp"),
    )
    return _conclude(outcome, folder, given, has_sinned=bool(storm.judgement.sins))


async def _deployments(given: argparse.Namespace, seed: int) -> int:
    """Replace the workers under load, and write the outcome."""
    began, folder = time.monotonic(), _folder(seed)
    size = Size(tasks=given.tasks or 4_000, at_once=20, limit_s=1800)
    weather = Weather("deployments", deployments=DEPLOYMENTS[given.full])
    ran = await run(folder / "deployments", seed, size, weather, _say)
    outcome = Outcome(
        trial="deployments",
        seed=seed,
        is_full=given.full,
        sizes=_sizes(ran, size),
        figures=(*figures.of_deployments(ran), *figures.of_sins(ran), *figures.of_doubts(ran.judgement)),
        seconds=round(time.monotonic() - began, 1),
        at=results.now(),
        versions=results.versions("aiohttp"),
    )
    return _conclude(outcome, folder, given, has_sinned=bool(ran.judgement.sins))


def _conclude(outcome: Outcome, folder: Path, given: argparse.Namespace, *, has_sinned: bool) -> int:
    path = results.write(outcome)
    for figure in (*outcome.figures, *outcome.baselines):
        _say(_line(figure))
    if outcome.holds:
        _say(f"all bounds hold, seed {outcome.seed}, {outcome.seconds:.0f} s; written to {path}")
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)
        return 0
    if outcome.trial in ("storm", "throughput") and has_sinned:
        keep_seed(outcome.seed or 0, int(outcome.sizes["tasks"]))
    _say(f"a bound is broken, seed {outcome.seed}; written to {path}; logs, books and journals are in {folder}")
    return 1


def _line(figure: Figure) -> str:
    mark = {True: "ok   ", False: "WRONG", None: "     "}[figure.holds]
    note = f"  [{figure.note}]" if figure.note and figure.holds is False else ""
    return f"{mark} {figure.name}: {figure.measured} (must be {figure.must_be}){note}"


def _sizes(ran: Ran, size: Size) -> dict[str, Any]:
    return {
        "tasks": len(ran.truth.tasks),
        "effects": ran.judgement.applications,
        "tasks at once": size.at_once,
        "seconds": round(ran.seconds, 1),
        "ends": dict(ran.ends),
        "blows": dict(ran.blows),
    }


def _folder(seed: int) -> Path:
    return (results.FOLDER / "storm" / f"{seed}-{time.strftime('%Y%m%d-%H%M%S')}").resolve()


def read_seeds(file: Path = SEEDS) -> list[tuple[int, int]]:
    """Return the seeds that ever failed, each with its number of tasks; a line may end in a comment."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    rows = [[int(word) for word in line.split("#")[0].split()] for line in lines]
    return [(row[0], row[1] if len(row) > 1 else SMALL.tasks) for row in rows if row]


def keep_seed(seed: int, tasks: int, file: Path = SEEDS) -> None:
    """Add a seed to those that are run for ever, unless it is there with as many tasks; 2,000 at most."""
    tasks = min(tasks, _MOST_REPEATED)
    if not any(known == seed and size >= tasks for known, size in read_seeds(file)):
        with file.open("a", encoding="utf-8") as seeds:
            seeds.write(f"{seed} {tasks}\n")


def _say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    leave_process(main())
