"""The baseline: a workflow that calls a bare activity, in a row or all at once. A process of its own."""

import asyncio
import sys

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from datetime import timedelta


@activity.defn
async def noop(number: int) -> dict[str, int]:
    """Do nothing, and say so."""
    return {"number": number}


@workflow.defn(name="Bare")
class Bare:
    """Call the activity `calls` times."""

    @workflow.run
    async def run(self, order: dict[str, int]) -> int:
        """`order`: calls, and whether they are independent."""
        numbers = range(order["calls"])
        if order["independent"]:
            await asyncio.gather(*(self._call(number) for number in numbers))
        else:
            for number in numbers:
                await self._call(number)
        return order["calls"]

    async def _call(self, number: int) -> dict[str, int]:
        return await workflow.execute_activity(
            noop, number, start_to_close_timeout=timedelta(seconds=35), heartbeat_timeout=timedelta(seconds=3)
        )


async def serve(address: str, task_queue: str) -> None:
    """Poll until the process is ended."""
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    worker = Worker(
        client,
        task_queue=task_queue,
        workflows=[Bare],
        activities=[noop],
        max_eager_activity_reservations_per_workflow_task=20,
    )
    await worker.run()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
