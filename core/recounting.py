"""Build the briefing: what a planner is told of a task, newest first under a budget of bytes, every cut said."""

import json

from core.briefing import Briefing, Fact
from core.budget import left
from core.record import Json
from core.task import Phase, Step, TaskState

BUDGET_BYTES = 96 * 1024
RESULT_BYTES = 8 * 1024


def recount(state: TaskState, model: str, call: int) -> Briefing:
    """Tell the task to a planner."""
    steps = [*state.past.values(), *state.steps.values()]
    ended = [step for step in steps if step.phase is not Phase.DROPPED or step.message]
    cut: list[str] = []
    room = BUDGET_BYTES
    told: dict[str, Fact] = {}
    for step in reversed(ended):
        said: list[str] = []
        fact = _fact(step, said)
        room -= len(fact.model_dump_json().encode())
        if room < 0:
            cut.append(f"{len(ended) - len(told)} older steps were left out")
            break
        told[step.id] = fact
        cut += said
    if state.folded.steps:
        cut.append(f"{state.folded.steps} steps of the first rounds were left out")
    facts = list(reversed(told.items()))
    planning = state.planning
    return Briefing(
        task_id=state.task_id,
        agent=state.spec.agent,
        goal=state.spec.goal,
        inputs=state.spec.inputs,
        round=state.round + 1,
        call=call,
        replies=planning.replies,
        spent=planning.spent_errors.get(model, 0),
        done=tuple(fact for _, fact in facts if fact.outcome == "succeeded"),
        failed=tuple(fact for _, fact in facts if fact.outcome not in ("succeeded", "unknown")),
        in_doubt=tuple(fact for _, fact in facts if fact.outcome == "unknown"),
        faults=planning.faults,
        instructions_added=planning.instructions,
        without_tools=planning.without_tools,
        budget=left(state),
        cut=tuple(cut),
    )


def _fact(step: Step, cut: list[str]) -> Fact:
    outcome = step.outcome or step.phase.value
    notes = [step.code, step.message]
    if step.already:
        notes.append(f"nothing was sent: {step.of} had done this already")
    if step.verified is False:
        notes.append("done, but a read-back did not confirm it; it is not sent again")
    return Fact(
        step=step.id,
        tool=step.tool,
        outcome=outcome,
        args=_short(step.edited or step.planned.args, f"arguments of {step.id}", cut),
        result=_short(step.result, f"result of {step.id}", cut)
        if step.blob is None and not step.forgotten
        else _preview(step, cut),
        note="; ".join(note for note in notes if note),
    )


def _preview(step: Step, cut: list[str]) -> str:
    use = "it is kept no more: read it again to use it" if step.forgotten else "refer to it by $from as usual"
    cut.append(f"result of {step.id}: {step.size} bytes, only the beginning is shown; {use}")
    return step.preview


def _short(value: Json, what: str, cut: list[str]) -> Json:
    text = json.dumps(value)
    if len(text) <= RESULT_BYTES:
        return value
    cut.append(f"{what}: {len(text)} bytes, only the beginning is shown")
    return {"cut": text[:RESULT_BYTES]}
