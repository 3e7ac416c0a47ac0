"""Adoption: what earlier runs of the task did becomes a round of this one, and what they left open is found out.

The round follows no plan (`plan_digest` is empty), so its calls may only settle. It costs none of the rounds allowed.
"""

import re

from core import asking, names
from core.change import all_steps, change, replan
from core.contract import Effect
from core.messages import Adopted, EpochOpened, TaskOpened
from core.plan import STEP_ID, PlannedStep
from core.task import Folded, Phase, Stage, Step, TaskState

_MOST_LISTED = 20
_FATES = {
    "succeeded": (Phase.SUCCEEDED, "succeeded", ""),
    "unknown": (Phase.REFUSED, "unknown", "written_off"),
    "open": (Phase.CALLING, "", ""),
}


def take_over(state: TaskState, event: TaskOpened) -> TaskState:
    """Take in what the runs before this one did, as the task is opened."""
    state = _adopt(state, event, {})
    return _ask_owner(state, event.adopted) if event.is_reset else state


def start_epoch(state: TaskState, event: EpochOpened) -> TaskState:
    """Give up what is under way, since the task was reset; go on from what the abandoned branch did."""
    if event.epoch <= state.epoch:  # the other calls of the reset run say the same
        return state
    fresh = tuple(one for one in event.adopted if one.key not in _done(state))
    before = {step.key: step for step in state.steps.values()}
    kept = _still_in_doubt(state, {one.key for one in event.adopted}) if event.not_shown else ()
    state = _leave(_take_back(state, event))
    state = _adopt(state, event.model_copy(update={"adopted": (*fresh, *kept)}), before)
    return _ask_owner(state, fresh)


def _done(state: TaskState) -> set[str]:
    return {step.key for step in all_steps(state) if step.phase is Phase.SUCCEEDED}


def _still_in_doubt(state: TaskState, named: set[str]) -> tuple[Adopted, ...]:
    """Keep our own doubts where the list is cut: nobody else would ask about them."""
    doubted = [one for one in state.steps.values() if one.phase is Phase.DOUBTED and one.key not in named]
    return tuple(
        Adopted(
            step=one.id,
            tool=one.tool,
            key=one.key,
            intent=one.intent,
            revision=one.revision,
            terms=one.terms,
            outcome="open",
        )
        for one in doubted
    )


def _take_back(state: TaskState, event: EpochOpened) -> TaskState:
    """Mark what this run believes done, and the branch has undone since: it is in no complete list any more."""
    if event.not_shown:
        return state
    standing = {one.key for one in event.adopted}
    undone = {
        "phase": Phase.REFUSED,
        "outcome": "failed",
        "code": "undone",
        "message": "it was undone before the reset",
    }

    def look(steps: dict[str, Step]) -> dict[str, Step]:
        return {
            name: one.model_copy(update=undone) if _is_effect(one) and one.key not in standing else one
            for name, one in steps.items()
        }

    return change(state, past=look(state.past), steps=look(state.steps))


def _is_effect(step: Step) -> bool:
    sent = step.phase is Phase.SUCCEEDED and not step.already and not step.undoes
    return sent and step.terms.effect is not Effect.READ


def _leave(state: TaskState) -> TaskState:
    """Drop what is open and withdraw what is asked: the ledger's word takes the place of both."""
    for request in state.requests.values():
        state = asking.close(state, request, "withdrawn: the task was reset")
    dropped = {"phase": Phase.DROPPED, "message": "the task was reset"}
    steps = {name: one.model_copy(update=dropped) if one.phase.is_open else one for name, one in state.steps.items()}
    state = replan(state, call=state.planning.call + 1, faults=(), candidate=None, candidate_terms={})
    afresh = {"failed_plans": (), "calls_seen": {}, "conclusions": state.conclusions + 1, "undoing": None}
    return change(state, past={**state.past, **steps}, steps={}, **afresh)


def _adopt(state: TaskState, event: TaskOpened | EpochOpened, before: dict[str, Step]) -> TaskState:
    folded = Folded(steps=max(state.folded.steps, event.not_shown), effects=max(state.folded.effects, event.not_shown))
    state = change(
        state,
        epoch=event.epoch,
        next_intent=max(state.next_intent, event.next_intent),
        folded=folded,
        stage=Stage.ACTING,
        finish=None,
        plan_digest="",
    )
    return _make_round(state, event.adopted, before) if event.adopted else state


def _make_round(state: TaskState, adopted: tuple[Adopted, ...], before: dict[str, Step]) -> TaskState:
    state = change(state, round=state.round + 1, extra={**state.extra, "rounds": state.extra.get("rounds", 0.0) + 1})
    steps: dict[str, Step] = {}
    for one in adopted:
        kept = before[one.key].receipt if one.key in before else None
        step = _step(state.round, one, steps).model_copy(update={"receipt": kept})
        steps[step.id] = step
    return change(state, steps=steps)


def _step(round_number: int, one: Adopted, taken: dict[str, Step]) -> Step:
    """Make a step of an effect. Its arguments stand as a person's would: nothing in them is a reference."""
    phase, outcome, code = _FATES[one.outcome]
    planned = _name(round_number, one, taken)
    return Step(
        id=names.step_id(round_number, planned),
        planned=PlannedStep(id=planned, tool=one.tool, why=f"{one.step} of an earlier run"),
        edited=one.args,
        phase=phase,
        outcome=outcome,
        code=code,
        message=one.message or "an earlier run of this task did this" if one.outcome != "open" else one.message,
        forgotten=one.blob is None and bool(one.preview),
        **one.model_dump(include=_SAME_FIELDS),
        terms=one.terms,
    )


_SAME_FIELDS = {
    *("key", "intent", "revision", "result", "blob", "size", "preview"),
    *("verified", "approved_by", "undoes", "evidence"),
}


def _name(round_number: int, one: Adopted, taken: dict[str, Step]) -> str:
    name = one.step.replace(".", "_")
    is_free = names.step_id(round_number, name) not in taken
    return name if is_free and re.fullmatch(STEP_ID, name) else f"effect_{one.intent}_{one.revision}_{len(taken)}"


def _ask_owner(state: TaskState, adopted: tuple[Adopted, ...]) -> TaskState:
    """Nobody asked for this run: its owner says how to go on."""
    if not adopted or state.ending is not None:
        return state
    listed = ", ".join(f"{one.step} {one.tool} ({one.outcome})" for one in adopted[:_MOST_LISTED])
    more = f" and {len(adopted) - _MOST_LISTED} more" if len(adopted) > _MOST_LISTED else ""
    reason = f"the task was reset, and the run before had made {listed}{more}; how to go on?"
    return asking.stuck(change(state, stage=Stage.HELD), "reset", reason)
