"""The matrix as a table like the design's, with counts; what is wrong in red, with what was expected and found."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from core.contract import Effect
from core.record import Record
from trials.crash.cells import Cell
from trials.crash.judging import Found
from trials.crash.table import DEPARTURES

_FIELDS = ("applied", "requests", "probes", "states", "evidence", "status", "asked", "alarmed", "told")


class Played(Record):
    """One cell as it ended. `faults`: what is not as it must be."""

    cell: Cell
    found: Found
    faults: tuple[str, ...]
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether the cell is as in the table."""
        return not self.faults


def show(console: Console, played: Sequence[Played]) -> None:
    """Print the table, the wrong cells, the residual, and the departures from the design's table."""
    console.print(_matrix([one for one in played if not one.cell.is_residual]))
    for one in played:
        if one.cell.is_residual:
            console.print(_residual(one))
        elif not one.is_right:
            console.print(_wrong(one))
    console.print("\nDepartures from the design's table:")
    for departure in DEPARTURES:
        console.print(
            f"- {departure.where}: it says {departure.says!r}, expected is {departure.expected!r}.", style="bold"
        )
        console.print(f"  {departure.why}", markup=False)


def _matrix(played: Sequence[Played]) -> Table:
    table = Table("crash or event", *Effect, title="Crash point x effect: cells as in the table / cells tried")
    for title in dict.fromkeys(one.cell.title for one in played):
        of_row = [one for one in played if one.cell.title == title]
        table.add_row(title, *(_count([one for one in of_row if one.cell.kind is kind]) for kind in Effect))
    table.add_section()
    table.add_row(
        "all", *(_count([one for one in played if one.cell.kind is kind], with_words=False) for kind in Effect)
    )
    return table


def _count(played: Sequence[Played], *, with_words: bool = True) -> Text:
    if not played:
        return Text("-", style="dim")
    right = sum(one.is_right for one in played)
    words = ", ".join(dict.fromkeys(one.cell.word for one in played)) if with_words else ""
    return Text(f"{right}/{len(played)} {words}".rstrip(), style="green" if right == len(played) else "bold red")


def _wrong(one: Played) -> Text:
    lines = [
        f"WRONG {one.cell.name} ({one.cell.word}, {one.seconds:.0f} s)",
        *one.faults,
        f"found: {_found(one.found)}",
    ]
    return Text("\n    ".join(lines), style="red")


def _residual(one: Played) -> Text:
    """State it: what a process that stops inside the system call that sends can do to a probed effect."""
    text = f"RESIDUAL {one.cell.name}: applied {one.found.applied} times. This is stated, not promised (see departures)"
    seen = [text, f"found: {_found(one.found)}"]
    return Text("\n    ".join(seen), style="yellow")


def _found(found: Found) -> str:
    return ", ".join(f"{name} {_plain(getattr(found, name))}" for name in _FIELDS)


def _plain(value: object) -> str:
    if isinstance(value, Iterable) and not isinstance(value, str):
        return "/".join(str(one) for one in value) or "-"
    return str(value) or "-"
