"""What an accepted answer of a person changes."""

from typing import assert_never

from core import names, undoing
from core.answers import Answer
from core.asking import close, end
from core.budget import GRANTABLE, allowance
from core.change import change, in_phase, put, replan
from core.messages import Ruling
from core.orders import known_args
from core.planning import admit
from core.profile import EndStatus
from core.receipts import Approval
from core.record import Json
from core.references import escape
from core.rounds import commit, go_on, revise
from core.spending import day_of
from core.task import Phase, Request, RequestKind, Stage, Step, TaskState


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
    return go_on(state)


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
    if not answer.replan:
        return end(state, EndStatus.REJECTED, reason)
    return replan(state, instructions=(*state.planning.instructions, f"{reason}. Instead: {answer.replan}"))


def _edit(state: TaskState, request: Request, step: Step, answer: Answer) -> TaskState:
    """Start the step over with a person's arguments: a new key, and that person's approval of exactly these."""
    args, origin = _edited(request.args, request.origin, answer)
    state = close(state, request, f"edited by {_who(answer)}")
    state = revise(state, step, edited=args, edited_by=answer.by, message="")
    step = state.steps[step.id]
    digest = names.approval_digest(step.key, step.tool, args, step.terms.digest)
    return put(state, step, approvals=(_as_approval(state, request, answer, digest),), edited_origin=origin)


def _edited(args: dict[str, Json], origin: dict[str, str], answer: Answer) -> tuple[dict[str, Json], dict[str, str]]:
    """Put a person's arguments over those at hand; what was said of the origin of anything inside is void."""
    given = answer.args or {}
    changed = {f"/{escape(name)}" for name in given}
    kept = {at: source for at, source in origin.items() if "/".join(at.split("/")[:2]) not in changed}
    return {**args, **given}, {**kept, **dict.fromkeys(sorted(changed), "person")}


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
            "sends": request.sends,
        }
    )
    return put(state, step, phase=Phase.CALLING, entry=step.entry + 1, ruling=ruling)


def _stuck(state: TaskState, request: Request, answer: Answer) -> TaskState:
    if request.cause == "undo":
        return undoing.decide(state, request, answer)
    step = state.steps.get(request.step)
    match answer.choice:
        case "end":
            reason = f"{request.reason}; ended by {_who(answer)}"
            return end(state, EndStatus.FAILED, reason + (f": {answer.comment}" if answer.comment else ""))
        case "replan":
            return _go_on(_afresh(_grant(state, request)), answer.replan or answer.text or answer.comment)
        case "skip" if request.cause != "reset":  # then there is nothing to leave out
            return _skip(_grant(state, request), request, step, answer)
        case _:
            return _retry(_grant(state, request), request, step, answer)


def _retry(state: TaskState, request: Request, step: Step | None, answer: Answer) -> TaskState:
    candidate = state.planning.candidate
    if request.cause == "steps" and candidate is not None:
        return commit(state, candidate, state.planning.candidate_terms)
    if request.cause == "broke":
        return change(state, stage=Stage.CONCLUDING)
    if step is not None:
        return _revive(_afresh(state), step, answer)
    return _go_on(_afresh(state))


def _grant(state: TaskState, request: Request) -> TaskState:
    """Going on after a bound was reached grants the limit once more; a budget of a day does not hold for the day."""
    if request.cause == "budget":
        return replan(state, waived_on=day_of(state.now))
    if request.cause not in GRANTABLE:
        return state
    granted = state.extra.get(request.cause, 0.0)
    limit = allowance(state, request.cause) - granted
    return change(state, extra={**state.extra, request.cause: granted + (limit or 1)})


def _afresh(state: TaskState) -> TaskState:
    state = replan(state, route=0, floor=0, refused=0, without_tools=(), escalated=False, because="", refusing=())
    return change(state, failed_plans=(), calls_seen={})


def _skip(state: TaskState, request: Request, step: Step | None, answer: Answer) -> TaskState:
    candidate = state.planning.candidate
    if request.cause == "confidence" and candidate is not None:
        state, is_admitted = admit(state, candidate)
        return commit(state, candidate, state.planning.candidate_terms) if is_admitted else state
    if step is None:
        return _go_on(_afresh(state), f"{_who(answer)} decided to leave this out: {request.reason}")
    state = put(state, step, phase=Phase.SKIPPED, message=f"skipped by {_who(answer)}")
    return _go_on(_afresh(state), f"Do without {step.tool} ({step.planned.why}): {_who(answer)} decided to skip it.")


def _revive(state: TaskState, step: Step, answer: Answer) -> TaskState:
    """Try a failed step again, with other arguments if given, and what was dropped because of it."""
    edit: dict[str, Json] = {}
    if answer.args is not None:
        args, origin = _edited(*known_args(state, step), answer)
        edit = {"edited": args, "edited_by": answer.by, "edited_origin": origin}
    state = revise(state, step, message="", **edit)
    for other in in_phase(state, Phase.DROPPED):
        state = put(state, other, phase=Phase.PLANNED, message="")  # still dropped if something else before it failed
    return change(state, stage=Stage.ACTING)
