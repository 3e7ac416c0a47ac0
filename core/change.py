"""Small copies of the state, and small looks at it: how every other part of the machine changes it."""

from typing import Any

from core.task import Phase, Step, TaskState


def change(state: TaskState, **fields: Any) -> TaskState:
    """Copy the state with some fields replaced."""
    return state.model_copy(update=fields)


def replan(state: TaskState, **fields: Any) -> TaskState:
    """Copy the state with some fields of `planning` replaced."""
    return change(state, planning=state.planning.model_copy(update=fields))


def put(state: TaskState, step: Step, **fields: Any) -> TaskState:
    """Copy the state with one step replaced, some of its fields changed."""
    step = step.model_copy(update=fields) if fields else step
    return change(state, steps={**state.steps, step.id: step})


def all_steps(state: TaskState) -> list[Step]:
    """Return every step that the state still holds, oldest first."""
    return [*state.past.values(), *state.steps.values()]


def in_phase(state: TaskState, *phases: Phase) -> list[Step]:
    """Return the steps of this round that are in one of the phases, in order."""
    return [step for step in state.steps.values() if step.phase in phases]
