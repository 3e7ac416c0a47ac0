"""How a trial of several parts is run: one after the other, each to its figures; a part that breaks is a figure too."""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from cli.connection import silence_sdk
from core.record import Json
from trials.results import Figure, Outcome, now, path_of, read, versions, whole, write

DEFAULT_SEED = 20_260_105


@dataclass(slots=True)
class Run:
    """What a part is told, and where it says more than its figures.

    `sizes`: what it ran, by name; `versions`: of packages that are not ours; `baselines`: what naive ways did.
    """

    seed: int
    is_full: bool
    sizes: dict[str, Json] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    baselines: list[Figure] = field(default_factory=list)

    def size(self, name: str, sample: int, full: int) -> int:
        """Choose the size of something, and keep it for the report."""
        self.sizes[name] = chosen = full if self.is_full else sample
        return chosen


Part = Callable[[Run], Awaitable[Sequence[Figure]]]


def main(trial: str, parts: Mapping[str, Part], argv: Sequence[str] | None = None) -> int:
    """Run a trial's parts (all, or those named by --only) and keep each as it ends, beside what is kept of the others.

    Returns 1 when a bound of what was run is broken, 3 when what is kept cannot be read.
    """
    given = _parser(trial, parts).parse_args(argv)
    silence_sdk()
    console, path = Console(), path_of(trial, is_full=given.full)
    try:
        _kept(path)
    except (ValidationError, OSError) as error:
        sys.stderr.write(f"error: {path} cannot be read; remove it and run all parts again: {error}\n")
        return 3
    ran: dict[str, Outcome] = {}
    for name in [name for name in parts if name in (given.only or parts)]:
        ran[name] = _run(f"{trial} {name}", parts[name], Run(given.seed, given.full), console)
        kept = {**_kept(path), name: ran[name]}  # read anew: another process may have kept another part meanwhile
        write(whole(trial, {known: kept[known] for known in parts if known in kept}))
    console.print(f"kept in {path}")
    return 0 if all(one.holds for one in ran.values()) else 1


def _kept(path: Path) -> dict[str, Outcome]:
    return dict(read(path).parts) if path.exists() else {}


def _parser(trial: str, parts: Iterable[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m trials.{trial}")
    parser.add_argument("--full", action="store_true", help="the sizes that the promises are made for")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    only = "only this part; what is kept of the others stays, with its time and seed"
    parser.add_argument("--only", action="append", choices=list(parts), help=only)
    return parser


def _run(title: str, part: Part, run: Run, console: Console) -> Outcome:
    began = time.monotonic()
    figures = asyncio.run(_figures(part, run, console))
    outcome = Outcome(
        trial=title,
        seed=run.seed,
        is_full=run.is_full,
        sizes=run.sizes,
        figures=tuple(figures),
        baselines=tuple(run.baselines),
        seconds=round(time.monotonic() - began, 1),
        at=now(),
        versions=versions() | run.versions,
    )
    console.print(table_of(outcome))
    return outcome


async def _figures(part: Part, run: Run, console: Console) -> Sequence[Figure]:
    try:
        return await part(run)
    except Exception as error:  # noqa: BLE001 - whatever ends a part is a broken bound, and the others still run
        console.print_exception()
        text = f"{type(error).__name__}: {error}"[:300]
        return [Figure(name="the part runs to its end", measured=text, must_be="yes", holds=False)]


def table_of(outcome: Outcome) -> Table:
    """Make the table of one trial, or of one part of it."""
    size = "full" if outcome.is_full else "sample"
    table = Table(title=f"{outcome.trial} ({size}, seed {outcome.seed}, {outcome.seconds:g} s)")
    for name in ("figure", "must be", "measured", "holds"):
        table.add_column(name, overflow="fold")
    for figure in (*outcome.figures, *outcome.baselines):
        table.add_row(figure.name, figure.must_be, _measured(figure), verdict(figure))
    return table


def verdict(figure: Figure) -> str:
    """Say whether a figure is within its bound, in rich's markup; "" when there is none."""
    match figure.holds:
        case None:
            return ""
        case True:
            return "[green]yes[/green]"
        case False:
            return "[bold red]NO[/bold red]"


def _measured(figure: Figure) -> str:
    return f"{figure.measured} ({figure.note})" if figure.note else figure.measured
