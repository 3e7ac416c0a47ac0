"""The performance behind `demo`: sets the stage, has the story told, counts at the services, and takes all down."""

from contextlib import AsyncExitStack
from pathlib import Path

from rich.table import Table
from rich.text import Text

from cli.asking import Somebody
from cli.audit_report import Audit
from cli.audit_view import audit_picture
from cli.auditing import make_audit
from cli.errors import Exit
from cli.outcomes import Outcome
from cli.performance import bounds, is_somebody_there, perform_in_folder, stay_up, tell_end
from cli.screen import Screen, grid
from cli.story import CENTS, ORDER, Stage, Story, staged
from cli.telling import Teller
from core.record import Record
from demo.services import Counts


async def perform(screen: Screen, *, stay: bool) -> Exit:
    """Play, count, and take down."""
    return await perform_in_folder(screen, lambda teller, folder: _play(teller, folder, stay=stay))


async def _play(teller: Teller, folder: Path, *, stay: bool) -> Exit:
    is_present = is_somebody_there(teller)
    async with staged(teller, folder) as stage, AsyncExitStack() as workers:
        story = Story(stage, teller, Somebody("ana", teller, is_present=is_present))
        async with bounds(is_present=is_present):
            outcome = await story.play(workers)
        teller.rest()
        ending = await _look_back(stage, story, outcome)
        _print(teller, stage, ending)
        if stay:
            await stay_up(
                teller,
                f"export LASTMILE_CONFIG={stage.config}",
                f"python starter.py show {stage.task_id}",
                f"ls {stage.folder / 'services'}",
            )
    return Exit.DONE if ending.is_right else Exit.NO


class Ending(Record):
    """How the story ended. `counts`: at the services themselves."""

    outcome: Outcome
    counts: Counts
    was_killed: bool
    audit: Audit

    @property
    def is_right(self) -> bool:
        """Whether the task completed, through the crash, with one refund, one e-mail and one note."""
        found = self.counts
        once = (found.refunds, found.emails, found.notes) == (1, 1, 1) and found.refunded_cents == CENTS
        return self.outcome.is_completed and self.was_killed and once

    @property
    def moral(self) -> str:
        """What the story has shown."""
        if self.is_right:
            return "The worker died with the money on its way, and still: one refund, one e-mail, one note."
        if self.outcome.status == "REJECTED" and self.counts.refunds == 0:
            return "It was rejected, so nothing was paid. Say y to see the rest of the story."
        return "This is not how the story should end."


async def _look_back(stage: Stage, story: Story, outcome: Outcome) -> Ending:
    counts = await stage.services.counts(ORDER)
    audit = await make_audit(stage.settings, stage.task_id)
    return Ending(outcome=outcome, counts=counts, was_killed=story.was_killed, audit=audit)


def _print(teller: Teller, stage: Stage, ending: Ending) -> None:
    screen = teller.screen
    for step in ending.audit.steps:
        if step.evidence == "probe":
            note = f"{step.sends} send; the provider was asked whether it had happened, and it had"
            teller.tell(f"the doubt about {step.tool} is resolved: evidence is a probe", note, "✓", "green")
    tell_end(teller, ending.outcome)
    screen.show(Text("\nThe audit", style="bold underline"), audit_picture(ending.audit, full=False))
    screen.show(Text("\nCounted at the services", style="bold underline"), _counts(ending), "")
    page = Text.assemble(stage.server.page(stage.task_id), style="bold cyan")
    screen.show(grid(("Temporal UI", page)), Text(ending.moral, style="bold"))
    screen.data(
        {
            "task_id": stage.task_id,
            "is_right": ending.is_right,
            "counts": ending.counts.model_dump(mode="json"),
            "worker_killed": ending.was_killed,
            "status": ending.outcome.status,
            "ui": stage.server.page(stage.task_id),
        }
    )


def _counts(ending: Ending) -> Table:
    found = ending.counts
    amount = f"{found.refunded_cents / 100:.2f} EUR in all"
    rows = [
        ("payment provider", "refund", found.refunds, amount),
        ("mailbox", "e-mail", found.emails, ""),
        ("CRM", "note", found.notes, ""),
    ]
    table = Table.grid(padding=(0, 2))
    for where, what, count, note in rows:
        mark = Text("✓", style="green") if count == 1 else Text("✗", style="bold red")
        counted = Text(f"{count} {what}{'' if count == 1 else 's'}", style="bold")
        table.add_row(mark, where, counted, Text(note, style="dim"))
    return table
