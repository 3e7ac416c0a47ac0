"""What is left over when a task ends: outcomes that nobody knows, and what stays done though it was to be undone."""

from collections.abc import Iterator
from itertools import islice

from core.change import all_steps
from core.contract import Effect
from core.record import Record
from core.task import Phase, Step, TaskState

_MOST = 100


class OpenView(Record):
    """Something that stays open when a task ends."""

    step: str
    tool: str
    what: str


def left_over(state: TaskState) -> list[OpenView]:
    """List it, unknown outcomes first; at most 100."""
    return list(islice([*_unknown(state), *_stays_done(state)], _MOST))


def _unknown(state: TaskState) -> Iterator[OpenView]:
    for step in all_steps(state):
        if step.outcome == "unknown" or step.phase is Phase.DOUBTED:
            yield OpenView(step=step.id, tool=step.tool, what=step.message[:300] or "its outcome is not known")


def _stays_done(state: TaskState) -> Iterator[OpenView]:
    """Yield what was not taken back by a task that undoes."""
    if state.undoing is None:
        return
    if state.undoing.fault:
        yield OpenView(step="", tool="", what=state.undoing.fault[:300])
    undos = {step.undoes: step for step in all_steps(state) if step.undoes}
    for step in all_steps(state):
        undo = undos.get(step.key)
        if _is_effect(step) and not (undo and undo.phase is Phase.SUCCEEDED):
            yield OpenView(step=step.id, tool=step.tool, what=_why(undo))
    yield from _of_earlier_runs(state, undos)


def _of_earlier_runs(state: TaskState, undos: dict[str, Step]) -> Iterator[OpenView]:
    """Yield undos that failed of effects that are not in the state any more."""
    known = {step.key for step in all_steps(state)}
    for key, undo in undos.items():
        if key not in known and undo.phase is not Phase.SUCCEEDED:
            yield OpenView(step=undo.id, tool=undo.tool, what=_why(undo))


def _is_effect(step: Step) -> bool:
    is_done = step.phase is Phase.SUCCEEDED and not step.already and not step.undoes
    return is_done and step.terms.effect is not Effect.READ


def _why(undo: Step | None) -> str:
    if undo is None:
        return "it stays done: nothing undoes it"
    return f"it stays done: {undo.message or undo.code or 'its undo did not succeed'}"[:300]
