"""The runs of a task as Temporal knows them."""

from dataclasses import dataclass

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode


@dataclass(frozen=True, slots=True)
class TemporalRuns:
    """``core.ports.Runs`` over a client."""

    client: Client

    async def current(self, task_id: str) -> str | None:
        """Return the run id of the latest run that is open; None = there is none. Raises RPCError."""
        try:
            latest = await self.client.get_workflow_handle(task_id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise
        return latest.run_id if latest.status is WorkflowExecutionStatus.RUNNING else None
