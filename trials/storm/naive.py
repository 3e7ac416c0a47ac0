"""The naive baselines: the same effects as plain Temporal activities, with retries, or with retries and a table.

``python -m trials.storm.naive --which retries|table --address HOST:PORT --queue QUEUE --bank URL --table FILE
--database FILE`` works until SIGTERM. The workflow ``NaiveTask`` takes a `TaskTruth` and makes the effects in it that
are to happen and take nothing back; approvals count as given. It returns ``{"succeeded": [MEMO, ...]}``.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from temporalio import workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ActivityError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from trials.storm.naive_calls import Bank, Table, Transfer
from trials.storm.truth import EffectTruth, Fate, TaskTruth

_RETRIES = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=5))
_ONE_ATTEMPT = timedelta(seconds=5)


@workflow.defn(name="NaiveTask")
class NaiveTask:
    """A task as it is often written: activities in order, each tried until it answers."""

    @workflow.run
    async def run(self, task: TaskTruth) -> dict[str, list[str]]:
        """Make the effects, those side by side that wait for the same; leave out what waits for a refused one."""
        succeeded: list[str] = []
        todo = [one for one in task.effects if one.fate is not Fate.NEVER and not one.undoes]
        while ready := [one for one in todo if set(one.after) <= set(succeeded)]:
            done = await asyncio.gather(*(self._make(one) for one in ready))
            succeeded += [one.memo for one, is_done in zip(ready, done, strict=True) if is_done]
            todo = [one for one in todo if one not in ready]
        return {"succeeded": succeeded}

    async def _make(self, effect: EffectTruth) -> bool:
        try:
            await workflow.execute_activity(
                "transfer", effect, start_to_close_timeout=_ONE_ATTEMPT, retry_policy=_RETRIES
            )
        except ActivityError:  # a definite no; everything else is retried for ever
            return False
        return True


async def serve(given: argparse.Namespace) -> None:
    """Work until SIGTERM or Ctrl-C."""
    client = await _connected(given.address)
    async with Worker(
        client,
        task_queue=given.queue,
        workflows=[NaiveTask],
        activities=[_transfer(given)],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        sys.stderr.write("naive.started\n")
        sys.stderr.flush()
        await _stopped()


def _transfer(given: argparse.Namespace) -> Transfer:
    bank = Bank(given.bank, given.database)
    if given.which == "retries":
        return bank.transfer
    table = Table(bank, given.table)
    table.prepare()
    return table.transfer


async def _stopped() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


async def _connected(address: str) -> Client:
    """Connect as soon as the server answers; it may be down when we are started. Raises TimeoutError after a minute."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await Client.connect(address, data_converter=pydantic_data_converter)
            except RuntimeError:
                await asyncio.sleep(0.5)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a naive worker; 3 when the server does not answer."""
    parser = argparse.ArgumentParser(prog="python -m trials.storm.naive", description="Do the same work naively.")
    parser.add_argument("--which", choices=("retries", "table"), required=True)
    parser.add_argument("--address", required=True, help="of the Temporal server, HOST:PORT")
    parser.add_argument("--queue", required=True)
    parser.add_argument("--bank", required=True, help="the bank's URL")
    parser.add_argument("--table", type=Path, required=True, help="SQLite file of the idempotency table")
    parser.add_argument("--database", type=Path, required=True, help="SQLite file with the table transfers")
    given = parser.parse_args(argv)
    try:
        asyncio.run(serve(given))
    except TimeoutError:
        sys.stderr.write(f"error: no Temporal server answers at {given.address}; start one there\n")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
