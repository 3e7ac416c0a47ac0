"""Bad plans: all through the decoding and the check that a worker does, and some of them through real tasks."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from temporalio.api.history.v1 import HistoryEvent

from core.checking import check_plan
from core.contract import Contract
from core.plan import Fault, Plan
from core.profile import Limits
from core.record import Json
from llm.wire import Fault as NotDecoded
from llm.wire import decode
from tools.registry import load_tools
from trials.bulk.plans import Bad, bad, good
from trials.bulk.scene import AGENTS, staged_in_bulk
from trials.results import Figure, at_most
from trials.running import Run
from trials.stage import Stage, failures, outcome, runs

_PER_TASK = 10
_LIMITS = Limits(steps_per_plan=200)


@dataclass(slots=True)
class Tried:
    """What became of many plans. `misplaced`: refusals that do not name the step and the place that are wrong."""

    plans: int = 0
    faults: int = 0
    expecting: int = 0
    accepted: list[str] = field(default_factory=list)
    misplaced: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    raised: list[str] = field(default_factory=list)


def refusal_of(text: str, catalogue: Mapping[str, Contract]) -> list[Fault] | None:
    """Take a reply the way of a worker: decoded, then checked. None: the plan may run."""
    document = decode(text)
    if isinstance(document, NotDecoded):
        return [Fault(problem=document.words)]
    checked = check_plan(document, catalogue, {}, _LIMITS)
    return None if isinstance(checked, Plan) else checked


def try_plan(one: Bad, catalogue: Mapping[str, Contract], tried: Tried) -> None:
    """See that a bad plan is refused, with the place that is known to be wrong."""
    tried.plans += 1
    try:
        faults = refusal_of(one.text, catalogue)
    except Exception as error:  # noqa: BLE001 - whatever a model writes, nothing may be raised
        tried.raised.append(f"{one.kind}: {type(error).__name__}")
        return
    if faults is None:
        tried.accepted.append(one.kind)
        return
    tried.faults += len(faults)
    tried.expecting += sum(bool(fault.expected) for fault in faults)
    tried.silent += [one.kind for fault in faults if not fault.problem.strip()]
    if not any(fault.step == (one.step or fault.step) and fault.where.startswith(one.where) for fault in faults):
        tried.misplaced.append(one.kind)


async def bad_plans(run: Run) -> Sequence[Figure]:
    """Try them in bulk, and beside them good ones, which must not be refused."""
    count, controls = run.size("bad plans", 2_000, 10_000), run.size("good plans beside them", 500, 2_000)
    tools = load_tools("bulk", AGENTS / "bulk", ["tools.py"])
    catalogue = {name: tool.contract for name, tool in tools.items()}
    tried, dice = Tried(), random.Random(run.seed)  # noqa: S311 - to be repeated, not to be secret
    for one in bad(count, run.seed):
        try_plan(one, catalogue, tried)
    refused = [str(faults[0]) for _ in range(controls) if (faults := refusal_of(json.dumps(good(dice)), catalogue))]
    return [
        none("bad plans accepted", tried.accepted, count),
        none("bad plans at which the check itself broke", tried.raised, count),
        none("refusals that do not name the step and the place known to be wrong", tried.misplaced, count),
        none("faults without a problem in words", tried.silent, tried.faults),
        none("good plans refused (the control)", refused, controls),
        Figure(name="faults that say what was expected", measured=f"{tried.expecting:,} of {tried.faults:,}"),
    ]


def none(name: str, found: Sequence[str], of: int) -> Figure:
    """Make the figure of something that may not happen, in `of` trials (none at all is no proof)."""
    return Figure(
        name=name, measured=at_most(len(found), of), must_be="0", holds=of > 0 and not found, note=", ".join(found[:5])
    )


# ----------------------------------------------------------------------------------------------- through real tasks


async def bad_plans_in_tasks(run: Run) -> Sequence[Figure]:
    """Have real tasks get ten bad plans each and then a good one, whose one effect must be all that happens."""
    tasks = run.size("tasks that get 10 bad plans each", 6, 40)
    plans = list(bad(tasks * _PER_TASK, run.seed + 1))
    found = _Tasks()
    async with staged_in_bulk() as stage, stage.working():
        started = []
        for number in range(tasks):
            mine = plans[number * _PER_TASK : (number + 1) * _PER_TASK]
            replies: list[Json] = [{"text": one.text} for one in mine]
            task = await stage.start(f"plans-{number}", [*replies, {"plan": _LAST}])
            started.append(task)
        for task in started:
            result = await outcome(task, 300)
            histories = [events async for events in runs(stage.client, task)]
            found.take(stage, task.id, result, [event for events in histories for event in events])
    return [
        none("bad plans in tasks: workflow tasks that failed", found.failed, tasks),
        none("bad plans in tasks: tasks not completed with the last plan's one effect", found.wrong, tasks),
        none("bad plans in tasks: plans that were not refused", ["?"] * abs(len(plans) - found.refused), len(plans)),
    ]


_LAST: Json = {
    "steps": [{"id": "s1", "tool": "note", "args": {"text": "at last"}, "after": [], "why": "a good plan"}],
    "finish": {"answer": "done"},
}


@dataclass(slots=True)
class _Tasks:
    failed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    refused: int = 0

    def take(self, stage: Stage, task_id: str, result: Mapping[str, Json], events: Sequence[HistoryEvent]) -> None:
        self.failed += failures(events)
        applied = sum(one.task == task_id for one in stage.counter.requests)
        if (result["status"], applied, len(result["effects"])) != ("COMPLETED", 1, 1):
            self.wrong.append(f"{task_id}: {result['status']}, {applied} applications: {result['reason']}"[:200])
        self.refused += sum(b'"kind":"PlanRefused"' in _result_of(event) for event in events)


def _result_of(event: HistoryEvent) -> bytes:
    payloads = event.activity_task_completed_event_attributes.result.payloads
    return b"".join(payload.data for payload in payloads)
