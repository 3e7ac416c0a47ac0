"""A query never changes what a task does next, whenever it arrives."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle, WorkflowQueryFailedError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkflowRunner

from core import names
from tests.worlds import dev_server
from workflows.timely import TimelyRunner

MANY = 12  # one of them alone may be lucky: its task is polled before the query


@workflow.defn
class Waiter:
    """Tells how long it slept, in seconds, as it saw it."""

    @workflow.run
    async def run(self) -> float:
        began = workflow.now()
        await workflow.sleep(1)
        slept = (workflow.now() - began).total_seconds()
        await workflow.sleep(0.1)
        return slept

    @workflow.query
    def state(self) -> str:
        return "asleep or awake"


async def fired(handle: WorkflowHandle[Any, Any]) -> None:
    while EventType.EVENT_TYPE_TIMER_FIRED not in [e.event_type for e in (await handle.fetch_history()).events]:
        await asyncio.sleep(0.05)


async def slept(runner: WorkflowRunner) -> tuple[list[float], list[str | BaseException]]:
    """Ask waiters while no worker is there to answer and their timers fire; then let a worker come."""
    async with dev_server() as environment:

        def worker() -> Worker:
            return Worker(environment.client, task_queue="waiters", workflows=[Waiter], workflow_runner=runner)

        async with worker():
            handles = [
                await environment.client.start_workflow(Waiter.run, id=f"waiter-{number}", task_queue="waiters")
                for number in range(MANY)
            ]
            for handle in handles:
                await handle.query(Waiter.state)
        asked = [
            asyncio.create_task(handle.query(Waiter.state, rpc_timeout=timedelta(seconds=30))) for handle in handles
        ]
        await asyncio.gather(*map(fired, handles))
        async with worker():
            answers = await asyncio.gather(*asked, return_exceptions=True)
            return await asyncio.wait_for(asyncio.gather(*[one.result() for one in handles]), 60), answers


async def test_query_before_the_task_that_is_due_does_not_change_what_time_it_sees() -> None:
    times, answers = await slept(TimelyRunner(UnsandboxedWorkflowRunner()))
    assert min(times) >= 1
    failed = [one for one in answers if isinstance(one, BaseException)]
    assert all(isinstance(one, WorkflowQueryFailedError) and names.ASK_AGAIN in str(one) for one in failed)


async def test_without_care_such_a_query_makes_a_timer_fire_at_the_wrong_time() -> None:
    """What the rule rests on: when the SDK has mended it, this fails, and `workflows/timely.py` can go."""
    times, _ = await slept(UnsandboxedWorkflowRunner())
    assert min(times) < 1
