"""The card that the Temporal UI shows of a task (current details): Markdown made from the state, never by a model.

Temporal's UI renders raw HTML and squeezes tables, so values stand in fences, and headings are small.
"""

import json

from core.change import in_phase
from core.record import Json
from core.references import escape
from core.task import Phase, Request, RequestKind, TaskState
from core.views import status_of, waited_for
from core.visible import visible

__all__ = ["arguments", "card", "fence", "paste", "plain", "request_card", "visible"]

MAX_BYTES = 16 * 1024
"""Of a whole card; the figures below add up to less, whatever the values are (escapes may double a text)."""
_SHOWN_REQUESTS, _SHOWN_STEPS, _SHOWN_ARGS = 3, 20, 24
_ARGS, _FACTS, _NOTE, _LINE, _HEAD, _TAIL = 4000, 1000, 900, 300, 150, 60
_MARKS = {
    Phase.SUCCEEDED: "done",
    Phase.CALLING: "under way",
    Phase.ASKING: "waits for approval",
    Phase.DOUBTED: "outcome unknown",
    Phase.PLANNED: "planned",
    Phase.REFUSED: "refused",
    Phase.UNAVAILABLE: "unavailable",
    Phase.DROPPED: "dropped",
    Phase.SKIPPED: "skipped",
}


def clip(text: str, limit: int) -> str:
    """Keep the first `limit` bytes of a text, and say when that is not all."""
    body = text.encode("utf-8", "replace")
    return text if len(body) <= limit else f"{body[:limit].decode('utf-8', 'ignore')}... ({len(text)} characters)"


def plain(text: str, limit: int = _LINE) -> str:
    """Make text harmless inside Markdown: one line, no markup, no HTML."""
    line = clip(visible(" ".join(text[: 2 * limit].split())), limit)
    return "".join(f"\\{char}" if char in "\\`*_[]<>#|~&" else char for char in line)


def fence(text: str, language: str = "text") -> str:
    """Put text into a fence that it cannot close."""
    ticks = "```"
    while ticks in text:
        ticks += "`"
    return f"{ticks}{language}\n{visible(text)}\n{ticks}"


def card(state: TaskState) -> str:
    """Write the card: status, who is waited for and how to answer, what is done, what went wrong. At most 16 kB."""
    parts = [f"### {status_of(state).value}", f"**Goal** {plain(state.spec.goal)}", *_requests(state)]
    if state.planning.reason and state.retry_at and not state.final:
        until = f"{state.retry_at:%Y-%m-%d %H:%M:%S} UTC"
        parts.append(f"**No language model answers** {plain(state.planning.reason)}; next try {until}")
    if state.unaccepted and not state.final:
        parts.append(f"**Last answer was not accepted** {plain(state.unaccepted[-1])}")
    if state.ending:
        parts.append(f"**Ends as {state.ending.status.value}** {plain(state.ending.reason)}")
    if state.answer:
        parts.append(f"**Answer** {plain(state.answer, 2000)}")
    parts += [_steps(state), _usage(state)]
    return "\n\n".join(part for part in parts if part)


def _requests(state: TaskState) -> list[str]:
    shown = list(state.requests.values())[:_SHOWN_REQUESTS]
    more = len(state.requests) - len(shown)
    cards = [request_card(request, len(shown)) for request in shown]
    return [*cards, f"**And {more} more**; the query `requests` lists them"] if more else cards


