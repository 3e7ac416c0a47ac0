"""What comes back from the door: exactly one event for each visit of a step."""

from typing import assert_never

from core import adopting, asking, rounds, undoing
from core.change import put, replan
from core.contract import Effect
from core.messages import (
    ApprovalNeeded,
    CallCancelled,
    EpochOpened,
    GrownOld,
    OutcomeUnknown,
    ReceiptKept,
    ToolRefused,
    ToolSucceeded,
    ToolUnavailable,
)
from core.orders import shown_args
from core.task import Phase, Step, TaskState

CallEvent = ToolSucceeded | ToolRefused | ToolUnavailable | ApprovalNeeded | OutcomeUnknown | EpochOpened | GrownOld


def take(state: TaskState, event: CallEvent) -> TaskState:
    """Take in what a call brought; ignored unless the step is being called."""
    step = state.steps.get(event.step)
    if step is None or step.phase is not Phase.CALLING:
        return state
    if isinstance(event, EpochOpened):
        return _reset(state, step, event)
    step = step.model_copy(update={"receipt": None})
    match event:
        case ToolSucceeded():
            return rounds.succeed(state, step, event, shown_args(state, step))
        case ToolRefused():
            state = _refused(state, step, event)
            return undoing.take_failure(state, step, event) if step.undoes else state
        case ToolUnavailable():
            state = _unavailable(state, step, event)
            return undoing.take_failure(state, step, event) if step.undoes else state
        case ApprovalNeeded() | GrownOld() if state.settles_only:
            why = state.ending.reason if state.ending else "its plan was given up"
            return put(state, step, phase=Phase.DROPPED, message=why)
        case ApprovalNeeded():
            return asking.approval(state, step, event)
        case GrownOld():
            return rounds.revise(state, step, outdated=step.outdated + 1)
        case OutcomeUnknown():
            return asking.outcome(state, step, event)
    assert_never(event)


def _reset(state: TaskState, step: Step, event: EpochOpened) -> TaskState:
    """Begin a new epoch; a call that was made with an order of before goes to the door again."""
    if event.epoch > state.epoch:
        return adopting.start_epoch(state, event)
    return put(state, step, entry=step.entry + 1)


def keep_receipt(state: TaskState, event: ReceiptKept) -> TaskState:
    """Keep what the tool answered until the ledger has it: the next visit brings it along."""
    step = state.steps.get(event.step)
    if step is None or step.phase is not Phase.CALLING:
        return state
    return put(state, step, receipt=event.receipt, entry=step.entry + 1)


def _refused(state: TaskState, step: Step, event: ToolRefused) -> TaskState:
    """Remember a definite no. One to a person's edit brings the planned arguments back before the approver."""
    is_certain = event.outcome == "failed"  # what was written off may have happened: it is not to be made again
    is_an_approvers_edit = step.edited is not None and bool(step.approvals)
    if is_an_approvers_edit and is_certain and state.ending is None and not state.is_outdated:
        note = f"Your edit was refused ({event.message or event.code}); these are the arguments as planned."
        return rounds.revise(state, step, edited=None, edited_by="", edited_origin={}, message=note)
    return put(
        state, step, phase=Phase.REFUSED, code=event.code, message=event.message, outcome=event.outcome, ruling=None
    )


def _unavailable(state: TaskState, step: Step, event: ToolUnavailable) -> TaskState:
    if state.ending is None and not state.is_outdated:
        if fallen := rounds.fall_back(state, step):
            return fallen
        without = (*state.planning.without_tools, *step.tried, step.tool)
        state = replan(state, without_tools=tuple(dict.fromkeys(without)))
    return put(state, step, phase=Phase.UNAVAILABLE, code="unavailable", message=event.reason, outcome="failed")


def cancelled(state: TaskState, event: CallCancelled) -> TaskState:
    """Look again at a call that was called back before it was sent: its row, if there is one, says how it stands."""
    step = state.steps.get(event.step)
    if step is None or step.phase is not Phase.CALLING:
        return state
    if step.terms.effect is Effect.READ and state.settles_only:
        if step.seen_at is not None:  # it was being read again: what it said before stands
            return put(state, step, phase=Phase.SUCCEEDED)
        return put(state, step, phase=Phase.DROPPED, message="not needed any more")
    return put(state, step, entry=step.entry + 1)


def broke(state: TaskState, visit: str, reason: str) -> TaskState:
    """Give a call that ended in an error of none of ours a path: after a write nobody knows what happened."""
    step_id = visit.partition(":")[0]
    step = state.steps.get(step_id)
    if step is None or step.phase is not Phase.CALLING or visit != f"{step.id}:{step.revision}:{step.entry}":
        return state
    if step.terms.effect is Effect.READ:
        return _unavailable(state, step, ToolUnavailable(step=step_id, reason=reason))
    return asking.outcome(state, step, OutcomeUnknown(step=step_id, reason=reason))
