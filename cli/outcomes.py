"""How a task ended, read from wherever Temporal keeps it: the result, the failure's details, or the memo."""

from pydantic import ValidationError
from temporalio.client import WorkflowExecutionDescription, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, CancelledError, TerminatedError
from temporalio.exceptions import TimeoutError as TimedOut

from core.record import Json, Record
from core.views import TaskResult


class Outcome(Record):
    """The end of a task. `result` is None when the task never got that far (bad input, terminated)."""

    status: str
    reason: str = ""
    result: TaskResult | None = None

    @property
    def is_completed(self) -> bool:
        """Whether the task was done."""
        return self.status == "COMPLETED"


async def read_outcome(handle: WorkflowHandle[Json, Json]) -> Outcome:
    """Wait for the end of a task and read it."""
    try:
        result = await handle.result()
    except WorkflowFailureError as failure:
        return await _unhappy(handle, failure.cause)
    return _of_result(result, "COMPLETED", "")


async def _unhappy(handle: WorkflowHandle[Json, Json], cause: BaseException) -> Outcome:
    match cause:
        case ApplicationError():
            return _of_result(cause.details[0] if cause.details else None, cause.type or "FAILED", cause.message)
        case CancelledError():
            return _of_result(await _memo(await handle.describe()), "CANCELLED", "the task was cancelled")
        case TerminatedError():
            return Outcome(status="TERMINATED", reason=cause.message or "the workflow was terminated")
        case TimedOut():
            return Outcome(status="TIMED_OUT", reason="the workflow ran out of time")
    return Outcome(status="FAILED", reason=str(cause))


async def _memo(description: WorkflowExecutionDescription) -> Json:
    return (await description.memo()).get("result")


def _of_result(raw: Json, status: str, reason: str) -> Outcome:
    try:
        result = TaskResult.model_validate(raw)
    except ValidationError:
        return Outcome(status=status, reason=reason)
    return Outcome(status=result.status.value, reason=result.reason or reason, result=result)
