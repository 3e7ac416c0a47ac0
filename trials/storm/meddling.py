"""What the nemesis does to single tasks: cancel, terminate, reset and amend, as the truth says, and never otherwise."""

import asyncio
import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any, assert_never

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.service import RPCError

from trials.storm.journal import Journal
from trials.storm.truth import Blow, TaskTruth

WHO = "nemesis"
_LOOK_EVERY_S = 0.25
_TRIES = 40
_SENT = """
    select task_id, count(*) from lastmile_effects where sends > 0 and task_id in (select value from json_each(?))
    group by task_id
"""


class Counter:
    """How many effects of some tasks were sent, as the ledger's file says; one look serves all who wait."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._waited: dict[str, int] = {}
        self._counts: dict[str, int] = {}

    async def run(self) -> None:
        """Look, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            if self._waited:
                self._counts = await asyncio.to_thread(_sent, self._ledger, list(self._waited))

    async def reached(self, task_id: str, count: int) -> None:
        """Wait until that many effects of a task were sent."""
        self._waited[task_id] = count
        try:
            while self._counts.get(task_id, 0) < count:  # noqa: ASYNC110 - a file tells nobody that it changed
                await asyncio.sleep(_LOOK_EVERY_S / 2)
        finally:
            del self._waited[task_id]


def _sent(ledger: Path, task_ids: Sequence[str]) -> dict[str, int]:
    try:
        with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=5)) as db:
            return dict(db.execute(_SENT, (json.dumps(list(task_ids)),)).fetchall())
    except sqlite3.OperationalError:
        return {}


class TooEarly(Exception):
    """Nothing is there yet to reset a task to."""


class Meddler:
    """Does to a task what its truth says, once so many of its effects were sent (or, for a reset, when it ended)."""

    def __init__(self, seed: int, client: Client, counter: Counter, journal: Journal) -> None:
        self._seed, self._client, self._counter, self._journal = seed, client, counter, journal

    async def meddle(self, task: TaskTruth, ended: asyncio.Event) -> bool:
        """Wait for the moment and strike. Return whether the task may run again now (it was reset)."""
        if task.blow is Blow.NONE:
            return False
        random = Random(f"{self._seed}:{task.task_id}")  # noqa: S311 - a seed that repeats is what is wanted
        await self._moment(task, ended, random)
        if ended.is_set() and task.blow is not Blow.RESET:
            self._journal.write(WHO, "task.too_late", task=task.task_id, blow=task.blow.value)
            return False
        for _ in range(_TRIES):
            try:
                return await self._strike(task, random)
            except (RPCError, TooEarly) as error:  # the server is away, or the task has ended just now
                self._journal.write(WHO, "task.not_struck", task=task.task_id, why=str(error)[:200])
                if ended.is_set() and task.blow is not Blow.RESET:
                    return False
            await asyncio.sleep(0.5)
        return False

    async def _moment(self, task: TaskTruth, ended: asyncio.Event, random: Random) -> None:
        """Wait until enough was sent, or the task has ended."""
        waits: list[asyncio.Task[Any]] = [asyncio.create_task(ended.wait())]
        if task.blow_after:
            waits.append(asyncio.create_task(self._counter.reached(task.task_id, task.blow_after)))
        else:
            waits.append(asyncio.create_task(asyncio.sleep(random.uniform(0, 1.5))))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
        await asyncio.sleep(random.uniform(0, 0.5))

    async def _strike(self, task: TaskTruth, random: Random) -> bool:
        handle = self._client.get_workflow_handle(task.task_id)
        fields: Mapping[str, Any] = {}
        match task.blow:
            case Blow.CANCEL:
                await handle.cancel()
            case Blow.TERMINATE:
                await handle.terminate("the storm")
            case Blow.AMEND:
                await handle.signal("amend", {"goal": f"{task.goal} (amended)", "by": task.requested_by})
            case Blow.RESET:
                fields = await self._reset(handle, random)
            case Blow.NONE:
                return False
            case _:
                assert_never(task.blow)
        self._journal.write(WHO, f"task.{task.blow.value}", task=task.task_id, **fields)
        return task.blow is Blow.RESET

    async def _reset(self, handle: WorkflowHandle[Any, Any], random: Random) -> Mapping[str, Any]:
        """Reset to a random workflow task of the latest run."""
        found = await handle.describe()
        run = self._client.get_workflow_handle(handle.id, run_id=found.run_id)
        points = [
            event.event_id
            async for event in run.fetch_history_events()
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
        ]
        if not points:
            raise TooEarly(f"{handle.id} has not taken its first step yet")
        point = random.choice(points)
        answer = await self._client.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=self._client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=handle.id, run_id=found.run_id),
                reason="the storm",
                workflow_task_finish_event_id=point,
                request_id=f"{handle.id}:{found.run_id}:{point}",
            )
        )
        was_open = found.status is WorkflowExecutionStatus.RUNNING
        return {
            "from_run": found.run_id,
            "to_run": answer.run_id,
            "event": point,
            "of": len(points),
            "was_open": was_open,
        }
