"""A reset of a task, as an operator makes it with Temporal's own tools."""

import uuid

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client


async def reset(client: Client, task_id: str, *, to_the_start: bool) -> str:
    """Reset to the first workflow task, or else to the last one that ended; return the new run's id."""
    handle = client.get_workflow_handle(task_id)
    ended = [
        event.event_id
        async for event in handle.fetch_history_events()
        if event.HasField("workflow_task_completed_event_attributes")
    ]
    request = ResetWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_execution=WorkflowExecution(workflow_id=task_id),
        reason="the trial resets it",
        workflow_task_finish_event_id=ended[0 if to_the_start else -1],
        request_id=str(uuid.uuid4()),
    )
    return (await client.workflow_service.reset_workflow_execution(request)).run_id
