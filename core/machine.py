"""The behaviour of a task: `apply` says what is now known, `decide` what to do next. Both are pure.

::

                +--> PLANNING --> ACTING --> CONCLUDING --> ENDED
                |    |  ^  ^        |            |
                |    v  |  +--------+------------+     (a step failed, a condition does not hold)
              HELD   PARKED

HELD waits for the owner or an answer to a question, PARKED for a language model. Requests about single steps are open
beside all this; `ending` lets what is in flight finish and sends nothing new, but what takes back what was done.
"""

from datetime import datetime
from typing import Any, assert_never

from core import adopting, advancing, answers, asking, calls, deciding, rounds, undoing
from core.change import change, replan
from core.messages import (
    ActivityBroke,
    ApprovalNeeded,
    BudgetExceeded,
    CallCancelled,
    CancelRequested,
    Command,
    EffectsListed,
    EpochOpened,
    Event,
    GoalAmended,
    GrownOld,
    NoticeSent,
    NotUnderstood,
    OutcomeNotVerified,
    OutcomeUnknown,
    OutcomeVerified,
    Paused,
    PersonAnswered,
    PlannerUnavailable,
    PlanProposed,
    PlanRefused,
    ReceiptKept,
    Resumed,
    TaskOpened,
    TaskRefused,
    TimePassed,
    ToolRefused,
    ToolSucceeded,
    ToolUnavailable,
)
from core.plan import Fault
from core.planning import enter_planning, take_budget, take_plan, take_refusal, take_unavailable, unpark
from core.profile import EndStatus
from core.routing import route_model
from core.task import Stage, Status, TaskSpec, TaskState
from core.views import status_of
from core.visible import visible

_KEPT_UNACCEPTED = 10


def start(task_id: str, spec: TaskSpec, now: datetime) -> TaskState:
    """Make the state of a task that nothing is known of but the wish."""
    return TaskState(task_id=task_id, spec=spec, started_at=now, now=now, since=now)


def apply(state: TaskState, event: Event, now: datetime) -> TaskState:
    """Return the state after an event that became known at `now` (aware UTC). Never raises on any event."""
    state = change(state, now=now)
    if state.final is not None and not isinstance(event, NoticeSent | ActivityBroke):
        return state
    match event:
        case TaskOpened():
            return _opened(state, event)
        case TaskRefused():
            return asking.end(state, EndStatus.FAILED, event.reason) if state.stage is Stage.OPENING else state
        case PlanProposed():
            return _planned(state, event)
        case PlanRefused():
            return take_refusal(state, event)
        case PlannerUnavailable():
            return take_unavailable(state, event)
        case BudgetExceeded():
            return take_budget(state, event)
        case ToolSucceeded() | ToolRefused() | ToolUnavailable() | ApprovalNeeded() | OutcomeUnknown():
            return calls.take(state, event)
        case EpochOpened() | GrownOld():
            return calls.take(state, event)
        case ReceiptKept():
            return calls.keep_receipt(state, event)
        case EffectsListed():
            return undoing.take_list(state, event)
        case CallCancelled():
            return calls.cancelled(state, event)
        case PersonAnswered():
            return _answered(state, event)
        case NotUnderstood():
            return _unaccepted(state, event.text)
        case GoalAmended():
            return _amended(state, event)
        case Paused():
            return change(state, paused=True, paused_by=event.by)
        case Resumed():
            return change(state, paused=False, paused_by="")
        case CancelRequested():
            return _cancelled(state)
        case TimePassed():
            return _time_passed(state)
        case NoticeSent():
            return _told(state, f"{event.request}:{event.rung}")
        case OutcomeVerified():
            return _verified(state, event)
        case OutcomeNotVerified():
            return _not_verified(state, event)
        case ActivityBroke():
            return _broke(state, event)
    assert_never(event)


def decide(state: TaskState) -> tuple[TaskState, list[Command]]:
    """Move on as far as is possible without the world, and say what is to be under way now.

    The commands have stable ids: the shell starts those that are not under way. Called again with the state that it
    returned, it returns the same.
    """
    state = advancing.advance(state)
    status = status_of(state)
    if status is not state.seen_status:
        is_parked_again = status is Status.WAITING and state.planning.parked_at is not None
        since = state.planning.parked_at if is_parked_again else state.now
        state = change(state, seen_status=status, since=since)
    return state, advancing.commands(state)


def _opened(state: TaskState, event: TaskOpened) -> TaskState:
    if state.stage is not Stage.OPENING:
        return state
    state = change(state, profile=event.profile)
    state = adopting.take_over(state, event)
    return state if state.ending or event.adopted else enter_planning(change(state, stage=Stage.PLANNING))


