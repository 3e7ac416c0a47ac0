"""How a trial of several parts is run: one after the other, each to its figures; a part that breaks is a figure too."""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from cli.connection import silence_sdk
from core.record import Json
from trials.results import Figure, Outcome, now, versions, write

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
    """Run a trial's parts (all, or those named by --only), print and keep the outcome; 1 when a bound is broken."""
    parser = argparse.ArgumentParser(prog=f"python -m trials.{trial}")
    parser.add_argument("--full", action="store_true", help="the sizes that the promises are made for")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--only", action="append", choices=list(parts), help="only this part; nothing is kept")
    given = parser.parse_args(argv)
    silence_sdk()
    console, began = Console(), time.monotonic()
    run = Run(given.seed, given.full)
    figures = asyncio.run(_figures(run, {name: parts[name] for name in given.only or parts}, console))
    outcome = Outcome(
        trial=trial,
        seed=run.seed,
        is_full=run.is_full,
        sizes=run.sizes,
        figures=figures,
        baselines=tuple(run.baselines),
        seconds=round(time.monotonic() - began, 1),
        at=now(),
        versions=versions() | run.versions,
    )
    console.print(table_of(outcome))
    if not given.only:
        console.print(f"kept in {write(outcome)}")
    return 0 if outcome.holds else 1


async def _figures(run: Run, parts: Mapping[str, Part], console: Console) -> tuple[Figure, ...]:
    figures: list[Figure] = []
    for name, part in parts.items():
        began = time.monotonic()
        try:
            found = await part(run)
        except Exception as error:  # noqa: BLE001 - whatever ends a part is a broken bound, and the others still run
            console.print_exception()
            text = f"{type(error).__name__}: {error}"[:300]
            found = [Figure(name=f"{name}: the part runs to its end", measured=text, must_be="yes", holds=False)]
        console.print(f"{name}: {time.monotonic() - began:.0f} s")
        figures += found
    return tuple(figures)


def table_of(outcome: Outcome) -> Table:
    """Make the table of one trial."""
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
