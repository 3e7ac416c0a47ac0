"""The card that the Temporal UI shows of a task (current details): Markdown made from the state, never by a model.

Temporal's UI renders raw HTML and squeezes tables, so values stand in fences, and headings are small.
"""

import json
import unicodedata

from core.record import Json
from core.task import Phase, Request, RequestKind, TaskState
from core.views import status_of, waited_for

MAX_VALUE = 1500
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


def visible(text: str) -> str:
    """Show control, format and bidirectional characters as escapes, so that what is read is what is there."""
    return "".join(
        char if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co") else _escape(char)
        for char in text
    )


def _escape(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def plain(text: str) -> str:
    """Make text harmless inside Markdown: one line, no markup, no HTML."""
    line = visible(" ".join(text.split()))
    return "".join(f"\\{char}" if char in "\\`*_[]<>#|~" else char for char in line)


def fence(text: str, language: str = "text") -> str:
    """Put text into a fence that it cannot close."""
    ticks = "```"
    while ticks in text:
        ticks += "`"
    return f"{ticks}{language}\n{visible(text)}\n{ticks}"


def card(state: TaskState) -> str:
    """Write the card: status, who is waited for and how to answer, what is done, what went wrong."""
    parts = [f"### {status_of(state).value}", f"**Goal** {plain(state.spec.goal[:500])}"]
    parts += [request_card(request) for request in state.requests.values()]
    if state.planning.reason and state.retry_at and not state.final:
        parts.append(
            f"**No language model answers** {plain(state.planning.reason[:300])}; "
            f"next try {state.retry_at:%Y-%m-%d %H:%M:%S} UTC"
        )
    if state.unaccepted and not state.final:
        parts.append(f"**Last answer was not accepted** {plain(state.unaccepted[-1])}")
    if state.ending:
        parts.append(f"**Ends as {state.ending.status.value}** {plain(state.ending.reason)}")
    if state.answer:
        parts.append(f"**Answer** {plain(state.answer[:2000])}")
    parts += [_steps(state), _usage(state)]
    return "\n\n".join(part for part in parts if part)


def request_card(request: Request) -> str:
    """Write what exactly is asked, of whom, until when, and what to paste."""
    who = ", ".join(waited_for(request))
    until = f"{request.expires_at:%Y-%m-%d %H:%M} UTC" if request.expires_at else "somebody answers"
    lines = [f"### {_headline(request)}", f"**Waiting for** {plain(who)} **until** {until} (request `{request.id}`)"]
    if request.args:
        lines.append(fence(arguments(request)))
    if request.facts:
        lines.append(
            "**Looked up just now**\n" + fence(json.dumps(request.facts, indent=1, ensure_ascii=False)[:MAX_VALUE])
        )
    facts = [
        ("Why asked", f"{request.rule}: {request.reason}" if request.rule else request.reason),
        ("Planner's reason", request.why),
        ("Note", request.note),
        ("Approved so far", ", ".join(one.by for one in request.given)),
        ("Needs", f"{request.quorum} different people" if request.quorum > 1 else ""),
    ]
    lines += [f"**{name}** {plain(text[:1000])}" for name, text in facts if text]
    return "\n\n".join([*lines, _how(request)])


def _headline(request: Request) -> str:
    match request.kind:
        case RequestKind.APPROVAL:
            return f"Approve: {plain(request.hint or request.tool)}"
        case RequestKind.OUTCOME:
            return f"Did this happen? {plain(request.tool)}"
        case RequestKind.STUCK:
            return "No progress: how to go on?"
        case RequestKind.QUESTION:
            return "A question"


def arguments(request: Request) -> str:
    """Write arguments one a line, with where each came from."""
    width = max(len(name) for name in request.args)
    rows = [
        (f"{name:<{width}}  {_value(value)}", request.origin.get(f"/{name}", ""))
        for name, value in request.args.items()
    ]
    return "\n".join(
        [f"{request.tool}", *(f"  {row}" + (f"   (from {origin})" if origin else "") for row, origin in rows)]
    )


def _value(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}... ({len(text)} characters)"


def paste(request: Request) -> tuple[str, str]:
    """Return the signal to choose and the JSON to paste for the first choice."""
    base: dict[str, Json] = {"by": "YOUR NAME", "request_id": request.id}
    match request.kind:
        case RequestKind.APPROVAL:
            return "approve", json.dumps({**base, "digest": request.digest}, indent=1)
        case RequestKind.QUESTION:
            return "answer", json.dumps({**base, "text": "..."}, indent=1)
    return "answer", json.dumps({**base, "choice": request.choices[0]}, indent=1)


def _how(request: Request) -> str:
    signal, data = paste(request)
    choices = f" Choices: {', '.join(f'`{one}`' for one in request.choices)}." if request.choices else ""
    reject = " To refuse, send `reject` with the same." if request.kind is RequestKind.APPROVAL else choices
    return f"*More Actions*, *Send a Signal*, choose `{signal}`, paste:{reject}\n{fence(data, 'json')}"


def _steps(state: TaskState) -> str:
    steps = list(state.steps.values())[:40]
    if not steps:
        return ""
    rows = [f"{step.id:<8} {step.tool:<24} {_MARKS[step.phase]}" + _tail(step.code, step.message) for step in steps]
    return f"**Round {state.round}**\n" + fence("\n".join(rows))


def _tail(code: str, message: str) -> str:
    text = ": ".join(part for part in (code, message) if part)
    return f"  ({text[:200]})" if text else ""


def _usage(state: TaskState) -> str:
    spent = state.spent
    tokens = spent.input_tokens + spent.output_tokens
    return f"**Used** {spent.planning_calls} planning calls, {tokens} tokens, ${spent.cost_usd:.4f}"
