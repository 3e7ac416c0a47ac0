"""Bad weather: errors by chance, quotas of requests and tokens, late answers, and workers killed while they wait."""

import asyncio
import time
from collections.abc import Mapping, Sequence

from temporalio.api.enums.v1 import PendingActivityState

from core import names
from trials.counter import Missed
from trials.recovery.crew import Crew, crewed
from trials.results import Figure
from trials.stage import Stage, Task
from trials.world.llmock.attempts import goal
from trials.world.llmock.calm import AGENT, LINE
from trials.world.llmock.faults import late, well
from trials.world.llmock.judging import Seen, judge
from trials.world.llmock.mocking import Mock, mocking
from trials.world.llmock.route import Api, Model, line
from trials.world.stages import begin, rest, world_stage

_RATES = ("429=0.1", "500=0.08", "503=0.08", "529=0.06")
_LATE_S = 5.0
"""Until the worker is killed, every answer takes so long."""

_TIMEOUT_S = 30.0
_LIMIT_S = 180.0
_FOUND_S = 30.0
_UNDER_WAY_S = 0.3
"""How long an attempt has been reserved at least until its request is certainly on its way."""
_OPEN = "select id, task_id from lastmile_calls where state = 'OPEN'"


async def bad_weather(each: int) -> Sequence[Figure]:
    """Carry out so many tasks by each interface, one after the other at the same llmock, and judge them all."""
    seen = Seen()
    rates = [word for rate in _RATES for word in ("--error-rate", rate)]
    async with mocking(*rates, "--rpm", f"{each}", "--tpm", f"{each * 5_000}", "--latency-ms", "100") as mock:
        for api in Api:
            await _weather(mock, api, each, seen)
        return await judge("bad weather", mock, seen)


async def _weather(mock: Mock, api: Api, count: int, seen: Seen) -> None:
    route = [Model(f"mock-{one}", one, _TIMEOUT_S) for one in (api, api.other_vendors)]
    tables = "\n".join(model.table(mock.url) for model in route)
    await mock.script(well(), late(_LATE_S))
    async with world_stage(AGENT, {LINE: line(route)}, tables, {}) as stage:
        async with crewed(stage) as crew:
            await crew.complete()
            tasks = {one: await begin(stage, one, goal(one)) for one in (f"{api}-{number}" for number in range(count))}
            seen.cut += await _kill(stage, crew, tasks)
            await mock.clear()
            await mock.script(well())
            for task in tasks.values():
                seen.note(task.id, await rest(task, _LIMIT_S))
        seen.close(stage)


async def _kill(stage: Stage, crew: Crew, tasks: Mapping[str, Task]) -> int:
    """Kill a worker that waits for a model; return how many attempts were under way in it."""
    pid = await _waiting(stage, crew, tasks)
    await crew.kill(pid)
    # the server takes the dead for alive until a heartbeat is missing
    return (await asyncio.gather(*(_asker(task) for task in tasks.values()))).count(pid)


async def _waiting(stage: Stage, crew: Crew, tasks: Mapping[str, Task]) -> int:
    """Wait for a worker that waits for a model; return its process id. Raises Missed when there is none."""
    until = time.monotonic() + _FOUND_S
    while time.monotonic() < until:
        reserved = set(stage.ledger(_OPEN))
        await asyncio.sleep(_UNDER_WAY_S)
        for _, task_id in sorted(reserved & set(stage.ledger(_OPEN))):
            if (pid := await _asker(tasks[task_id])) in crew.pids:
                return pid
    raise Missed(f"a worker that waits for a model: none within {_FOUND_S:g} s")


async def _asker(task: Task) -> int:
    """Return the process id of the worker that has begun to ask a model for a task; 0 when none has."""
    pending = (await task.describe()).raw_description.pending_activities
    begun = [one for one in pending if one.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED]
    asking = [one for one in begun if one.activity_type.name == names.PROPOSE_PLAN]
    return next((int(one.last_worker_identity.partition("@")[0]) for one in asking), 0)
