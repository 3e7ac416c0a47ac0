"""What people send, read tolerantly into one shape and fitted to a request strictly."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from core import names
from core.record import Input, Json
from core.task import Request, RequestKind, TaskState
from core.values import Given

Form = Literal["approve", "reject", "answer", "decide"]


class Answer(Input):
    """What somebody says to a request. Every field but the choice may be left out where it is clear."""

    request_id: str | None = Field(default=None, max_length=100)
    choice: str | None = Field(default=None, max_length=100)
    by: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] = ""
    digest: str | None = Field(default=None, max_length=100)
    comment: str = Field(default="", max_length=4000)
    args: Given | None = None
    text: str | None = Field(default=None, max_length=20_000)
    evidence: str = Field(default="", max_length=4000)
    replan: str | None = Field(default=None, max_length=4000)


class Misfit(ValueError):
    """An answer that does not count; the text says why and what would."""


CHOICES: dict[RequestKind, tuple[str, ...]] = {
    RequestKind.APPROVAL: ("approve", "reject", "edit"),
    RequestKind.OUTCOME: ("happened", "did_not_happen", "write_off"),
    RequestKind.STUCK: ("retry", "skip", "replan", "end"),
    RequestKind.QUESTION: (),
}


def read_answer(form: str, payload: Json) -> Answer:
    """Read a signal's or update's payload: nothing, a bare string, or an object. Raises Misfit."""
    implied = {"approve": "approve", "reject": "reject"}.get(form)
    match payload:
        case None | "":
            fields: dict[str, Json] = {}
        case str() if form == "answer":
            fields = {"choice": payload}
        case str():
            fields = {"by": payload}
        case dict():
            fields = {name: value for name, value in payload.items() if value is not None}
        case _:
            found = "a list" if isinstance(payload, list) else "a number or a boolean"
            raise Misfit(f'it is {found}, and should be nothing, a name, or an object such as {{"by": "ana"}}')
    try:
        answer = Answer.model_validate(fields)
    except ValidationError as error:
        raise Misfit(
            "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5])
        ) from None
    if answer.choice is None:
        return answer.model_copy(update={"choice": "edit" if answer.args and implied == "approve" else implied})
    if implied is not None and answer.choice not in _MEANT[implied]:
        raise Misfit(f"{implied} says {answer.choice!r}; send one or the other")
    return answer


_MEANT: dict[str, tuple[str, ...]] = {"approve": ("approve", "edit"), "reject": ("reject",)}


def fit(state: TaskState, answer: Answer) -> tuple[Request, Answer]:
    """Find the open request that an answer belongs to and check that it counts. Raises Misfit."""
    request = _find(state, answer)
    answer = _with_choice(request, answer)
    if answer.digest is not None and answer.digest != request.digest:
        raise Misfit(
            f"request {request.id} has changed: its digest is {request.digest}, the answer names {answer.digest}"
        )
    _check_person(state, request, answer)
    _check_args(state, request, answer)
    return request, answer


def _check_args(state: TaskState, request: Request, answer: Answer) -> None:
    """New arguments belong to an edit, and an edit to arguments that were shown in full."""
    if request.kind is not RequestKind.APPROVAL:
        return
    if answer.choice != "edit":
        if answer.args:
            raise Misfit(f'"args" do not go with {answer.choice}; to change the arguments, the choice is "edit"')
        return
    if answer.args is None:
        raise Misfit('an edit needs "args", the new arguments')
    step = state.steps.get(request.step)
    if step and names.approval_digest(step.key, step.tool, request.args, step.terms.digest) != request.digest:
        raise Misfit('these arguments are too large to be edited; reject with "replan" and say what to do instead')


def _find(state: TaskState, answer: Answer) -> Request:
    if answer.request_id is not None:
        if found := state.requests.get(answer.request_id):
            return found
        closed = state.closed.get(answer.request_id)
        raise Misfit(
            f"request {answer.request_id} is closed: {closed.how}" if closed else f"no request {answer.request_id!r}"
        )
    fitting = [one for one in state.requests.values() if _offers(one, answer)]
    match fitting, len(state.requests):
        case [one], 1:
            return one
        case _, 0:
            raise Misfit("no request is open")
        case [], _:
            open_ones = ", ".join(f"{one.id} ({'/'.join(one.choices) or 'text'})" for one in state.requests.values())
            raise Misfit(f"{answer.choice or 'this'!r} is no choice of the open requests: {open_ones}")
    raise Misfit(f"several requests are open, so say which: request_id is one of {', '.join(state.requests)}")


def _offers(request: Request, answer: Answer) -> bool:
    choices = request.choices
    return (not choices and answer.choice not in ("approve", "reject")) or answer.choice in choices


def _with_choice(request: Request, answer: Answer) -> Answer:
    if request.kind is RequestKind.QUESTION:
        text = answer.text or (answer.choice if answer.choice not in ("approve", "reject") else None)
        if not text:
            raise Misfit(f'request {request.id} is a question: answer it with "text"')
        return answer.model_copy(update={"text": text, "choice": None})
    if not _offers(request, answer):
        raise Misfit(f"request {request.id} takes one of {', '.join(request.choices)}, not {answer.choice!r}")
    return answer


def _check_person(state: TaskState, request: Request, answer: Answer) -> None:
    """Names are believed as given (trust = "open"); whoever asked for the task cannot approve it."""
    allows = request.kind is RequestKind.APPROVAL and answer.choice in ("approve", "edit")
    if not answer.by:
        if request.may_answer or request.approvers or request.quorum > 1:
            who = ", ".join((*request.may_answer, *request.may_reject)) or f"{request.quorum} different people"
            raise Misfit(f"say who you are: request {request.id} is for {who}")
        return
    person = names.as_person(answer.by)
    if answer.choice == "reject" and person in {names.as_person(name) for name in request.may_reject}:
        return
    if request.approvers and not request.may_answer:
        who = f"its rule names {', '.join(request.approvers)}, where nobody is left but who asked for this task"
        way_out = f"{', '.join(request.may_reject)} may reject it" if request.may_reject else "cancel the task"
        raise Misfit(f"nobody may answer request {request.id}: {who}; {way_out}, or let its rule name others")
    if request.may_answer and person not in {names.as_person(name) for name in request.may_answer}:
        raise Misfit(f"{answer.by} may not answer request {request.id}; {', '.join(request.may_answer)} may")
    if allows and state.spec.requested_by and person == names.as_person(state.spec.requested_by):
        raise Misfit(f"{answer.by} asked for this task and cannot approve it")
    if answer.choice == "approve" and any(names.as_person(one.by) == person for one in request.given):
        raise Misfit(f"{answer.by} has approved already; {request.quorum - len(request.given)} more must")
