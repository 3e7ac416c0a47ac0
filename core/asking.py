"""Requests: one mechanism for approvals, doubts, loops without progress and questions; opening, ladder, closing."""

from datetime import datetime, timedelta

from core import names
from core.answers import CHOICES
from core.budget import GRANTABLE
from core.change import change, in_phase, put
from core.messages import ApprovalNeeded, OutcomeUnknown
from core.profile import EndStatus
from core.record import Json
from core.task import Closed, Ending, Phase, Request, RequestKind, Stage, Step, TaskState
from core.telling import tell, tell_owner

_KEPT_CLOSED = 50
_MOST_FAILURES, _MOST_TEXT = 5, 200  # of what went wrong before, and characters of each
_SHORTEST_RUNG = timedelta(seconds=1)  # between two escalations, whatever the agent says


def resolve_people(state: TaskState, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Turn roles and names into names; one that nobody is known to hold stands for itself."""
    people = state.profile.people if state.profile else {}
    found = [name for one in wanted for name in (people.get(one) or (one,))]
    return tuple(dict.fromkeys(found))


def _owners(state: TaskState) -> tuple[str, ...]:
    return state.profile.owners if state.profile else ()


def _ownerless(state: TaskState) -> str:
    """Say that anybody may answer, where that is an oversight; a task knows people as they were when it began."""
    lacking = state.profile.owner_lacking if state.profile else ""
    return f"{lacking} (for tasks to come)." if lacking else ""


def _open(state: TaskState, kind: RequestKind, **fields: Json) -> TaskState:
    if state.profile is None:
        return state
    ladder, owner = state.profile.ladder, state.profile.owner
    request_id = f"q{state.next_request}"
    digest = names.likeness([request_id, kind.value, fields.get("reason", "")])
    expires_at = None if kind is RequestKind.OUTCOME else state.now + ladder.expire_after
    fields = {"digest": digest, "choices": CHOICES[kind], "expires_at": expires_at} | fields
    request = Request(
        id=request_id,
        kind=kind,
        owner=owner,
        opened_at=state.now,
        remind_at=state.now + ladder.remind_after,
        escalate_at=state.now + ladder.escalate_after,
        **fields,
    )
    state = change(state, requests={**state.requests, request.id: request}, next_request=state.next_request + 1)
    return tell(state, request, "opened", request.asked)


def approval(state: TaskState, step: Step, event: ApprovalNeeded) -> TaskState:
    """Ask for the approval of a call, exactly as it would be sent."""
    state = put(state, step, phase=Phase.ASKING)
    shown = event.model_dump(exclude={"kind", "step"})
    note = " ".join(part for part in (event.note, step.message, _unreachable(state, event)) if part)
    choices = tuple(one for one in CHOICES[RequestKind.APPROVAL] if one != "edit" or not step.undoes)
    return _open(
        state,
        RequestKind.APPROVAL,
        **shown
        | {
            "step": step.id,
            "tool": step.tool,
            "why": step.planned.why,
            "note": note,
            "given": event.given,
            "choices": choices,
        },
    )


def _unreachable(state: TaskState, event: ApprovalNeeded) -> str:
    """Say that an approval can never be given, as long as somebody can still do something about it."""
    requester = names.as_person(state.spec.requested_by)
    able = {names.as_person(name) for name in event.may_answer} - {requester}
    if not event.approvers or len(able) >= event.quorum:
        return ""
    way_out = "reject it" if event.may_answer or event.may_reject else "cancel the task"
    return f"It needs {event.quorum} approvals, and only {len(able)} may give one: {way_out}, or change the rule."


def outcome(state: TaskState, step: Step, event: OutcomeUnknown) -> TaskState:
    """Ask the owner what became of a call that was sent."""
    state = put(state, step, phase=Phase.DOUBTED)
    return _open(
        state,
        RequestKind.OUTCOME,
        step=step.id,
        tool=step.tool,
        args=event.args,
        reason=event.reason,
        why=step.planned.why,
        sends=event.sends,
        may_answer=_owners(state),
        note=_ownerless(state),
        **({"digest": event.digest} if event.digest else {}),
    )


def hold(state: TaskState, cause: str, reason: str) -> TaskState:
    """Stop planning and ask the owner how to go on."""
    failed = [step for step in in_phase(state, Phase.UNAVAILABLE) if not state.is_outdated]
    step = failed[-1] if failed else None
    raised = f"Every choice but `end` raises the limit {cause} by as much again." if cause in GRANTABLE else ""
    note = " ".join(part for part in (raised, _what_failed(state, reason)) if part)
    return stuck(change(state, stage=Stage.HELD), cause, reason, step, note=note)


def _what_failed(state: TaskState, reason: str) -> str:
    """Name what went wrong since the last plan was taken up, besides the reason at hand ("" = nothing)."""
    failed = in_phase(state, Phase.REFUSED, Phase.UNAVAILABLE)
    steps = [": ".join(part for part in (f"{step.id} {step.tool}", step.code, step.message) if part) for step in failed]
    others = [one[:_MOST_TEXT] for one in (*steps, *state.planning.faults) if one not in reason]
    return f"What went wrong before: {'; '.join(others[:_MOST_FAILURES])}" if others else ""


def hold_over(state: TaskState, reason: str, until: datetime) -> TaskState:
    """Stop planning until a moment, or until the owner lets the task go on before; it never expires."""
    reason = f"{reason}; the task goes on by itself at {until:%Y-%m-%d %H:%M} UTC, with `retry` at once"
    held = change(state, stage=Stage.HELD)
    return stuck(held, "budget", reason, resumes_at=until, expires_at=None, choices=("retry", "end"))


def stuck(
    state: TaskState, cause: str, reason: str, step: Step | None = None, note: str = "", **fields: Json
) -> TaskState:
    """Ask the owner how to go on with what does not go on by itself."""
    about = {"step": step.id, "tool": step.tool} if step else {}
    note = " ".join(part for part in (note, _ownerless(state)) if part)
    people = {"may_answer": _owners(state), "note": note}
    return _open(state, RequestKind.STUCK, cause=cause, reason=reason, **people, **about, **fields)


def question(state: TaskState, text: str) -> TaskState:
    """Put the planner's question to the owner."""
    people = {"may_answer": _owners(state), "note": _ownerless(state)}
    return _open(change(state, stage=Stage.HELD), RequestKind.QUESTION, reason=text, **people)


def close(state: TaskState, request: Request, how: str) -> TaskState:
    """Close a request; what it was is remembered for answers that come late."""
    rest = {name: one for name, one in state.requests.items() if name != request.id}
    closed = {**state.closed, request.id: Closed(step=request.step, how=how)}
    return change(state, requests=rest, closed=dict(list(closed.items())[-_KEPT_CLOSED:]))


def withdraw(state: TaskState, how: str) -> TaskState:
    """Close every request but those about an outcome: these stay until somebody says what happened."""
    for request in state.requests.values():
        if request.kind is not RequestKind.OUTCOME:
            state = close(state, request, how)
    return state


def end(state: TaskState, status: EndStatus, reason: str) -> TaskState:
    """Begin to end: nothing new is sent; what is in flight or in doubt is waited for."""
    if state.ending is not None or state.final is not None:
        return state
    steps = dict(state.steps)
    for step in state.steps.values():
        if step.phase in (Phase.PLANNED, Phase.ASKING):
            steps[step.id] = step.model_copy(update={"phase": Phase.DROPPED, "message": step.message or reason})
    state = withdraw(change(state, steps=steps, ending=Ending(status=status, reason=reason)), f"withdrawn: {reason}")
    if status in (EndStatus.FAILED, EndStatus.EXPIRED, EndStatus.REJECTED):
        return tell_owner(state, "ended", f"{status.value}: {reason}")
    return state


def climb(state: TaskState) -> TaskState:
    """Do what the time has come for: remind, escalate, expire."""
    for request_id in tuple(state.requests):
        request = state.requests.get(request_id)
        if request is None:  # withdrawn, since another one has just expired
            continue
        if request.expires_at is not None and request.expires_at <= state.now:
            state = _expire(state, request)
        elif request.escalate_at is not None and request.escalate_at <= state.now:
            state = _escalate(state, request)
        elif not request.reminded and request.remind_at is not None and request.remind_at <= state.now:
            state = _replace(state, request, reminded=True)
            state = tell(state, request, "reminder", request.asked)
    return state


def _replace(state: TaskState, request: Request, **fields: Json) -> TaskState:
    return change(state, requests={**state.requests, request.id: request.model_copy(update=fields)})


def _escalate(state: TaskState, request: Request) -> TaskState:
    """Tell those above. They may answer what the owner may; a rule's approvers stay the only ones who may approve."""
    if state.profile is None:
        return state
    ladder = state.profile.ladder
    may_answer = request.may_answer
    if may_answer and not request.approvers:
        may_answer = tuple(dict.fromkeys((*may_answer, *resolve_people(state, ladder.escalate_to))))
    again = state.now + max(ladder.escalate_after, _SHORTEST_RUNG) if request.kind is RequestKind.OUTCOME else None
    to = ladder.escalate_to or (request.owner,)
    count = request.escalated + 1
    state = _replace(
        state, request, escalate_at=again, escalated=count, escalated_to=to, may_answer=may_answer, reminded=True
    )
    return tell(state, request, "escalated" if count == 1 else f"escalated{count}", to)


def _expire(state: TaskState, request: Request) -> TaskState:
    """Fail closed: nobody answered, so nobody allowed it."""
    state = close(state, request, "expired: nobody answered in time")
    state = tell(state, request, "expired", (request.owner,))
    if (step := state.steps.get(request.step)) and step.phase is Phase.ASKING:
        state = put(
            state,
            step,
            phase=Phase.REFUSED,
            code="approval_expired",
            outcome="failed",
            message=f"nobody answered request {request.id} in time",
        )
    status = EndStatus.FAILED if request.kind is RequestKind.STUCK else EndStatus.EXPIRED
    what = f"request {request.id} ({request.reason or request.kind.value})"
    return end(state, status, f"nobody answered {what} before {request.expires_at:%Y-%m-%d %H:%M} UTC")


def deadlines(state: TaskState) -> list[datetime]:
    """Return every moment that open requests wait for."""
    found = []
    for request in state.requests.values():
        found += [request.expires_at, request.resumes_at, request.escalate_at]
        found += [] if request.reminded else [request.remind_at]
    return [one for one in found if one is not None]
