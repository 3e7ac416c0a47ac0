"""The part stripe: refunds through the runtime, answers lost and workers killed, beside plain retries."""

import asyncio
import random
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.record import Json
from trials.counter import counting
from trials.recovery.crew import crewed
from trials.results import Figure, at_most, versions
from trials.running import Run
from trials.stage import Stage, outcome, staged
from trials.world import installed
from trials.world.killing import Killer, killing
from trials.world.stripe.judging import Judged, judge
from trials.world.stripe.naive import refund_all
from trials.world.stripe.shop import Losses, Shop, shop
from trials.world.stripe.wishes import Kind, Wish, wishes

HERE = Path(__file__).parent
DESK = HERE.parents[2] / "agents" / "support_desk"
LOST = 0.2
"""Share of the refunds whose answer is lost after they were carried out."""

_AT_ONCE = 8
_LIMIT_S = 400.0
_KILL_EVERY_S = 1.5


async def refunds(run: Run) -> Sequence[Figure]:
    """Refund the naive way, then through the runtime. Raises NotInstalled."""
    installed.program("mitmproxy", "mitmdump")
    run.versions |= versions("stripe", "localstripe") | installed.versions("mitmproxy", "mitmproxy")
    number = run.size("refunds", 40, 200)
    with tempfile.TemporaryDirectory(prefix="lastmile-trial-") as name:
        folder = Path(name)
        async with shop(folder) as place:
            run.baselines += await _naive(place, wishes("n", number), run.seed)
            return await _ours(place, wishes("o", number), run.seed)


async def _naive(place: Shop, wanted: Sequence[Wish], seed: int) -> Sequence[Figure]:
    """Nobody who may not refund tries to, here: what is done too often comes of the retries alone."""
    rightful = [wish for wish in wanted if wish.kind is not Kind.CONTESTED or wish.id.endswith("-1")]
    await place.take(rightful)
    async with place.losing("naive", LOST, seed) as losses:
        await refund_all(losses.url, rightful, place.intents)
    judged = judge(rightful, await place.refunds(rightful))
    share = len(judged.twice) / judged.refunds
    return [
        Figure(
            name="stripe, plain retries: refunds done more than once",
            measured=f"{len(judged.twice)} beside {judged.refunds} ({share:.0%})",
            must_be="at least one: the faults are real",
            holds=bool(judged.twice),
            note=_lost(losses),
        ),
        Figure(
            name="stripe, plain retries: orders refunded beyond what was paid",
            measured=f"{len(judged.beyond)} of {judged.orders}",
        ),
    ]


def _lost(losses: Losses) -> str:
    return f"{losses.lost} of {len(losses.fates)} answers lost"


async def _ours(place: Shop, wanted: Sequence[Wish], seed: int) -> Sequence[Figure]:
    await place.take(wanted)
    async with place.losing("ours", LOST, seed) as losses, counting() as counter:
        async with staged(place.folder / "stage", HERE / "agents", counter, place.environ(losses)) as stage:
            for file in DESK.glob("*.py"):
                shutil.copy(file, stage.folder / "agents" / stage.agent)
            dice = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
            async with crewed(stage) as crew, killing(Killer(crew, dice, _KILL_EVERY_S)) as killer:
                gate = asyncio.Semaphore(_AT_ONCE)
                results = await asyncio.gather(*(_one(stage, gate, wish) for wish in wanted))
        judged = judge(wanted, await place.refunds(wanted))
        return _figures(wanted, results, judged, losses, len(killer.killed))


async def _one(stage: Stage, gate: asyncio.Semaphore, wish: Wish) -> Mapping[str, Any]:
    async with gate:
        return await outcome(await stage.start(wish.id, _replies(wish)), _LIMIT_S)


def _replies(wish: Wish) -> Sequence[Json]:
    args: Json = {"order_id": wish.order_id, "amount_cents": wish.amount_cents, "reason": "asked for"}
    step: Json = {"id": "s1", "tool": "issue_refund", "args": args, "why": "asked for"}
    return [
        {"plan": {"steps": [step], "finish": {"answer": "refunded"}}},
        {"plan": {"steps": [], "finish": {"answer": "nothing was left to refund"}}},
    ]


def _figures(
    wanted: Sequence[Wish], results: Sequence[Mapping[str, Any]], judged: Judged, losses: Losses, kills: int
) -> Sequence[Figure]:
    said = sum(result["answer"] == "refunded" for result in results if result["status"] == "COMPLETED")
    stuck = [f"{result['task_id']}: {result['status']}" for result in results if result["status"] != "COMPLETED"]
    return [
        _none("stripe: refunds done more than once", judged.twice, judged.refunds, _lost(losses)),
        _none("stripe: orders refunded beyond what was paid", judged.beyond, judged.orders, ""),
        _none("stripe: refunds missing", judged.missing, judged.refunds, ""),
        _none("stripe: tasks that did not complete", stuck, len(wanted), f"{kills} workers killed"),
        Figure(
            name="stripe: refunds that the runtime reports",
            measured=f"{said}",
            must_be=f"{judged.refunds}, as the provider has them",
            holds=said == judged.refunds,
        ),
        Figure(
            name="stripe: workers killed, and answers lost",
            measured=f"{kills}, and {losses.lost}",
            must_be="at least 1, and 10 % of the refunds",
            holds=kills > 0 and losses.lost * 10 > judged.refunds,
        ),
    ]


def _none(name: str, wrong: Sequence[str], of: int, note: str) -> Figure:
    more = "; ".join([*filter(None, [note]), *wrong[:5]])
    return Figure(name=name, measured=at_most(len(wrong), of), must_be="0", holds=of > 0 and not wrong, note=more)
