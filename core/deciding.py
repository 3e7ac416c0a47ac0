"""What an accepted answer of a person changes."""

from typing import assert_never

from core import names
from core.answers import Answer
from core.asking import close, end
from core.budget import allowance
from core.change import change, put, replan
from core.messages import Ruling
from core.planning import enter_planning
from core.profile import EndStatus
from core.receipts import Approval
from core.references import escape
from core.rounds import commit, revise
from core.task import Phase, Request, RequestKind, Stage, Step, TaskState

_GRANTABLE = ("rounds", "steps", "tokens", "cost_usd")


def take(state: TaskState, request: Request, answer: Answer) -> TaskState:
    """Apply an answer that fits its request."""
    match request.kind:
        case RequestKind.APPROVAL:
            return _approval(state, request, answer)
        case RequestKind.OUTCOME:
            return _outcome(state, request, answer)
        case RequestKind.STUCK:
            return _stuck(close(state, request, f"{answer.choice} by {_who(answer)}"), request, answer)
        case RequestKind.QUESTION:
            state = close(state, request, f"answered by {_who(answer)}")
            return _go_on(state, f"Question: {request.reason}\nAnswer by {_who(answer)}: {answer.text}")
    assert_never(request.kind)


def _who(answer: Answer) -> str:
    return answer.by or "somebody who gave no name"


def _go_on(state: TaskState, instruction: str = "") -> TaskState:
    if instruction:
        state = replan(state, instructions=(*state.planning.instructions, instruction))
    return enter_planning(state)


def _approval(state: TaskState, request: Request, answer: Answer) -> TaskState:
    step = state.steps.get(request.step)
    if step is None:
        return close(state, request, "its step is gone")
    if answer.choice == "reject":
        return _reject(state, request, step, answer)
    if answer.choice == "edit":
        return _edit(state, request, step, answer)
    given = (*request.given, _as_approval(state, request, answer, request.digest))
    if len(given) < request.quorum:
        return change(state, requests={**state.requests, request.id: request.model_copy(update={"given": given})})
    state = close(state, request, f"approved by {', '.join(one.by or 'somebody' for one in given)}")
    return put(state, step, phase=Phase.PLANNED, entry=step.entry + 1, approvals=given, message="")


def _as_approval(state: TaskState, request: Request, answer: Answer, digest: str) -> Approval:
    unique = f"{state.task_id}:{request.id}:{digest}:{answer.by}"
    return Approval(request_id=unique, digest=digest, by=answer.by, comment=answer.comment)


def _reject(state: TaskState, request: Request, step: Step, answer: Answer) -> TaskState:
    reason = f"{step.tool} was rejected by {_who(answer)}" + (f": {answer.comment}" if answer.comment else "")
    state = close(state, request, f"rejected by {_who(answer)}")
    state = put(state, step, phase=Phase.REFUSED, code="rejected", message=reason, outcome="failed")
    if answer.replan is None:
        return end(state, EndStatus.REJECTED, reason)
    return replan(state, instructions=(*state.planning.instructions, f"{reason}. Instead: {answer.replan}"))


def _edit(state: TaskState, request: Request, step: Step, answer: Answer) -> TaskState:
    """Start the step over with a person's arguments: a new key, and that person's approval of exactly these."""
    args = {**request.args, **(answer.args or {})}
    state = close(state, request, f"edited by {_who(answer)}")
    state = revise(state, step, edited=args, edited_by=answer.by, message="")
    step = state.steps[step.id]
    digest = names.approval_digest(step.key, step.tool, args, step.terms.digest)
    origin = {f"/{escape(name)}": "person" for name in answer.args or {}}
    return put(
        state,
        step,
        approvals=(_as_approval(state, request, answer, digest),),
        edited_origin={**request.origin, **origin},
    )


def _outcome(state: TaskState, request: Request, answer: Answer) -> TaskState:
    step = state.steps.get(request.step)
    state = close(state, request, f"{answer.choice} by {_who(answer)}")
    if step is None or answer.choice is None:
        return state
    ruling = Ruling.model_validate(
        {
            "choice": answer.choice,
            "request_id": request.id,
            "by": answer.by,
            "evidence": answer.evidence or answer.comment or answer.text or "",
        }
    )
    return put(state, step, phase=Phase.CALLING, entry=step.entry + 1, ruling=ruling)


def _stuck(state: TaskState, request: Request, answer: Answer) -> TaskState:
    step = state.steps.get(request.step)
    match answer.choice:
        case "end":
            reason = f"{request.reason}; ended by {_who(answer)}"
            return end(state, EndStatus.FAILED, reason + (f": {answer.comment}" if answer.comment else ""))
        case "replan":
            return _go_on(_afresh(_grant(state, request)), answer.replan or answer.text or answer.comment)
        case "skip":
            return _skip(_grant(state, request), request, step, answer)
        case _:
            state = _grant(state, request)
            if step is not None:
                return _revive(_afresh(state), step, answer)
            if request.cause == "steps" and state.planning.candidate:
                return commit(state, state.planning.candidate, state.planning.candidate_terms)
            return _go_on(_afresh(state))


def _grant(state: TaskState, request: Request) -> TaskState:
    """Going on after a bound was reached grants the same again."""
    if request.cause not in _GRANTABLE:
        return state
    more = state.extra.get(request.cause, 0.0) + max(allowance(state, request.cause), 1)
    return change(state, extra={**state.extra, request.cause: more})


def _afresh(state: TaskState) -> TaskState:
    state = replan(state, route=0, floor=0, refused=0, without_tools=())
    return change(state, failed_plans=(), calls_seen={})


def _skip(state: TaskState, request: Request, step: Step | None, answer: Answer) -> TaskState:
    if request.cause == "confidence" and state.planning.candidate is not None:
        return commit(state, state.planning.candidate, state.planning.candidate_terms)
    if step is None:
        return _go_on(_afresh(state), f"{_who(answer)} decided to leave this out: {request.reason}")
    state = put(state, step, phase=Phase.SKIPPED, message=f"skipped by {_who(answer)}")
    return _go_on(_afresh(state), f"Do without {step.tool} ({step.planned.why}): {_who(answer)} decided to skip it.")


def _revive(state: TaskState, step: Step, answer: Answer) -> TaskState:
    """Try a failed step again, with other arguments if given, and what was dropped because of it."""
    edited = {"edited": answer.args, "edited_by": answer.by} if answer.args is not None else {}
    state = revise(state, step, **edited)
    steps = dict(state.steps)
    for other in state.steps.values():
        if other.phase is Phase.DROPPED:
            steps[other.id] = other.model_copy(update={"phase": Phase.PLANNED, "message": ""})
    return change(state, steps=steps, stage=Stage.ACTING)
