"""One storm, first task to last: starts them, lets the nemesis loose, waits, lets all settle, and has it judged."""

import asyncio
import sqlite3
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from trials.storm.checker import Judgement, judge
from trials.storm.evidence import Evidence, read_bank, read_consumed, read_people, read_rows, read_tools
from trials.storm.forging import Forger
from trials.storm.histories import read_ends
from trials.storm.journal import read_journal
from trials.storm.meddling import Counter as SentCounter
from trials.storm.meddling import Meddler
from trials.storm.nemesis import Deployer, LedgerNemesis, ServerNemesis, WorkerNemesis
from trials.storm.stage import QUEUE, Stage, staged
from trials.storm.truth import TaskTruth, Truth

_SHARE = 0.9
_OPEN = "select count(*) from lastmile_effects where state in ('IN_FLIGHT', 'IN_DOUBT')"
_STRUCK = "select fault, count(*) from strikes group by fault"


@dataclass(frozen=True, slots=True)
class Weather:
    """What goes wrong in a run. ``fault_rate``: of the bank's answers; ``deployments``: SIGTERMs under load."""

    name: str
    fault_rate: float = 0.0
    nemesis: bool = False
    deployments: int = 0


@dataclass(frozen=True, slots=True)
class Size:
    """How much runs. ``at_once``: tasks under way; ``limit_s``: until nothing more is waited for.

    ``quiet_s``: after that, without a nemesis, for what still runs or is in doubt, at most.
    """

    tasks: int
    at_once: int
    limit_s: float
    quiet_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run brought. ``per_s``: tasks ended a second, until nine in ten had; ``blows``: what was done, by kind."""

    weather: Weather
    truth: Truth
    judgement: Judgement
    per_s: float
    seconds: float
    ended: int
    blows: Mapping[str, int]
    folder: Path
    ends: Mapping[str, int] = field(default_factory=dict)


class Load:
    """The tasks of a truth, so many at once. ``goes_on``: asked before each start; False = start nothing more."""

    def __init__(self, stage: Stage, size: Size, meddler: Meddler | None) -> None:
        self._stage, self._size, self._meddler = stage, size, meddler
        self.goes_on: Callable[[], bool] = lambda: True
        self.running: dict[str, TaskTruth] = {}
        self.started: list[TaskTruth] = []
        self.ended_at: list[float] = []
        self.began_at = time.monotonic()

    async def run(self) -> None:
        """Run them all to their ends."""
        gate = asyncio.Semaphore(self._size.at_once)
        self.began_at = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for task in self._stage.truth.tasks:
                await gate.acquire()
                if not self.goes_on():
                    return
                self.started.append(task)
                group.create_task(self._one(task, gate))

    @property
    def per_s(self) -> float:
        """Tasks ended a second, until nine in ten of those that were started had: the last ones wait for people."""
        count = int(len(self.started) * _SHARE)
        if count == 0 or len(self.ended_at) < count:
            return 0.0
        return count / (sorted(self.ended_at)[count - 1] - self.began_at)

    async def _one(self, task: TaskTruth, gate: asyncio.Semaphore) -> None:
        self.running[task.task_id] = task
        try:
            await self._start(task)
            await self._to_the_end(task)
        finally:
            del self.running[task.task_id]
            gate.release()
        self.ended_at.append(time.monotonic())

    async def _to_the_end(self, task: TaskTruth) -> None:
        ended = asyncio.Event()
        meddling = asyncio.create_task(self._meddle(task, ended))
        try:
            await self._ended(task.task_id)
            ended.set()
            if await meddling:
                await self._ended(task.task_id)
        finally:
            meddling.cancel()

    async def _meddle(self, task: TaskTruth, ended: asyncio.Event) -> bool:
        return self._meddler is not None and await self._meddler.meddle(task, ended)

    async def _start(self, task: TaskTruth) -> None:
        wish = {"agent": task.agent, "goal": task.goal, "inputs": task.inputs, "requested_by": task.requested_by}
        while True:
            try:
                await self._stage.client.start_workflow(
                    "AgentTask",
                    wish,
                    id=task.task_id,
                    task_queue=QUEUE,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                )
            except WorkflowAlreadyStartedError:
                return  # an earlier try arrived, and the task has ended already
            except RPCError:
                await asyncio.sleep(0.3)
            else:
                return

    async def _ended(self, task_id: str) -> None:
        handle = self._stage.client.get_workflow_handle(task_id)
        while True:
            with suppress(RPCError, WorkflowFailureError, TimeoutError):
                async with asyncio.timeout(60):
                    await handle.result()
            with suppress(RPCError):
                if (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING:
                    return
            await asyncio.sleep(0.2)


async def run(folder: Path, seed: int, size: Size, weather: Weather, say: Callable[[str], None]) -> Ran:
    """Run one storm (or a calm), let it settle, and judge it."""
    began = time.monotonic()
    async with staged(folder, seed, size.tasks, fault_rate=weather.fault_rate) as stage:
        say(f"{weather.name}: {len(stage.truth.tasks)} tasks, seed {seed}, in {folder}")
        sent = SentCounter(stage.ledger)
        meddler = Meddler(seed, stage.client, sent, stage.journal) if weather.nemesis else None
        load = Load(stage, size, meddler)
        deployer = Deployer(stage.workers, lambda: len(load.ended_at), stage.journal, weather.deployments)
        if weather.deployments:
            load.goes_on = lambda: deployer.done < weather.deployments
        async with acting(sent.run(), _progress(stage, load, weather, say)):
            async with acting(*_actors(seed, stage, load, weather, deployer)):
                with suppress(TimeoutError):
                    async with asyncio.timeout(size.limit_s):
                        await load.run()
            seconds = time.monotonic() - began
            await settled(stage, size.quiet_s)
        truth = Truth(seed=seed, tasks=tuple(load.started))
        evidence = await gather(stage, truth)
    return Ran(
        weather=weather,
        truth=truth,
        judgement=judge(truth, evidence),
        per_s=load.per_s,
        seconds=seconds,
        ended=len(load.ended_at),
        blows=read_blows(folder),
        folder=folder,
        ends=Counter(end.status for end in evidence.ends.values()),
    )


def _actors(seed: int, stage: Stage, load: Load, weather: Weather, deployer: Deployer) -> Sequence[Any]:
    if weather.deployments:
        return [deployer.run()]
    if not weather.nemesis:
        return []
    lately = Lately(stage.people)
    forger = Forger(seed, stage.client, lambda: list(load.running.values()), lately.said, stage.journal)
    return [
        WorkerNemesis(seed, stage.workers, stage.journal).run(),
        ServerNemesis(seed, stage.server, stage.journal).run(),
        LedgerNemesis(seed, [stage.ledger, stage.ledger, stage.tools], stage.journal).run(),
        forger.run(),
    ]


class Lately:
    """What people said lately, for whoever repeats it."""

    def __init__(self, journal: Path) -> None:
        self._journal, self._offset = journal, 0
        self._said: deque[Mapping[str, Any]] = deque(maxlen=50)

    def said(self) -> Sequence[Mapping[str, Any]]:
        """Return the last answers."""
        if self._journal.exists():
            lines = list(read_journal(self._journal, self._offset))
            self._offset += sum(size for size, _ in lines)
            self._said.extend(line for _, line in lines if line["what"] == "says")
        return list(self._said)


async def settled(stage: Stage, within_s: float) -> None:
    """Wait until no task runs and no effect is in doubt (those that wait for a person aside), or the time is over."""
    until = time.monotonic() + within_s
    while time.monotonic() < until and (await _running(stage) or _count(stage.ledger, _OPEN)):  # noqa: ASYNC110
        await asyncio.sleep(0.5)


async def _running(stage: Stage) -> int:
    try:
        return (await stage.client.count_workflows("ExecutionStatus = 'Running'")).count
    except RPCError:
        return -1


async def gather(stage: Stage, truth: Truth) -> Evidence:
    """Read every book."""
    said, asked, notices = read_people(stage.people)
    return Evidence(
        applications=[*read_bank(stage.bank), *read_tools(stage.tools)],
        rows=read_rows(stage.ledger),
        consumed=read_consumed(stage.ledger),
        ends=await read_ends(stage.client, [task.task_id for task in truth.tasks]),
        said=said,
        asked=asked,
        notices=notices,
    )


def read_blows(folder: Path) -> dict[str, int]:
    """Count what was done: by the nemesis (``worker.kill``) and by the bank (``bank.late``)."""
    done = Counter(line["what"] for _, line in read_journal(folder / "nemesis.jsonl") if line["who"] == "nemesis")
    with closing(sqlite3.connect(f"file:{folder / 'bank.db'}?mode=ro", uri=True)) as db:
        struck = {f"bank.{fault}": int(count) for fault, count in db.execute(_STRUCK)}
    return dict(sorted({**done, **struck}.items()))


async def _progress(stage: Stage, load: Load, weather: Weather, say: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(10)
        effects = _count(stage.bank, "select count(*) from applications")
        effects += _count(stage.tools, "select count(*) from transfers")
        say(
            f"{weather.name}: {time.monotonic() - load.began_at:.0f} s, {len(load.ended_at)} of "
            f"{len(stage.truth.tasks)} tasks ended, {len(load.running)} run, {effects} effects, "
            f"server {stage.server.lives} lives, workers {sum(one.lives for one in stage.workers)}"
        )


def _count(path: Path, query: str) -> int:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
            return int(db.execute(query).fetchone()[0])
    except sqlite3.OperationalError:  # not there yet, or locked by the nemesis
        return -1


@asynccontextmanager
async def acting(*actors: Any) -> AsyncIterator[None]:
    """Have coroutines run for as long as a block does; one that breaks breaks the block."""
    async with AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        running = [group.create_task(actor) for actor in actors]
        try:
            yield
        finally:
            for one in running:
                one.cancel()