def request_card(request: Request, share: int = 1) -> str:
    """Write what exactly is asked, of whom, until when, and what to paste; in a `share`-th of the room."""
    line = _LINE // share
    who = ", ".join(waited_for(request))
    end = request.expires_at or request.resumes_at
    until = f"{end:%Y-%m-%d %H:%M} UTC" if end else "somebody answers"
    waiting = f"**Waiting for** {plain(who, _HEAD)} **until** {until} (request `{request.id}`)"
    lines = [f"### {_headline(request)}", waiting]
    if request.args:
        lines.append(fence(arguments(request, _ARGS // share)))
    if request.facts:
        facts = clip(visible(json.dumps(request.facts, indent=1, ensure_ascii=False)), _FACTS // share)
        lines.append("**Looked up just now**\n" + fence(facts))
    told = [
        ("Why asked", f"{request.rule}: {request.reason}" if request.rule else request.reason),
        ("Planner's reason", request.why),
        ("Note", request.note),
        ("Approved so far", ", ".join(one.by for one in request.given)),
        ("Needs", f"{request.quorum} different people" if request.quorum > 1 else ""),
    ]
    lines += [f"**{name}** {plain(text, _NOTE // share if name == 'Note' else line)}" for name, text in told if text]
    return "\n\n".join([*lines, _how(request)])


def _headline(request: Request) -> str:
    match request.kind:
        case RequestKind.APPROVAL:
            return f"Approve: {plain(request.hint or request.tool, _HEAD)}"
        case RequestKind.OUTCOME:
            return f"Did this happen? {plain(request.tool, _HEAD)}"
        case RequestKind.STUCK:
            return _stuck_headline(request)
        case RequestKind.QUESTION:
            return "A question"


def _stuck_headline(request: Request) -> str:
    match request.cause:
        case "undo":
            return f"Not undone: {plain(request.tool, _HEAD) or 'what the task did'}"
        case "reset":
            return "The task was reset: how to go on?"
        case "budget":
            return "The day's budget has no room for it: go on today?"
    return "No progress: how to go on?"


def arguments(request: Request, room: int = _ARGS) -> str:
    """Write arguments one a line, with where each came from; a long one never hides those after it."""
    shown = list(request.args.items())[:_SHOWN_ARGS]
    each = max(room // len(shown) - 50, 40)
    named = [(_name(name), _value(value, each), request.origin.get(f"/{escape(name)}", "")) for name, value in shown]
    width = max(len(name) for name, _, _ in named)
    rows = [f"  {name:<{width}}  {value}" + (f"   (from {origin})" if origin else "") for name, value, origin in named]
    more = len(request.args) - len(shown)
    rest = [f"  ... and {more} more arguments; the query `requests` shows them"] if more else []
    return "\n".join([request.tool, *rows, *rest])


def _name(name: str) -> str:
    return clip(name if name.isidentifier() else visible(json.dumps(name, ensure_ascii=False)), 32)


def _value(value: Json, limit: int) -> str:
    return clip(visible(json.dumps(value, ensure_ascii=False)), limit)


def paste(request: Request) -> tuple[str, str]:
    """Return the signal to choose and the JSON to paste; the choice between several is left to the person."""
    base: dict[str, Json] = {"by": "YOUR NAME", "request_id": request.id}
    match request.kind:
        case RequestKind.APPROVAL:
            signal = "reject" if request.may_reject and not request.may_answer else "approve"
            return signal, json.dumps({**base, "digest": request.digest}, indent=1)
        case RequestKind.QUESTION:
            return "answer", json.dumps({**base, "text": "..."}, indent=1)
    return "answer", json.dumps({**base, "choice": " | ".join(request.choices)}, indent=1)


def _how(request: Request) -> str:
    signal, data = paste(request)
    other = "to refuse, choose `reject`" if signal == "approve" else ""
    if request.kind in (RequestKind.OUTCOME, RequestKind.STUCK):
        other = "the choices are " + ", ".join(f"`{one}`" for one in request.choices)
    if request.kind is RequestKind.OUTCOME:
        other += "; `did_not_happen` sends it again, at once"
    also = f" ({other})" if other else ""
    return f"*More Actions*, *Send a Signal*, choose `{signal}`{also} and paste\n{fence(data, 'json')}"


def _steps(state: TaskState) -> str:
    steps = list(state.steps.values())
    if not steps:
        return ""
    if len(steps) > _SHOWN_STEPS:  # what is done is told by its number
        steps = [step for step in steps if step.phase is not Phase.SUCCEEDED][:_SHOWN_STEPS]
    rows = [
        f"{step.id:<8} {clip(step.tool, 40):<24} {_MARKS[step.phase]}" + _tail(step.code, step.message)
        for step in steps
    ]
    if more := len(state.steps) - len(steps):
        done = len(in_phase(state, Phase.SUCCEEDED))
        rows.append(f"... and {more} more ({done} of {len(state.steps)} are done)")
    return f"**{'Undo' if state.undoing else f'Round {state.round}'}**\n" + fence("\n".join(rows))


def _tail(code: str, message: str) -> str:
    text = " ".join(": ".join(part for part in (code, message) if part)[: 4 * _TAIL].split())
    return f"  ({clip(visible(text), _TAIL)})" if text else ""


def _usage(state: TaskState) -> str:
    spent = state.spent
    tokens = spent.input_tokens + spent.output_tokens
    cached = f" ({spent.cached_tokens} of the input from the cache)" if spent.cached_tokens else ""
    asked = f"**Asked** {plain(state.planning.asked)}\n\n" if state.planning.asked else ""
    return f"{asked}**Used** {spent.planning_calls} planning calls, {tokens} tokens{cached}, ${spent.cost_usd:.4f}"