def _cancelled(state: TaskState) -> TaskState:
    """Begin to end. Whoever cancels a paused task wants it to end, and to be undone if its agent does so."""
    if state.ending is None:
        state = change(state, paused=False, paused_by="")
    return asking.end(change(state, cancelled=True), EndStatus.CANCELLED, "the task was cancelled")


def _planned(state: TaskState, event: PlanProposed) -> TaskState:
    if missing := sorted({step.tool for step in event.plan.steps} - set(event.terms)):
        fault = Fault(problem=f"the contracts of {', '.join(missing)} are missing")
        return take_refusal(state, PlanRefused(faults=(fault,), **_same_call(event)))
    state, is_to_commit = take_plan(state, event)
    if not is_to_commit:
        return state
    if rounds.plan_digest(event.plan) in state.failed_plans:
        return asking.hold(state, "no_progress", "the planner proposed a plan that has failed before")
    return rounds.commit(state, event.plan, event.terms)


def _same_call(event: PlanProposed) -> dict[str, Any]:
    return {name: getattr(event, name) for name in ("model", "call", "attempts", "usage", "latency_ms")}


def _answered(state: TaskState, event: PersonAnswered) -> TaskState:
    try:
        request, answer = answers.fit(state, answers.read_answer(event.form, event.payload))
    except answers.Misfit as misfit:
        return _unaccepted(state, f"{event.form}: {misfit}")
    return deciding.take(state, request, answer)


def _unaccepted(state: TaskState, text: str) -> TaskState:
    entry = f"{state.now:%Y-%m-%d %H:%M:%S} {visible(text[:400])}"[:500]
    return change(state, unaccepted=(*state.unaccepted, entry)[-_KEPT_UNACCEPTED:])


def _amended(state: TaskState, event: GoalAmended) -> TaskState:
    """Take the new wish: nothing more of the old plan is sent, and the next plan starts from what is done."""
    if state.ending is not None:
        return _unaccepted(state, "amend: the task is ending")
    wish = {"goal": event.goal, "inputs": event.inputs}
    spec = state.spec.model_copy(update={name: value for name, value in wish.items() if value is not None})
    state = asking.withdraw(
        change(state, spec=spec, amendments=state.amendments + 1), "withdrawn: the goal was amended"
    )
    state = rounds.drop_undispatched(state, "the goal was amended")
    state = replan(state, call=state.planning.call + 1, faults=(), candidate=None)
    state = change(
        state, finish=None, conclusions=state.conclusions + 1, failed_plans=(), calls_seen={}, plan_digest=""
    )
    return state if state.stage in (Stage.OPENING, Stage.ACTING) else rounds.go_on(state)


def _time_passed(state: TaskState) -> TaskState:
    if state.deadline is not None and state.deadline <= state.now:
        state = asking.end(state, EndStatus.EXPIRED, "the wall time of the task is over")
    state = asking.climb(state)
    return unpark(state) if state.ending is None else state


def _told(state: TaskState, key: str) -> TaskState:
    return change(state, told={name: one for name, one in state.told.items() if name != key})


def _is_concluding(state: TaskState, entry: int | None) -> bool:
    """Whether a conclusion is awaited, and this one is not about what was before (an amendment, say)."""
    return state.stage is Stage.CONCLUDING and state.ending is None and entry in (None, state.conclusions)


def _verified(state: TaskState, event: OutcomeVerified) -> TaskState:
    if not _is_concluding(state, event.entry):
        return state
    return change(state, answer=event.answer, final=EndStatus.COMPLETED, stage=Stage.ENDED)


def _not_verified(state: TaskState, event: OutcomeNotVerified) -> TaskState:
    if not _is_concluding(state, event.entry):
        return state
    faults = tuple(f"The task is not done: {one}"[:500] for one in event.unmet[:20])
    state = replan(state, faults=faults)
    failed = (*state.failed_plans, state.plan_digest)[-50:]
    return enter_planning(change(state, conclusions=state.conclusions + 1, failed_plans=failed))


def _broke(state: TaskState, event: ActivityBroke) -> TaskState:
    """Give an activity that ended in an error of none of ours a path: nothing may wedge the task."""
    kind, _, rest = event.command.partition(":")
    if kind == "notify":
        return _told(state, rest)
    if state.final is not None:
        return state
    match kind:
        case "open" if state.stage is Stage.OPENING:
            return asking.end(state, EndStatus.FAILED, event.reason)
        case "plan" if rest == str(state.planning.call) and (model := route_model(state)) is not None:
            return take_unavailable(
                state, PlannerUnavailable(model=model.name, call=state.planning.call, reason=event.reason)
            )
        case "effects":
            return undoing.take_no_list(state, event.command, event.reason)
        case "call":
            return calls.broke(state, rest, event.reason)
        case "conclude" if rest == f"{state.round}:{state.conclusions}" and _is_concluding(state, None):
            return asking.hold(change(state, conclusions=state.conclusions + 1), "broke", event.reason)
    return state
