"""How far a state moves on by itself, and what is to be under way then."""

from datetime import datetime

from core import asking, rounds, undoing
from core.change import change, in_phase
from core.messages import CallTool, Command, Conclude, Finish, Notify, OpenTask, ProposePlan, Wait
from core.task import Phase, Stage, TaskState


def advance(state: TaskState) -> TaskState:
    """Move on as far as is possible without the world."""
    if state.final is not None or (state.stage is Stage.OPENING and state.ending is None):
        return state
    if state.ending is not None:
        return _end(state)
    if state.stage is not Stage.ACTING:
        return state
    state = rounds.end_round(rounds.drop_dependents(state))
    return state if state.paused or state.stage is not Stage.ACTING else rounds.promote(state)


def _end(state: TaskState) -> TaskState:
    """End, once nothing is in flight or in doubt, and what is to be undone is undone."""
    if state.ending is None or in_phase(state, Phase.CALLING, Phase.DOUBTED):
        return state
    if state.undoing is None:
        if not undoing.is_wanted(state):
            return change(state, final=state.ending.status, stage=Stage.ENDED)
        state = undoing.begin(state)
    return undoing.advance(state)


def commands(state: TaskState) -> list[Command]:
    """Say what is to be under way now."""
    notices: list[Command] = [Notify(request=told.request, rung=told.rung) for told in state.told.values()]
    if state.final is not None:
        return notices or [Finish(status=state.final)]
    waits: list[Command] = [Wait(until=min(_deadlines(state)))] if _deadlines(state) else []
    if state.is_held_back and (state.stage is not Stage.OPENING or state.ending):  # opened first: who owns it?
        return [*notices, *waits]
    calls: list[Command] = [
        CallTool(step=step.id, revision=step.revision, entry=step.entry) for step in in_phase(state, Phase.CALLING)
    ]
    return [*notices, *waits, *calls, *_stage_commands(state)]


def _stage_commands(state: TaskState) -> list[Command]:
    if state.ending is not None:
        awaited = undoing.next_list(state)
        return [awaited] if awaited else []
    match state.stage:
        case Stage.OPENING:
            return [OpenTask()]
        case Stage.PLANNING if not in_phase(state, Phase.CALLING):
            return [ProposePlan(call=state.planning.call, route=state.planning.route)]
        case Stage.CONCLUDING:
            return [Conclude(round=state.round, entry=state.conclusions)]
    return []


def _deadlines(state: TaskState) -> list[datetime]:
    parked = state.retry_at if state.stage is Stage.PARKED else None
    whole = state.deadline if state.ending is None else None
    return [one for one in (parked, whole, *asking.deadlines(state)) if one is not None]
