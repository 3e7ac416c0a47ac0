"""The trial: whole tasks whose planner is llmock, with one fault each, and in bad weather with killed workers."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import PendingActivityState

from core import names
from trials.counter import Missed
from trials.recovery.crew import Crew, crewed
from trials.results import Figure, at_most
from trials.running import Run
from trials.stage import Stage, Task, runs
from trials.world.llmock.faults import Fault, faults, late, well
from trials.world.llmock.mocking import Mock, mocking
from trials.world.llmock.naive import naive_ways
from trials.world.llmock.route import Api, Route
from trials.world.stages import begin, rest, world_stage

AGENT = Path(__file__).with_name("agents") / "looker"
_LINE = 'models = ["openai:mock"]'
_LIMIT_S = 180.0
_GOOD = ("COMPLETED", "AWAITING_PERSON")
_WEATHER = ("429=0.1", "500=0.08", "503=0.08", "529=0.06")
_SLOW_S = 2.0
_FOUND_S = 30.0


@dataclass(slots=True)
class Seen:
    """What became of the tasks: their ends by name, and how often a worker began to ask a model.

    ``cut``: how many of these attempts were under way in a worker that was killed.
    """

    ends: dict[str, str] = field(default_factory=dict)
    attempts: int = 0
    cut: int = 0


async def llmock(run: Run) -> Sequence[Figure]:
    """Play both, each at a llmock of its own; then the SDKs as they come."""
    run.versions |= {name: version(name) for name in ("llmock", "openai", "anthropic")}
    figures = [*await _one_fault_each(run), *await _bad_weather(run)]
    run.baselines += await naive_ways(_chosen(run))
    return figures


def _chosen(run: Run) -> list[tuple[Api, Fault]]:
    """Pair faults and interfaces: all with all, or in small each fault with one of them in turn."""
    every = list(faults())
    if run.is_full:
        return [(api, fault) for api in Api for fault in every]
    return [(list(Api)[number % len(Api)], fault) for number, fault in enumerate(every)]


@asynccontextmanager
async def _stage(route: Route, mock: Mock) -> AsyncIterator[Stage]:
    keys = {"OPENAI_API_KEY": "of-the-trial", "ANTHROPIC_API_KEY": "of-the-trial"}
    async with world_stage(AGENT, {_LINE: route.line()}, route.tables(mock.url), keys) as stage:
        yield stage


# -------------------------------------------------------------------------------------------------- one fault each


async def _one_fault_each(run: Run) -> Sequence[Figure]:
    chosen, seen = _chosen(run), Seen()
    run.sizes["llmock: tasks with one fault each"] = len(chosen)
    async with mocking() as mock:
        for api in Api:
            route = Route(api)
            async with _stage(route, mock) as stage, stage.working():
                for fault in [fault for wanted, fault in chosen if wanted is api]:
                    await _suffer(stage, mock, route, fault, seen)
        return await _judge("one fault each", mock, seen)


async def _suffer(stage: Stage, mock: Mock, route: Route, fault: Fault, seen: Seen) -> None:
    await mock.clear()
    await mock.script(*fault.script(route.first, route.second))
    task_id = f"{route.api}-{fault.name}".replace(" ", "-")
    task = await begin(stage, task_id, f"look, in spite of: {fault.name}")
    seen.ends[task_id] = await rest(task, _LIMIT_S)
    seen.attempts += await _attempts(stage, task)


# --------------------------------------------------------------------------------------------------- bad weather


async def _bad_weather(run: Run) -> Sequence[Figure]:
    """Errors by chance, quotas of requests and tokens, answers that are late, workers killed while they wait."""
    each, seen = run.size("llmock: tasks in bad weather, of each interface", 5, 40), Seen()
    rates = [word for rate in _WEATHER for word in ("--error-rate", rate)]
    async with mocking(*rates, "--rpm", f"{each}", "--tpm", f"{each * 5_000}", "--latency-ms", "100") as mock:
        await mock.script(*well())
        for api in Api:
            route = Route(api)
            async with _stage(route, mock) as stage, crewed(stage) as crew:
                await mock.script(late(route.first, _SLOW_S, times=2))
                await _weather(stage, crew, route, each, seen)
        return await _judge("bad weather", mock, seen)


async def _weather(stage: Stage, crew: Crew, route: Route, count: int, seen: Seen) -> None:
    await crew.complete()
    tasks = [await begin(stage, f"{route.api}-{number}", f"look at no. {number}") for number in range(count)]
    pid = await _asking(tasks, crew)
    await crew.kill(pid)
    seen.cut += (await _askers(tasks)).count(pid)  # the server takes the dead for alive until a heartbeat is missing
    for task in tasks:
        seen.ends[task.id] = await rest(task, _LIMIT_S)
        seen.attempts += await _attempts(stage, task)


async def _asking(tasks: Sequence[Task], crew: Crew) -> int:
    """Wait for a worker that waits for a model; return its process id. Raises Missed when there is none."""
    until = time.monotonic() + _FOUND_S
    while time.monotonic() < until:
        if found := [pid for pid in await _askers(tasks) if pid in crew.pids]:
            return found[0]
    raise Missed(f"a worker that asks a model: none within {_FOUND_S:g} s")


async def _askers(tasks: Sequence[Task]) -> list[int]:
    """Return the process id of whoever has begun to ask a model, once for each task."""
    pending = [one for task in tasks for one in (await task.describe()).raw_description.pending_activities]
    begun = [one for one in pending if one.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED]
    asking = [one for one in begun if one.activity_type.name == names.PROPOSE_PLAN]
    return [int(one.last_worker_identity.partition("@")[0]) for one in asking]


# ------------------------------------------------------------------------------------------------------- judging


async def _attempts(stage: Stage, task: Task) -> int:
    """Count how often the activity that asks a model was begun, by Temporal's own history."""
    count = 0
    async for events in runs(stage.client, task):
        planning = {
            event.event_id
            for event in events
            if event.activity_task_scheduled_event_attributes.activity_type.name == names.PROPOSE_PLAN
        }
        started = [event.activity_task_started_event_attributes for event in events]
        count += sum(one.attempt for one in started if one.scheduled_event_id in planning)
    return count


