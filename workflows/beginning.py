"""How a run begins: with what somebody wants, or with what the run before it carried over."""

from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError
from temporalio import workflow
from temporalio.exceptions import ApplicationError

from core import machine
from core.carrying import fold_old
from core.record import Json
from core.task import TaskSpec, TaskState
from workflows.payloads import Undecodable, decode, read


@dataclass(frozen=True, slots=True)
class Beginning:
    """`ancestors`: runs that this one continues, as long as the ledger may not know it; data, never branched on."""

    state: TaskState
    ancestors: tuple[str, ...] = ()


def begin(raw: object) -> Beginning:
    """Make or take over the state; a bad input ends the task with the reason."""
    try:
        if workflow.info().continued_run_id and isinstance(carried := decode(raw), dict) and "carried" in carried:
            return _take_over(carried)
        spec = TaskSpec.model_validate(read(raw))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'input'}: {one['msg']}" for one in error.errors()[:10])
        raise _bad_input(wrong) from None
    except Undecodable as error:
        raise _bad_input(str(error)) from None
    return Beginning(machine.start(workflow.info().workflow_id, spec, workflow.now()))


def carry(state: TaskState, ancestors: tuple[str, ...]) -> dict[str, Any]:
    """Make the input of the next run, which continues this one and all that this one may be the first to name."""
    return {"carried": fold_old(state), "ancestors": [*ancestors, workflow.info().run_id]}


def _take_over(carried: dict[str, Json]) -> Beginning:
    state = TypeAdapter(TaskState).validate_python(carried["carried"])
    if "ancestors" in carried:
        return Beginning(state, tuple(carried["ancestors"]))
    info = workflow.info()  # carried by a worker that did not name them: the first run is the one that the ledger knows
    return Beginning(state, (info.first_execution_run_id, info.continued_run_id or ""))


def _bad_input(wrong: str) -> ApplicationError:
    expected = '{"agent": "...", "goal": "...", "inputs": {...}, "requested_by": "..."}'
    return ApplicationError(
        f"FAILED: the input of the task is wrong: {wrong}. Expected {expected}", type="FAILED", non_retryable=True
    )
