"""The audit on a terminal."""

from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cli.audit_report import Approved, Audit, PlanAudit, StepAudit
from cli.passages import Spoken
from cli.runs import Run
from cli.screen import as_text, coloured, cut, grid, span
from core.card import visible
from core.receipts import Line
from core.record import Json

_SHORT = 240
_WORDS = {
    "ApprovalNeeded": "never sent",
    "ToolRefused": "refused",
    "ToolUnavailable": "unavailable",
    "OutcomeUnknown": "outcome unknown",
    "ToolSucceeded": "answered",
}
_STYLES = {"SUCCEEDED": "green", "observed": "green", "FAILED": "red", "IN_DOUBT": "red", "NEEDS_PERSON": "red"}


def audit_picture(audit: Audit, *, full: bool) -> RenderableType:
    """Draw an audit; `full` shows every value uncut."""
    parts: list[RenderableType] = [_about(audit)]
    if audit.runs:
        parts += [_title("Runs"), *(_run(one) for one in audit.runs)]
    if audit.plans:
        parts += [_title("Planning"), *(_plan(one, full) for one in audit.plans)]
    if audit.steps:
        runs = {one.run_id for one in audit.steps if one.run_id}
        parts += [_title("Calls"), *(_step(one, full, names_run=len(runs) > 1) for one in audit.steps)]
    if audit.people:
        parts += [_title("People"), *(_spoken(one) for one in audit.people)]
    if audit.lines:
        parts += [_title("The task"), *(_line(one, full) for one in audit.lines)]
    parts += [Text(visible(one), style="yellow") for one in audit.missing]
    return Group(*parts)


def _title(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def _about(audit: Audit) -> Table:
    tokens = sum(one.input_tokens + one.output_tokens for one in audit.plans)
    calls = f"{len(audit.plans)} planning call{'' if len(audit.plans) == 1 else 's'}, {tokens} tokens"
    return grid(
        ("task", Text.assemble((visible(audit.task_id), "bold"), f"  ({visible(audit.agent)})" if audit.agent else "")),
        ("goal", cut(audit.goal, 300)),
        ("inputs", _values(audit.inputs, {}, full=False)),
        ("asked for by", audit.requested_by),
        ("status", coloured(audit.status) if audit.status else ""),
        ("answer", audit.answer),
        ("planning", calls if audit.plans else ""),
    )


_BEGAN = {
    "first": "the first run",
    "continued": "went on as new",
    "reset": "was reset to an earlier point",
    "again": "was run again",
}


def _run(one: Run) -> RenderableType:
    how = _BEGAN.get(one.how, one.how)
    ended = f" at {_clock(one.ended_at)}" if one.ended_at else ""
    words = f"  {how}; {one.status.lower().replace('_', ' ')}{ended}"
    return Text.assemble((_clock(one.at), "dim"), f"  {one.run_id}", (words, "dim"))


def _plan(one: PlanAudit, full: bool) -> RenderableType:
    words = {"plan.proposed": ("plan", "green"), "plan.refused": ("refused", "red")}
    word, style = words.get(one.came, ("no answer", "red"))
    numbers = [_times(one.attempts, "attempt"), f"{one.input_tokens} + {one.output_tokens} tokens"]
    numbers += [f"{one.cached_tokens} cached"] if one.cached_tokens else []
    numbers += [f"${one.cost_usd:.4f}"] if one.cost_usd else []
    numbers += [f"because {cut(one.because, 120)}"] if one.because else []
    if one.latency_ms is not None:
        numbers.append(span(one.latency_ms / 1000))
    head = Text.assemble(
        (_clock(one.at), "dim"), f"  {visible(one.model)}  ", (word, style), (f"  {', '.join(numbers)}", "dim")
    )
    told = " -> ".join(f"{step} {tool}" for step, tool in one.told.items()) if isinstance(one.told, dict) else one.told
    return Group(head, Padding(Text(_shown(told, full), style="dim"), (0, 0, 0, 14))) if told else head


def _step(one: StepAudit, full: bool, *, names_run: bool) -> RenderableType:
    numbers = [_times(one.attempts, "attempt")] if one.attempts else []
    numbers += [_times(one.sends, "send")] if one.sends else []
    numbers += [span(one.latency_ms / 1000)] if one.latency_ms is not None else []
    known_by = f" by {one.evidence}" if one.evidence else ""
    confirmed = {True: ", confirmed", False: ", not confirmed", None: ""}[one.verified]
    head = Text.assemble(
        (_clock(one.at), "dim"),
        "  ",
        (visible(one.step), "bold"),
        f"  {visible(one.tool)}  ",
        (f"{_WORDS.get(one.state, one.state.lower())}{known_by}{confirmed}", _STYLES.get(one.state, "yellow")),
        (f"  {', '.join([one.effect, *numbers] if one.effect else numbers)}", "dim"),
    )
    problem = ": ".join(part for part in (one.code, one.message) if part)
    rows: list[tuple[str, RenderableType]] = [
        ("arguments", _values(one.args, one.origin, full=full)),
        ("answer", Text(_answer(one, full))),
        ("note", problem),
        ("approved", "\n".join(_approval(each) for each in one.approvals)),
        ("key", one.key if one.effect != "read" else ""),
        ("run", one.run_id if names_run else ""),
        *((_clock(line.at), _event(line, full)) for line in one.lines),
    ]
    return Group(head, Padding(grid(*rows), (0, 0, 1, 10)))


def _answer(one: StepAudit, full: bool) -> str:
    if one.blob is not None and one.answer is None:
        return f"{one.size} bytes, no longer stored (digest {one.blob})"
    if one.answer is None:
        return ""
    size = f"  ({one.size} bytes)" if one.size > _SHORT and not full else ""
    return _shown(one.answer, full) + size


def _approval(one: Approved) -> str:
    at = f" at {_clock(one.at)}" if one.at else ""
    trust = "name as given" if one.trust == "open" else one.trust
    comment = f': "{one.comment}"' if one.comment else ""
    return f"{one.by or 'somebody without a name'}{at} ({trust}){comment}"


def _values(values: dict[str, Json], origin: dict[str, str], *, full: bool) -> Text:
    text = Text()
    for name, value in values.items():
        text.append("\n" if text else "").append(f"{visible(name)} ", style="dim").append(_shown(value, full))
        if found := origin.get(f"/{name}"):
            text.append(f"  from {visible(found)}", style="dim")
    return text


def _event(line: Line, full: bool) -> str:
    fields = ", ".join(
        f"{name} {_shown(value, full)}" for name, value in line.fields.items() if value not in ("", None)
    )
    return f"{line.event}  {fields}"


def _line(line: Line, full: bool) -> RenderableType:
    call = f"{line.step} {line.tool} (key {line.key})  " if line.step else ""
    return Text.assemble((_clock(line.at), "dim"), f"  {visible(call + _event(line, full))}")


def _spoken(one: Spoken) -> RenderableType:
    said = "" if one.payload is None else as_text(one.payload)
    sender = f"  (sent by {one.identity})" if one.identity else ""
    verdict = ("  (counted)", "green") if one.counted else ("  (not known to have counted)", "yellow")
    what = f"  {visible(one.form)}  {cut(said, 300)}"
    return Text.assemble((_clock(one.at), "dim"), what, verdict, (visible(sender), "dim"))


def _shown(value: Json, full: bool) -> str:
    text = as_text(value)
    return visible(text) if full else cut(text, _SHORT)


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M:%S}"


def _times(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
