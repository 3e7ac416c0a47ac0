"""12,000 signals to one task: every one that the server took is in its history, those that count, count, and it ends.

Temporal takes 10,000 signals in a run (history.maximumSignalsPerExecution); the task continues as new before that.
"""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

from temporalio.service import RPCError

from core.record import Json
from trials.bulk.planning import none
from trials.bulk.scene import staged_in_bulk
from trials.bulk.signals import PEOPLE
from trials.results import Figure
from trials.running import Run
from trials.stage import Stage, Task, failures, outcome, runs, status

_AT_ONCE = 40
_PLAN: Json = {
    "steps": [{"id": "s1", "tool": "grant", "args": {"amount_cents": 5}, "after": [], "why": "tried"}],
    "finish": {"answer": "done"},
}


def wave(count: int, seed: int) -> Iterator[tuple[str, Any]]:
    """Yield signals: answers that do not count, pauses, resumes, unknown names; four of five approvals among them."""
    dice = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    places = dict(zip(sorted(dice.sample(range(count), len(PEOPLE) - 1)), PEOPLE, strict=False))
    for number in range(count):
        mark = f"no. {number}"
        if number in places:
            yield "approve", {"by": places[number], "comment": mark}
        else:
            name = dice.choice(["approve", "approve", "pause", "resume", "unheard"])
            yield name, {"by": "zoe", "comment": mark} if name == "approve" else {"by": "zoe", "reason": mark}


async def flood(run: Run) -> Sequence[Figure]:
    """Send them all, forty at a time, then say once more "go on", and give the last approval."""
    count = run.size("signals to one task", 1_500, 12_000)
    async with staged_in_bulk() as stage, stage.working():
        task = await stage.start("flood", [{"plan": _PLAN}])
        await status(task, "AWAITING_APPROVAL")
        began = time.monotonic()
        taken, refused = await _send(task, list(wave(count, run.seed)))
        seconds = time.monotonic() - began
        await task.signal("resume", {"by": "kim", "reason": "the flood is over"})
        await task.signal("approve", {"by": PEOPLE[-1]})
        result = await outcome(task, 300)
        return [*await _judge(stage, task, result, taken), *_told(count, seconds, refused)]


def _told(count: int, seconds: float, refused: Sequence[str]) -> Sequence[Figure]:
    rate = f"{count / seconds:.0f} a second"
    return [
        Figure(
            name=f"{count:,} signals to one task: refused by the server, and said so",
            measured=f"{len(refused)} of {count:,}, {rate}",
            note="; ".join(sorted(set(refused))[:3]),
        )
    ]


async def _send(task: Task, signals: Sequence[tuple[str, Any]]) -> tuple[set[int], list[str]]:
    """Send all; return the numbers of those that the server took, and what it said of the others."""
    taken, refused = set[int](), list[str]()
    turn = asyncio.Semaphore(_AT_ONCE)

    async def send(number: int, name: str, payload: Any) -> None:
        async with turn:
            try:
                await task.signal(name, payload)
            except RPCError as error:
                refused.append(f"{error.status.name}: {error.message}"[:120])
            else:
                taken.add(number)

    await asyncio.gather(*(send(number, *one) for number, one in enumerate(signals)))
    return taken, refused


async def _judge(stage: Stage, task: Task, result: dict[str, Any], taken: set[int]) -> Sequence[Figure]:
    failed, data, lengths = list[str](), list[bytes](), list[int]()
    async for events in runs(stage.client, task):
        failed += failures(events)
        lengths.append(len(events))
        signals = [event.workflow_execution_signaled_event_attributes for event in events]
        data += [payload.data for one in signals for payload in one.input.payloads]
    there = b"".join(data)
    lost = [str(number) for number in taken if f'"no. {number}"'.encode() not in there]
    approved = sorted(result["effects"][0]["approved_by"]) if result["effects"] else []
    end = (result["status"], approved, stage.counter.applied("grant", task.id))
    name = f"{len(taken):,} signals to one task"
    runs_said = f"{len(lengths)} runs, the longest of {max(lengths):,} events"
    return [
        none(f"{name}: acknowledged and not in its history", lost, len(taken)),
        none(f"{name}: workflow tasks that failed", failed, len(taken)),
        Figure(
            name=f"{name}: it ends with the five approvals among them, and one effect",
            measured=f"{end[0]}, {len(approved)} approvals, {end[2]} effect; {runs_said}",
            must_be="COMPLETED, 5, 1",
            holds=end == ("COMPLETED", sorted(PEOPLE), 1),
        ),
    ]
