"""Cells: the table times what is done. And the sample of CI: every row with every kind, and every way at every spot."""

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from core.contract import Effect
from core.errors import CallerError
from core.record import Record
from trials.crash.table import ROWS, Row, milder
from trials.crash.words import Spot, Way, Word

TOOLS = {
    Effect.READ: "look_up",
    Effect.TRANSACTIONAL: "book",
    Effect.IDEMPOTENT: "set_value",
    Effect.KEYED: "pay",
    Effect.PROBED: "refund",
    Effect.UNREPEATABLE: "tell",
}


class Cell(Record):
    """One thing to try. `word`: what must happen."""

    title: str
    spot: Spot
    kind: Effect
    way: Way
    word: Word
    tool: str

    @property
    def name(self) -> str:
        """Say which, in one word: ``marked-nothing-sent/marked/keyed/kill-9``."""
        other = [] if self.tool == TOOLS[self.kind] else [self.tool]
        return "/".join(_slug(part) for part in (self.title, self.spot.name, self.kind, self.way, *other))

    @property
    def is_residual(self) -> bool:
        """Whether this is the one cell whose outcome is stated, not promised."""
        return self.word is Word.RESIDUAL


def all_cells() -> list[Cell]:
    """Return every cell, in the order of the table."""
    return [cell for row in ROWS for cell in _cells(row)]


def _cells(row: Row) -> Iterator[Cell]:
    for spot in row.spots:
        for kind, word in row.words.items():
            for way in row.ways:
                found = milder(spot, kind, way, word)
                tool = row.tool or TOOLS[kind]
                yield Cell(title=row.title, spot=spot, kind=kind, way=way, word=found, tool=tool)


def sample(cells: Sequence[Cell], seed: int) -> list[Cell]:
    """Choose one cell for each pair of row and kind, what is missing of (way, spot) pairs, and the residual."""
    shuffled = list(cells)
    random.Random(seed).shuffle(shuffled)  # noqa: S311 - which cells are tried today is no secret
    chosen = _first_of_each(shuffled, lambda cell: (cell.title, cell.kind))
    seen = {(cell.spot.name, cell.way) for cell in chosen}
    rest = [cell for cell in shuffled if (cell.spot.name, cell.way) not in seen]
    chosen += _first_of_each(rest, lambda cell: (cell.spot.name, cell.way))
    chosen += [cell for cell in cells if cell.is_residual and cell not in chosen]
    return sorted(chosen, key=cells.index)


def named(cells: Iterable[Cell], pattern: str) -> list[Cell]:
    """Return the cells of a name, which may have * in it. Raises CallerError when there is none."""
    found = [cell for cell in cells if fnmatchcase(cell.name, pattern)]
    if not found:
        raise CallerError(f"no cell is called {pattern!r}; --list prints their names, and * stands for any part")
    return found


def _first_of_each(cells: Iterable[Cell], what: Callable[[Cell], object]) -> list[Cell]:
    firsts: dict[object, Cell] = {}
    for cell in cells:
        firsts.setdefault(what(cell), cell)
    return list(firsts.values())


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")
