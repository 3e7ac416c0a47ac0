"""How a run begins: with what somebody wants, or with what the run before it carried over."""

from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError
from temporalio import workflow

from core import machine
from core.carrying import fold_old
from core.change import change
from core.profile import EndStatus
from core.record import Json, as_given
from core.task import Ending, Stage, TaskSpec, TaskState
from workflows.payloads import Undecodable, decode, read


@dataclass(frozen=True, slots=True)
class Beginning:
    """`ancestors`: runs that this one continues, as long as the ledger may not know it; data, never branched on."""

    state: TaskState
    ancestors: tuple[str, ...] = ()


def begin(raw: object) -> Beginning:
    """Make or take over the state; after a bad input it is that of a task that has ended, with the reason."""
    wish: Json = None
    try:
        if workflow.info().continued_run_id and isinstance(carried := decode(raw), dict) and "carried" in carried:
            return _take_over(carried)
        wish = read(raw)
        spec = TaskSpec.model_validate(as_given(wish, TaskSpec))
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, one['loc']))[:100] or 'input'}: {one['msg']}" for one in error.errors()[:10]
        )
        return _ended(wish, wrong)
    except Undecodable as error:
        return _ended(wish, str(error))
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


def _ended(wish: Json, wrong: str) -> Beginning:
    """Nothing is started, and nobody is told: whose task it is cannot be known."""
    expected = '{"agent": "...", "goal": "...", "inputs": {...}, "requested_by": "..."}'
    ending = Ending(
        status=EndStatus.FAILED, reason=f"the input of the task is wrong: {wrong[:1500]}. Expected {expected}"
    )
    shown = wish if isinstance(wish, dict) else {}
    spec = TaskSpec.model_construct(agent=_text(shown.get("agent"), 200), goal=_text(shown.get("goal"), 2_000))
    state = machine.start(workflow.info().workflow_id, spec, workflow.now())
    return Beginning(change(state, ending=ending, final=ending.status, stage=Stage.ENDED))


def _text(value: Json, limit: int) -> str:
    return value[:limit] if isinstance(value, str) else ""
