"""Keep the state small: what is carried into the next run, at most 256 kB of JSON."""

from core.change import change
from core.contract import Effect
from core.task import Folded, Step, TaskState

MAX_BYTES = 192 * 1024
"""Below the 256 kB that a state may have, since signals may still add to it."""


def fold_old(state: TaskState) -> TaskState:
    """Drop the oldest ended steps until the state fits; the ledger keeps them, the state keeps their number."""
    excess = len(state.model_dump_json()) - MAX_BYTES
    if excess <= 0:
        return state
    past: dict[str, Step] = dict(state.past)
    steps = effects = 0
    for step_id, step in state.past.items():
        if excess <= 0:
            break
        excess -= len(step.model_dump_json()) + len(step_id) + 4
        del past[step_id]
        steps += 1
        effects += step.terms.effect is not Effect.READ
    folded = Folded(steps=state.folded.steps + steps, effects=state.folded.effects + effects)
    return change(state, past=past, folded=folded)