async def _judge(name: str, mock: Mock, seen: Seen) -> Sequence[Figure]:
    verdict, requests = await mock.verdict(), await mock.requests()
    bad = [f"{task}: {end}" for task, end in seen.ends.items() if end not in _GOOD]
    streams = [one["path"] for one in requests if one["stream"]]
    asking = sum(end == "AWAITING_PERSON" for end in seen.ends.values())
    return [
        _none(f"llmock, {name}: tasks that neither ended well nor ask", bad, len(seen.ends), f"{asking} ask"),
        _verdict(name, verdict),
        _equal(name, len(requests), seen),
        _none(f"llmock, {name}: requests that asked for a stream", streams, len(requests)),
    ]


def _verdict(name: str, verdict: dict[str, Any]) -> Figure:
    codes = sorted({f"{one['severity']} {one['code']}" for one in verdict["findings"]})
    return Figure(
        name=f"llmock, {name}: its verdict",
        measured=f"{verdict['errors']} errors, {verdict['warnings']} warnings at {verdict['faults_injected']} faults",
        must_be="passed, with faults",
        holds=bool(verdict["passed"]) and verdict["faults_injected"] > 0,
        note=", ".join(codes),
    )


def _equal(name: str, requests: int, seen: Seen) -> Figure:
    """Compare; an attempt that was cut off by a kill may not have sent yet."""
    return Figure(
        name=f"llmock, {name}: requests it got, and attempts in Temporal's histories",
        measured=f"{requests} and {seen.attempts}",
        must_be="equal" + (f", but for at most the {seen.cut} under way in killed workers" if seen.cut else ""),
        holds=seen.attempts - seen.cut <= requests <= seen.attempts and requests > 0,
    )


def _none(name: str, found: Sequence[str], of: int, note: str = "") -> Figure:
    said = "; ".join(found[:3]) or note
    return Figure(name=name, measured=at_most(len(found), of), must_be="0", holds=of > 0 and not found, note=said)
