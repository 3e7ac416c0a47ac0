"""A task of 60,000 events, through continue-as-new: nothing is lost or doubled, and no step is dearer than before."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from temporalio.api.history.v1 import HistoryEvent

from bench.overhead import cpu_of
from core.record import Json
from trials.bulk.planning import none
from trials.bulk.scene import staged_in_bulk
from trials.counter import Counter
from trials.results import Figure
from trials.running import Run
from trials.stage import Stage, failures, outcome, runs

READS = 60
"""Reads of a round, all at the same time, after its one effect."""
_LIMIT_S = 1_800
_LARGEST_STATE = 256 * 1024


@dataclass(frozen=True, slots=True)
class Mark:
    """When the effect of a round arrived, and what the worker's CPU had used by then (seconds)."""

    at: float
    cpu: float


def round_of(number: int, *, is_last: bool) -> Json:
    """Write the plan of one round."""
    note = {"id": "n", "tool": "note", "args": {"text": f"round {number}"}, "after": [], "why": ""}
    reads = [
        {"id": f"s{one}", "tool": "step_on", "args": {"number": number * READS + one}, "after": ["n"], "why": ""}
        for one in range(READS)
    ]
    return {"steps": [note, *reads], **({"finish": {"answer": "all rounds are over"}} if is_last else {})}


async def long_task(run: Run) -> Sequence[Figure]:
    """Run the rounds, and compare the last quarter with the second (the first one warms up)."""
    rounds = run.size("rounds of the long task", 32, 300)
    async with staged_in_bulk() as stage, stage.working():
        replies = [{"plan": round_of(number, is_last=number == rounds - 1)} for number in range(rounds)]
        began = time.monotonic()
        task = await stage.start("long", replies)
        marks = await _watch(stage.counter, rounds)
        result = await outcome(task, _LIMIT_S)
        histories = [list(events) async for events in runs(stage.client, task)]
        return [*_ended(result, stage, rounds, histories, time.monotonic() - began), *_flat(marks, histories)]


async def _watch(counter: Counter, rounds: int) -> list[Mark]:
    marks = []
    for number in range(rounds):
        one = await counter.nth("note", "long", number + 1, 300)
        marks.append(Mark(one.at, cpu_of(one.pid)))
    return marks


def _ended(
    result: dict[str, Any], stage: Stage, rounds: int, histories: Sequence[Sequence[HistoryEvent]], seconds: float
) -> Sequence[Figure]:
    events = sum(len(one) for one in histories)
    keys = [one.key for one in stage.counter.arrived("note", "long")]
    [[receipts]] = stage.ledger("select count(*) from lastmile_effects where task_id = 'long' and state = 'SUCCEEDED'")
    [[reads]] = stage.ledger("select count(*) from lastmile_lines where task_id = 'long' and event = 'tool.observed'")
    found = (result["status"], len(keys), len(set(keys)), receipts, reads)
    expected = ("COMPLETED", rounds, rounds, rounds, rounds * READS)
    state = max(_carried(one) for one in histories)
    return [
        Figure(
            name=f"a task of {events:,} events: its end, effects, keys, receipts and reads",
            measured=f"{found[0]}, {', '.join(f'{one:,}' for one in found[1:])} in {len(histories)} runs",
            must_be=", ".join(f"{one:,}" if isinstance(one, int) else one for one in expected),
            holds=found == expected,
            note=f"{seconds:.0f} s, {seconds / (rounds * (READS + 1)) * 1000:.1f} ms a step",
        ),
        none("long task: workflow tasks that failed", [one for part in histories for one in failures(part)], events),
        Figure(
            name="long task: the largest state carried into a new run",
            measured=f"{state:,} bytes",
            must_be=f"at most {_LARGEST_STATE:,}",
            holds=len(histories) > 1 and state <= _LARGEST_STATE,
        ),
    ]


def _carried(events: Sequence[HistoryEvent]) -> int:
    payloads = events[0].workflow_execution_started_event_attributes.input.payloads
    is_first = not events[0].workflow_execution_started_event_attributes.continued_execution_run_id
    return 0 if is_first else sum(len(one.data) for one in payloads)


def _flat(marks: Sequence[Mark], histories: Sequence[Sequence[HistoryEvent]]) -> Sequence[Figure]:
    quarter = len(marks) // 4
    early, late = (marks[quarter], marks[2 * quarter]), (marks[-1 - quarter], marks[-1])
    wall, cpu = (
        (getattr(late[1], name) - getattr(late[0], name)) / (getattr(early[1], name) - getattr(early[0], name))
        for name in ("at", "cpu")
    )
    note = "last quarter over the second, one task on a machine that may have other work"
    return [
        Figure(
            name="long task: CPU of the worker a step",
            measured=f"x {cpu:.2f}",
            must_be="at most x 1.5",
            holds=cpu <= 1.5,
            note=note,
        ),
        Figure(name="long task: time a step", measured=f"x {wall:.2f}", note=note),
        _bytes_flat(histories),
    ]


def _bytes_flat(histories: Sequence[Sequence[HistoryEvent]]) -> Figure:
    """Compare whole runs: the first one, which starts with nothing, and the last that was not cut short by the end."""
    whole = histories[:-1] or histories
    costs = [sum(event.ByteSize() for event in one[1:]) / (len(one) - 1) for one in whole]
    ratio = costs[-1] / costs[0]
    return Figure(
        name="long task: bytes of history an event, last whole run over the first",
        measured=f"x {ratio:.2f} ({costs[-1]:.0f} bytes)",
        must_be="at most x 1.5",
        holds=ratio <= 1.5,
        note="without the state that is carried on",
    )
