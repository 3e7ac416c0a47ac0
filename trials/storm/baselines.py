"""The same storm against the naive ways: the oracle must see them fail, or it could not see us fail either."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from temporalio.client import Client, WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from demo.child import free_port
from trials.storm.checker import Sort, judge
from trials.storm.evidence import Evidence, read_bank, read_tools
from trials.storm.journal import Journal
from trials.storm.nemesis import ServerNemesis, WorkerNemesis
from trials.storm.processes import Kept, Recipe, Server, environ_with, kept, module
from trials.storm.running import acting, read_blows
from trials.storm.stage import bank, make_transfers, prepare
from trials.storm.truth import Fate, TaskTruth, Truth

WAYS = {"retries": "a workflow with plain retries", "table": "the same with an idempotency table"}


@dataclass(frozen=True, slots=True)
class Naive:
    """What a naive way brought: effects applied more often than once, effects that never were, and the size of it."""

    way: str
    tasks: int
    applications: int
    duplicates: int
    lost: int
    kills: int
    ended: int


async def run_naive(
    folder: Path,
    way: str,
    seed: int,
    *,
    tasks: int,
    fault_rate: float,
    at_once: int,
    limit_s: float,
    say: Callable[[str], None],
) -> Naive:
    """Run one naive way under the storm's nemesis, and count by the truth."""
    truth = await prepare(folder, seed, tasks)
    make_transfers(folder / "tools.db")
    port, address = free_port(), free_port()
    async with AsyncExitStack() as stack:
        journal = Journal(folder / "nemesis.jsonl")
        stack.callback(journal.close)
        server = Server(folder, address, journal)
        await stack.enter_async_context(kept(server))
        await stack.enter_async_context(kept(Kept(bank(folder, port, seed, fault_rate), journal)))
        workers = [Kept(_worker(number, way, folder, server.address, port), journal) for number in (1, 2)]
        for one in workers:
            await stack.enter_async_context(kept(one))
        client = await Client.connect(server.address)
        load = _Load(client, truth, at_once)
        actors = (WorkerNemesis(seed, workers, journal).run(), ServerNemesis(seed, server, journal).run())
        began = time.monotonic()
        async with acting(*actors):
            with suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    await load.run()
        say(f"naive ({way}): {load.ended} of {tasks} tasks ended in {time.monotonic() - began:.0f} s")
    return _count(folder, way, truth, load.ended)


def _count(folder: Path, way: str, truth: Truth, ended: int) -> Naive:
    applications = [*read_bank(folder / "bank.db"), *read_tools(folder / "tools.db")]
    judgement = judge(truth, Evidence(applications=applications))
    applied = {one.memo for one in applications}
    due = [effect for task in truth.tasks for effect in task.effects if effect.fate is Fate.ONCE and not effect.undoes]
    done = read_blows(folder)
    return Naive(
        way=way,
        tasks=len(truth.tasks),
        applications=len(applications),
        duplicates=judgement.count(Sort.DUPLICATE),
        lost=sum(effect.memo not in applied for effect in due),
        kills=done.get("worker.kill", 0) + done.get("server.kill", 0),
        ended=ended,
    )


def _worker(number: int, way: str, folder: Path, address: str, port: int) -> Recipe:
    arguments = {
        "which": way,
        "address": address,
        "queue": "naive",
        "bank": f"http://127.0.0.1:{port}",
        "table": folder / "table.db",
        "database": folder / "tools.db",
    }
    words = [word for name, value in arguments.items() for word in (f"--{name}", str(value))]
    return Recipe(f"naive-{number}", module("naive", *words), folder, environ_with(), says="naive.started")


@dataclass(slots=True)
class _Load:
    client: Client
    truth: Truth
    at_once: int
    ended: int = 0

    async def run(self) -> None:
        gate = asyncio.Semaphore(self.at_once)
        async with asyncio.TaskGroup() as group:
            for task in self.truth.tasks:
                await gate.acquire()
                group.create_task(self._one(task, gate))

    async def _one(self, task: TaskTruth, gate: asyncio.Semaphore) -> None:
        try:
            await self._to_the_end(task)
        finally:
            gate.release()
        self.ended += 1

    async def _to_the_end(self, task: TaskTruth) -> None:
        while True:
            try:
                handle = await self.client.start_workflow(
                    "NaiveTask",
                    task.model_dump(mode="json"),
                    id=task.task_id,
                    task_queue="naive",
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                )
                await handle.result()
            except (WorkflowFailureError, WorkflowAlreadyStartedError):
                return
            except RPCError:
                await asyncio.sleep(0.3)
            else:
                return
