"""The runs of one task id: continued as new, reset, run again, and starts that were refused. Which one counts?"""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.history.v1 import WorkflowExecutionStartedEventAttributes as Started
from temporalio.client import WorkflowExecutionDescription, WorkflowExecutionStatus, WorkflowHistory
from temporalio.service import RPCError

from cli.opening import Desk
from cli.tasks import Task
from config.settings import Settings
from core import names
from core.errors import CallerError, LedgerDown
from core.receipts import TaskRow
from core.record import Json, Record

_ENDS = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: "COMPLETED",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: "FAILED",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT: "TIMED_OUT",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: "CANCELLED",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED: "TERMINATED",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW: "CONTINUED_AS_NEW",
}
"""What the last event of a run says of its end, in Temporal's words."""


class Run(Record):
    """One run. `how` it began: first, continued (as new), reset or again; `status`: Temporal's, not the task's."""

    run_id: str
    at: datetime
    ended_at: datetime | None = None
    status: str = ""
    how: str = "first"


async def task_that_counts(desk: Desk, task_id: str) -> Task:
    """Take up a task by the run that counts: a start that was refused, since the id had run before, hides nothing."""
    task = desk.task(task_id)
    if (await task.describe()).status is not WorkflowExecutionStatus.FAILED:
        return task
    return await which_counts(task, await _bound(desk.settings, task_id))


async def which_counts(task: Task, bound: TaskRow | None) -> Task:
    """Pick the run that the ledger is bound to where the latest one is of another chain and has failed."""
    latest = await task.describe()
    is_refused = latest.status is WorkflowExecutionStatus.FAILED and bound is not None and bool(bound.run_id)
    if not is_refused or bound is None or bound.first_run_id == first_run(latest):
        return task
    return await _known(Task(task.client, task.id, bound.run_id)) or task


def first_run(found: WorkflowExecutionDescription) -> str:
    """Return the id that a run shares with those that it continues, and with those that it was reset from."""
    return found.raw_description.workflow_execution_info.first_run_id


async def _known(task: Task) -> Task | None:
    try:
        await task.describe()
    except CallerError:
        return None
    return task


async def _bound(settings: Settings, task_id: str) -> TaskRow | None:
    """Ask the ledger which run it is bound to; None where it cannot be asked."""
    from ledger import open_ledger  # noqa: PLC0415 - brings the database library

    ledger = open_ledger(settings.ledger)
    try:
        return await ledger.task(task_id)
    except LedgerDown:
        return None
    finally:
        await ledger.close()


async def fetch_history(task: Task, run_id: str = "") -> WorkflowHistory:
    """Return the history of one run of a task; "" means its own. Raises CallerError when there is none."""
    await task.describe()
    handle = task.client.get_workflow_handle(task.id, run_id=run_id or task.run_id)
    try:
        return await handle.fetch_history()
    except RPCError as error:
        raise CallerError(f"the task {task.id!r} has no run {run_id!r}: {error.message}") from None


async def fetch_runs(task: Task) -> AsyncIterator[WorkflowHistory]:
    """Yield the histories of all runs that a task went through, the latest first."""
    run_id = ""
    while True:
        found = await fetch_history(task, run_id)
        yield found
        run_id = found.events[0].workflow_execution_started_event_attributes.continued_execution_run_id
        if not run_id:
            return


async def runs_of(task: Task) -> list[tuple[Run, WorkflowHistory]]:
    """Return every run of a task's id that Temporal still has, with its history, in the order in which they began."""
    found: dict[str, WorkflowHistory] = {}
    todo = [(await task.describe()).run_id, *[one async for one in _listed(task)]]
    while todo:
        run_id = todo.pop(0)
        if run_id not in found:
            found[run_id] = await fetch_history(task, run_id)
            before = _started(found[run_id]).continued_execution_run_id
            todo += [before] if before else []
    known = [(_run(run_id, history), history) for run_id, history in found.items()]
    return sorted(known, key=lambda one: one[0].at)


async def _listed(task: Task) -> AsyncIterator[str]:
    """Ask visibility, which may be a moment late, for every run of the id."""
    if any(char in task.id for char in "'\"\\"):
        return
    try:
        async for one in task.client.list_workflows(f"WorkflowId = '{task.id}'"):
            yield one.run_id
    except RPCError:
        return


async def has_begun(task: Task) -> bool:
    """Whether any run of the task's id got as far as to carry our search attributes, as visibility says."""
    if any(char in task.id for char in "'\"\\"):
        return False
    query = f"WorkflowId = '{task.id}' AND {names.STATUS_ATTRIBUTE} IS NOT NULL"
    return (await task.client.count_workflows(query)).count > 0


async def agent_wanted(task: Task) -> str:
    """Read in a run's first event which agent was asked for; "" where its input names none."""
    async for event in task.handle.fetch_history_events(page_size=1):
        agent = _wish(event.workflow_execution_started_event_attributes).get("agent")
        return agent[:200] if isinstance(agent, str) else ""
    return ""


def _run(run_id: str, history: WorkflowHistory) -> Run:
    """Read what a run's history says of its beginning and its end. One that was reset begins when it was reset."""
    started, last = _started(history), history.events[-1]
    ended = _ENDS.get(last.event_type)
    at = history.events[0].event_time
    if (how := _how(run_id, started)) == "reset":
        at = next((one.event_time for one in history.events if _is_reset(one, run_id)), at)
    return Run(
        run_id=run_id,
        at=at.ToDatetime(tzinfo=UTC),
        ended_at=last.event_time.ToDatetime(tzinfo=UTC) if ended else None,
        status=ended or "RUNNING",
        how=how,
    )


def _how(run_id: str, started: Started) -> str:
    if started.original_execution_run_id not in ("", run_id):
        return "reset"
    if started.continued_execution_run_id:
        return "continued"
    return "again" if _is_again(started) else "first"


def _is_again(started: Started) -> bool:
    return bool(_wish(started).get("again"))


def _wish(started: Started) -> dict[str, Json]:
    """Read the input of a run; empty where it is none of ours."""
    payloads = started.input.payloads
    try:
        found = json.loads(payloads[0].data) if payloads else None
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_reset(event: HistoryEvent, run_id: str) -> bool:
    failed = event.workflow_task_failed_event_attributes
    return event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED and failed.new_run_id == run_id


def _started(history: WorkflowHistory) -> Started:
    return history.events[0].workflow_execution_started_event_attributes
