"""The card of a request on a terminal: what exactly is asked, why, of whom, until when, and how to answer."""

import shlex

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.screen import ago, as_text, grid
from core.card import visible
from core.record import Json
from core.task import RequestKind
from core.views import RequestView

_LONGEST = 1500


def request_panel(task_id: str, request: RequestView, *, with_how: bool = True) -> Panel:
    """Draw the card. Everything on it is made from the resolved arguments, never by the model."""
    parts: list[RenderableType] = []
    if request.args:
        parts += [_arguments(request), Text()]
    if request.facts:
        parts += [Text("looked up just now", style="dim"), _facts(request.facts), Text()]
    parts.append(_circumstances(request))
    if with_how:
        parts += [Text(), how_to_answer(task_id, request)]
    return Panel(
        Group(*parts),
        title=Text(f" {headline(request)} ", style="bold yellow"),
        title_align="left",
        border_style="yellow",
    )


def headline(request: RequestView) -> str:
    """Say in a few words what is asked."""
    match request.kind:
        case RequestKind.APPROVAL:
            return visible(f"Approve? {request.hint or request.tool}")
        case RequestKind.OUTCOME:
            return visible(f"Did this happen? {request.tool}")
        case RequestKind.STUCK:
            return (
                "The day's budget has no room for it: go on today?"
                if request.resumes_at
                else "No progress: how to go on?"
            )
        case RequestKind.QUESTION:
            return "A question"


def _arguments(request: RequestView) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(style="dim", no_wrap=True)
    table.add_row(Text(visible(request.tool), style="bold"), "", "")
    for name, value in request.args.items():
        origin = request.origin.get(f"/{name}")
        told = Text(visible(f"from {origin}") if origin else "")
        table.add_row(Text("  " + visible(name)), Text(_value(value), style="bold"), told)
    return table


def _facts(facts: dict[str, Json]) -> Table:
    return grid(*((f"  {visible(name)}", _value(value)) for name, value in facts.items()))


def _value(value: Json) -> str:
    text = visible(as_text(value))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


def _circumstances(request: RequestView) -> Table:
    why = f"{request.rule}: {request.reason}" if request.rule else request.reason
    needs = f"{request.quorum} different people" if request.quorum > 1 else ""
    end = request.expires_at or request.resumes_at
    until = f"{end:%Y-%m-%d %H:%M} UTC ({ago(end)})" if end else "somebody answers"
    return grid(
        ("the question" if request.kind is RequestKind.QUESTION else "asked because", why),
        ("planner's reason", request.why),
        ("note", request.note),
        ("who may answer", who_may(request)),
        ("needs", needs),
        ("approved so far", ", ".join(one or "somebody without a name" for one in request.given)),
        ("until", until),
        ("request", f"{request.id}   digest {request.digest}"),
    )


def who_may(request: RequestView) -> str:
    """Name those who may answer."""
    roles = ", ".join(request.approvers) or request.owner
    named = ", ".join(request.may_answer)
    if not named and request.approvers and request.kind is RequestKind.APPROVAL:
        rejecting = f"; {', '.join(request.may_reject)} may reject it" if request.may_reject else ""
        return f"nobody: of {roles}, only who asked for the task could{rejecting}"
    if not named:
        return (
            "anybody but whoever asked for the task" if request.kind is RequestKind.APPROVAL else f"anybody ({roles})"
        )
    return named if named == roles else f"{named} ({roles})"


def how_to_answer(task_id: str, request: RequestView) -> Text:
    """Write the commands that answer it."""
    by = next(iter((*request.may_answer, *request.may_reject)), "NAME")
    tail = f"{shlex.quote(visible(task_id))} --request {request.id} --by {shlex.quote(visible(by))}"
    match request.kind:
        case RequestKind.APPROVAL if request.may_reject and not request.may_answer:
            lines = [f"python starter.py reject {tail} --comment WHY"]
        case RequestKind.APPROVAL if request.approvers and not request.may_answer:
            lines = [f"python starter.py cancel {shlex.quote(visible(task_id))}"]
        case RequestKind.APPROVAL:
            lines = [f"python starter.py approve {tail}", f"python starter.py reject  {tail} --comment WHY"]
        case RequestKind.QUESTION:
            lines = [f"python starter.py answer {tail} 'YOUR ANSWER'"]
        case _:
            lines = [f"python starter.py answer {tail} {'|'.join(request.choices)}"]
            lines += ["did_not_happen sends it again, at once"] if "did_not_happen" in request.choices else []
    return Text("\n".join(lines), style="dim")
