"""A task on a terminal: where it stands, its steps, what it waits for, and how it ended."""

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.outcomes import Outcome
from cli.request_view import request_panel
from cli.screen import ago, as_text, coloured, cut, grid
from core import views
from core.card import visible
from core.contract import Effect
from core.task import Phase, Step, TaskState
from core.views import EffectView, OpenView, RequestView, StatusView, TaskResult

_MARKS = {
    Phase.SUCCEEDED: ("✓", "green", "done"),
    Phase.CALLING: ("●", "cyan", "under way"),
    Phase.ASKING: ("?", "yellow", "waits for approval"),
    Phase.DOUBTED: ("?", "red", "outcome unknown"),
    Phase.PLANNED: ("·", "dim", "planned"),
    Phase.REFUSED: ("✗", "red", "refused"),
    Phase.UNAVAILABLE: ("✗", "red", "unavailable"),
    Phase.DROPPED: ("-", "dim", "dropped"),
    Phase.SKIPPED: ("-", "dim", "skipped"),
}
_OUTCOMES = {"succeeded": ("✓", "green"), "failed": ("✗", "red"), "unknown": ("?", "red")}
_MOST_STEPS = 40


def heading(status: StatusView) -> RenderableType:
    """Say which task it is, where it stands, and who is waited for."""
    waiting = ", ".join(status.waiting_for)
    return grid(
        ("task", Text.assemble((visible(status.task_id), "bold"), f"  ({visible(status.agent)})")),
        ("goal", cut(status.goal, 200)),
        ("status", Text.assemble(coloured(status.status.value), (f"  since {ago(status.since)}", "dim"))),
        ("waits for", waiting),
        ("because", status.waiting_reason if not status.open_requests else ""),
        ("not accepted", status.last_not_accepted),
        ("steps", f"{status.steps_done} done, {status.steps_open} open" if status.round else ""),
        ("asked", cut(status.asked, 200)),
        ("cost", f"${status.cost_usd:.4f}" if status.cost_usd else ""),
    )


def picture(state: TaskState) -> RenderableType:
    """Draw everything there is to see of a task that runs."""
    parts: list[RenderableType] = [heading(views.status_view(state))]
    if steps := [*state.past.values(), *state.steps.values()]:
        parts += [Text(), step_table(steps)]
    for request in views.request_views(state):
        parts += [Text(), request_panel(state.task_id, request)]
    return Group(*parts)


def plain_picture(status: StatusView, requests: Sequence[RequestView]) -> RenderableType:
    """Draw a task whose state is too large to be shown whole."""
    return Group(heading(status), *(request_panel(status.task_id, one) for one in requests))


def step_table(steps: Sequence[Step]) -> Table:
    """List steps, the last ones if there are many."""
    table = Table.grid(padding=(0, 2))
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    if len(steps) > _MOST_STEPS:
        table.add_row("", Text(f"({len(steps) - _MOST_STEPS} earlier steps)", style="dim"))
    for step in steps[-_MOST_STEPS:]:
        mark, style, word = _MARKS[step.phase]
        table.add_row(
            Text(f" {mark}", style=style), Text(visible(step.id)), Text(visible(step.tool)), _told(step, style, word)
        )
    return table


def _told(step: Step, style: str, word: str) -> Text:
    detail = ": ".join(part for part in (step.code, step.message) if part)
    already = f"nothing sent: {step.of} had done this" if step.already else ""
    by = f"approved by {', '.join(step.approved_by)}" if step.approved_by else ""
    confirmed = {True: "confirmed", False: "done, but not confirmed", None: ""}[step.verified]
    notes = [note for note in (already, by, known_by(step.evidence), confirmed, detail) if note]
    is_plain = step.phase is Phase.SUCCEEDED and step.terms.effect is Effect.READ
    text = Text("read" if is_plain else word, style=style)
    shown = "; ".join(notes) or cut(step.planned.why, 80)
    return text.append(f"  {cut(shown, 160)}", style="dim") if shown else text


def known_by(evidence: str) -> str:
    """Say what a success rests on where it is not the provider's own answer."""
    words = {"probe": "found by looking", "person": "by a person's word", "transaction": "in the tool's own database"}
    return words.get(evidence, evidence)


def ending(outcome: Outcome) -> RenderableType:
    """Say how a task ended, what it did to the world, and what stays open."""
    result = outcome.result
    rows: list[tuple[str, RenderableType]] = [("status", coloured(outcome.status))]
    if result is None:
        return grid(*rows, ("reason", outcome.reason))
    rows += [
        ("answer", Text(visible(result.answer), style="bold")),
        ("reason", outcome.reason if not outcome.is_completed else ""),
        ("used", _usage(result)),
    ]
    parts: list[RenderableType] = [grid(*rows)]
    if result.effects:
        parts += [Text(), Text("What it did", style="bold"), effect_table(result.effects)]
    if result.not_shown:
        parts.append(Text(f"  and {result.not_shown} more: see `audit`", style="dim"))
    parts += _left_open(result.open)
    return Group(*parts)


def _usage(result: TaskResult) -> str:
    usage = result.usage
    calls = f"{usage.planning_calls} planning call{'' if usage.planning_calls == 1 else 's'}"
    tokens = f"{usage.input_tokens + usage.output_tokens} tokens"
    rounds = f"{result.rounds} round{'' if result.rounds == 1 else 's'}"
    return f"{calls}, {tokens}, ${usage.cost_usd:.4f}, {rounds}"


def effect_table(effects: Iterable[EffectView]) -> Table:
    """List effects with their results."""
    table = Table.grid(padding=(0, 2))
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for effect in effects:
        mark, style = _OUTCOMES.get(effect.outcome, ("·", "dim"))
        table.add_row(
            Text(f" {mark}", style=style), Text(visible(effect.step)), Text(visible(effect.tool)), _effect(effect)
        )
    return table


def _effect(effect: EffectView) -> Text:
    already = "nothing sent: an earlier call had done this" if effect.already else ""
    by = f"approved by {', '.join(effect.approved_by)}" if effect.approved_by else ""
    confirmed = {True: "confirmed", False: "not confirmed", None: ""}[effect.verified]
    problem = ": ".join(part for part in (effect.code, effect.message) if part)
    notes = "; ".join(note for note in (already, by, known_by(effect.evidence), confirmed, problem) if note)
    text = Text(effect.outcome)
    if notes:
        text.append(f"  {visible(notes)}", style="dim")
    if effect.result is not None:
        text.append(f"\n{cut(as_text(effect.result), 240)}", style="dim")
    return text


def _left_open(found: Sequence[OpenView]) -> list[RenderableType]:
    if not found:
        return []
    rows = [Text(visible(f"   {one.step}  {one.tool}: {one.what}")) for one in found]
    return [Text(), Text("Stays open", style="bold red"), *rows]
