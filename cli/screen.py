"""Where verbs print: tables for people on standard output, JSON with --json, problems on standard error.

Nothing is ever read as markup: goals, ids and results of tools are other people's text.
"""

import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import BaseModel
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from core.card import visible
from core.record import Json

COLOURS = {
    "COMPLETED": "bold green",
    "FAILED": "bold red",
    "REJECTED": "bold red",
    "EXPIRED": "bold red",
    "TERMINATED": "bold red",
    "TIMED_OUT": "bold red",
    "CANCELLED": "bold yellow",
    "AWAITING_APPROVAL": "bold yellow",
    "AWAITING_PERSON": "bold yellow",
    "PAUSED": "yellow",
    "WAITING": "yellow",
    "RECOVERING": "magenta",
}
_USUAL = "cyan"
_WIDTH = 120
"""Columns where there is no terminal; 80 would cut tables for nobody."""


class Screen:
    """What a verb prints on. With `as_json`, `show` prints nothing, and `data` prints one JSON document."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDTH
        self.out = Console(markup=False, highlight=False, emoji=False, width=width)
        self.err = Console(markup=False, highlight=False, emoji=False, stderr=True)

    @property
    def is_live(self) -> bool:
        """Whether lines may be drawn over again."""
        return self.out.is_terminal and not self.as_json

    def show(self, *what: RenderableType) -> None:
        """Print for people."""
        if not self.as_json:
            for one in what:
                self.out.print(one, soft_wrap=isinstance(one, str | Text))

    def data(self, value: BaseModel | Sequence[BaseModel] | Json, *, on_one_line: bool = False) -> None:
        """Print for programs."""
        if self.as_json:
            text = json.dumps(_plain(value), ensure_ascii=True, indent=None if on_one_line else 2)
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def say(self, text: str) -> None:
        """Tell people something that is not the result: it goes to standard error."""
        self.err.print(visible(text), soft_wrap=True)

    def complain(self, text: str) -> None:
        """Say in one sentence what is wrong."""
        self.err.print(Text.assemble(("error: ", "bold red"), visible(text)), soft_wrap=True)


def _plain(value: Json) -> Json:
    match value:
        case BaseModel():
            return value.model_dump(mode="json")
        case list() | tuple():
            return [_plain(one) for one in value]
        case dict():
            return {str(name): _plain(one) for name, one in value.items()}
        case datetime():
            return value.isoformat()
    return value


def coloured(status: str) -> Text:
    """Write a status in its colour."""
    return Text(status, style=COLOURS.get(status, _USUAL))


def grid(*rows: tuple[str, RenderableType]) -> Table:
    """Lay out names and values in two columns; rows without a value are left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        if value:
            table.add_row(name, Text(visible(value)) if isinstance(value, str) else value)
    return table


def ago(moment: datetime) -> str:
    """Say how long ago a moment was, or how far ahead it is."""
    seconds = (datetime.now(UTC) - moment).total_seconds()
    text = span(abs(seconds))
    return f"{text} ago" if seconds >= 0 else f"in {text}"


def span(seconds: float) -> str:
    """Write a duration with one or two units."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min" + (f" {rest} s" if rest and minutes < 10 else "")
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h" + (f" {minutes} min" if minutes else "")
    return f"{hours // 24} days"


def cut(text: str, length: int) -> str:
    """Shorten text to one line of at most `length` characters."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= length else line[: length - 1] + "…"


def as_text(value: Json) -> str:
    """Write a value as people read it: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
