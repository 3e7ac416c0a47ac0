"""What a history tells: which events there are, and that no workflow task failed."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, CancelledError

from tests.worlds import ask

_HARMLESS = (
    # a signal came while the last decision was on its way: the server has the task decided once more
    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND,
    # how the server marks the place at which a reset begins
    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW,
)


async def events_of(handle: WorkflowHandle[Any, Any]) -> Sequence[HistoryEvent]:
    """Fetch the events of the latest run."""
    return (await handle.fetch_history()).events


def counted(events: Sequence[HistoryEvent]) -> Counter[str]:
    """Count events by type, such as ``ACTIVITY_TASK_SCHEDULED``."""
    return Counter(EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in events)


def activities_of(events: Sequence[HistoryEvent]) -> list[str]:
    """Name the types of the activities that were scheduled, in order."""
    attributes = [event.activity_task_scheduled_event_attributes for event in events]
    return [one.activity_type.name for one in attributes if one.activity_id]


def assert_never_failed(events: Sequence[HistoryEvent]) -> None:
    """Assert that no workflow task failed: that is the way in which a task hangs for ever.

    One that timed out (a worker was stopped with it in hand, or the machine was busy) is simply handed out again.
    """
    for event in events:
        failed = event.workflow_task_failed_event_attributes
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED and failed.cause not in _HARMLESS:
            raise AssertionError(f"event {event.event_id}: {failed.failure.message}\n{failed.failure.stack_trace}")


async def outcome_of(handle: WorkflowHandle[Any, Any], seconds: float = 60) -> dict[str, Any]:
    """Return the TaskResult of a task that ends, whichever way: as result, in the failure's details, or in the memo."""
    try:
        result: dict[str, Any] = await asyncio.wait_for(handle.result(), seconds)
    except WorkflowFailureError as error:
        match error.cause:
            case ApplicationError() as failure if failure.details:
                return dict(failure.details[0])
            case CancelledError():
                return dict(await (await handle.describe()).memo_value("result"))
        raise
    return result


async def requests_of(handle: WorkflowHandle[Any, Any]) -> list[dict[str, Any]]:
    """Ask what people are asked."""
    requests: list[dict[str, Any]] = await ask(handle, "requests")
    return requests
