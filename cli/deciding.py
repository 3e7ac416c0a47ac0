"""approve, reject, answer: what people say to a request. The update `decide` takes it, or refuses with a reason."""

from pathlib import Path
from typing import Annotated

import typer

from cli.errors import Declined, Exit
from cli.opening import Desk, at_the_desk
from cli.options import AsJson, By, Comment, ConfigPath, RequestId, TaskId, parse_object
from cli.request_view import request_panel
from cli.tasks import Task
from core.errors import CallerError
from core.record import Json, Record
from core.task import RequestKind
from core.views import RequestView


class Said(Record):
    """An answer before it is bound to a request. `choice` None: free text, for a question."""

    choice: str
    request: str | None
    extra: dict[str, Json]


def approve(
    task_id: TaskId,
    *,
    request: RequestId = None,
    by: By = "",
    comment: Comment = "",
    args: Annotated[str | None, typer.Option("--args", help="Approve with these arguments instead (JSON).")] = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Approve a call, exactly as it is shown; with --args, with other arguments."""
    changed = None if args is None else parse_object(args, "--args")
    extra: dict[str, Json] = {"by": by, "comment": comment} | ({} if changed is None else {"args": changed})
    _decide(
        task_id, Said(choice="approve" if changed is None else "edit", request=request, extra=extra), config, as_json
    )


def reject(
    task_id: TaskId,
    *,
    request: RequestId = None,
    by: By = "",
    comment: Comment = "",
    replan: Annotated[
        str | None, typer.Option("--replan", help="Do not end: plan again, with this instruction.")
    ] = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Reject a call. The task ends as REJECTED, unless --replan says how to go on."""
    extra: dict[str, Json] = {"by": by, "comment": comment} | ({} if replan is None else {"replan": replan})
    _decide(task_id, Said(choice="reject", request=request, extra=extra), config, as_json)


def answer(
    task_id: TaskId,
    choice: Annotated[str, typer.Argument(metavar="CHOICE", help="One of the request's choices; text for a question.")],
    *,
    request: RequestId = None,
    by: By = "",
    comment: Comment = "",
    evidence: Annotated[str, typer.Option("--evidence", help="For `happened`: what shows it.")] = "",
    args: Annotated[str | None, typer.Option("--args", help="For `retry`: other arguments (JSON).")] = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Answer any request: whether something happened, how to go on, or a question."""
    extra: dict[str, Json] = {"by": by, "comment": comment, "evidence": evidence}
    if args is not None:
        extra["args"] = parse_object(args, "--args")
    _decide(task_id, Said(choice=choice, request=request, extra=extra), config, as_json)


def _decide(task_id: str, said: Said, config: Path | None, as_json: bool) -> None:
    async def verb(desk: Desk) -> Exit:
        task = desk.task(task_id)
        request = await find_request(task, said.request)
        desk.screen.show(request_panel(task_id, request, with_how=False))
        accepted = await task.decide(bind(said, request))
        desk.screen.show(f"{_told(said, request)}; the task is now {accepted['status']}")
        desk.screen.data({**accepted, "request_id": request.id, "digest": request.digest})
        return Exit.DONE

    at_the_desk(verb, config=config, as_json=as_json)


async def find_request(task: Task, wanted: str | None) -> RequestView:
    """Find the open request that is meant. Raises CallerError, and Declined when none is open."""
    if (ended := await task.outcome()) is not None:
        raise Declined(f"the task {task.id!r} has ended ({ended.status}); it asks nothing any more")
    found = await task.requests()
    if wanted is not None:
        found = [one for one in found if one.id == wanted] or _not_open(wanted, found)
    if not found:
        raise Declined(f"the task {task.id!r} asks nothing now; `python starter.py show` says where it stands")
    if len(found) > 1:
        several = ", ".join(f"{one.id} ({one.kind.value} {one.hint or one.tool or one.reason[:60]})" for one in found)
        raise CallerError(f"several requests are open, so say which with --request: {several}")
    return found[0]


def _not_open(wanted: str, found: list[RequestView]) -> list[RequestView]:
    open_ones = ", ".join(one.id for one in found) or "none"
    raise Declined(f"no request {wanted!r} is open; open: {open_ones}")


def bind(said: Said, request: RequestView) -> dict[str, Json]:
    """Bind an answer to exactly what was shown."""
    fields = {name: value for name, value in said.extra.items() if value != ""}
    if request.kind is RequestKind.QUESTION:
        fields["text"] = said.choice
    return {**fields, "request_id": request.id, "choice": said.choice, "digest": request.digest}


def _told(said: Said, request: RequestView) -> str:
    words = {"approve": "approved", "reject": "rejected", "edit": "approved with other arguments"}
    return f"{words.get(said.choice, 'answered')}: {request.id}"
