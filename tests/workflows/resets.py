"""Real resets, as people make them in the Temporal UI or with its command line."""

from typing import Any

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, ResetReapplyType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowHandle

Handle = WorkflowHandle[Any, Any]


async def reset(client: Client, task_id: str, *, to: int = 0, run_id: str = "") -> Handle:
    """Reset a run (the latest by default) to its workflow task number `to`: from 0, or -1 for the last that ended.

    Temporal sends the signals that came after it once more. Returns the handle of whatever run is the latest.
    """
    base = client.get_workflow_handle(task_id, run_id=run_id or await latest_run(client, task_id))
    ends = [
        event.event_id
        for event in (await base.fetch_history()).events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    ]
    await client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=task_id, run_id=base.run_id or ""),
            reason="a test",
            workflow_task_finish_event_id=ends[to],
            request_id=f"{task_id}-{base.run_id}-{ends[to]}",
            reset_reapply_type=ResetReapplyType.RESET_REAPPLY_TYPE_ALL_ELIGIBLE,
        )
    )
    return client.get_workflow_handle(task_id)


async def latest_run(client: Client, task_id: str) -> str:
    """Return the run id of the latest run."""
    return (await client.get_workflow_handle(task_id).describe()).run_id


async def workflow_task_before(handle: Handle, activity: str) -> int:
    """Return the number of the workflow task that scheduled an activity of a type for the first time."""
    number = -1
    for event in (await handle.fetch_history()).events:
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
            number += 1
        if event.activity_task_scheduled_event_attributes.activity_type.name == activity:
            return number
    raise AssertionError(f"{activity} was not called")
