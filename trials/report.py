"""The report of all trials: ``python -m trials.report [--full]`` reads var/trials and writes trials/REPORT.md.

First what the runtime promises, line by line; then each trial's figures; then what naive ways did on the same seed. Of
each trial, and of each part of one, the run in full size counts where there is one. It says what is missing.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

from core.record import Record
from trials.promises import PROMISES, Promise
from trials.results import FOLDER, Figure, Outcome, now, read, whole
from trials.running import table_of

TRIALS = ("model", "crash", "storm", "throughput", "deployments", "bulk", "recovery", "world")
PATH = Path(__file__).with_name("REPORT.md")


class Line(Record):
    """One line as it turned out. `holds` None: nothing with a bound was measured. `naive`: what naive ways did."""

    promise: Promise
    measured: str
    holds: bool | None
    naive: str = ""


def load(folder: Path) -> dict[str, Outcome]:
    """Read the outcomes by trial, in full where there is one. Raises ValidationError for a file of another shape."""
    found: dict[str, Outcome] = {}
    for name in TRIALS:
        files = (folder / f"{name}.json", folder / f"{name}-full.json")
        runs = [read(file) for file in files if file.exists()]
        parts = {part: outcome for run in runs for part, outcome in run.parts.items()}
        if runs:
            found[name] = whole(name, parts) if parts else runs[-1]
    return found


def judge(promise: Promise, outcomes: dict[str, Outcome]) -> Line:
    """Find the figures that a promise rests on, and say whether it holds."""
    outcome = outcomes.get(promise.trial)
    if outcome is None:
        return Line(promise=promise, measured=f"missing: the trial {promise.trial} has not been run", holds=None)
    pieces = {piece.trial: _proving(promise, piece) for piece in outcome.pieces}
    figures = [figure for found in pieces.values() for figure in found]
    bounds = [figure.holds for figure in figures if figure.holds is not None]
    if not figures:
        return Line(promise=promise, measured=f"missing: the trial {promise.trial} did not measure it", holds=None)
    is_full = all(piece.is_full for piece in outcome.pieces if pieces[piece.trial])
    measured = "; ".join(dict.fromkeys(figure.measured for figure in figures)) + ("" if is_full else " (a sample)")
    return Line(
        promise=promise, measured=measured, holds=all(bounds) if bounds else None, naive=_naive(promise, outcome)
    )


def _proving(promise: Promise, piece: Outcome) -> list[Figure]:
    figures = piece.baselines if "baseline" in promise.names else piece.figures
    return [one for one in figures if "baseline" in promise.names or one.name.startswith(promise.names)]


def _naive(promise: Promise, outcome: Outcome) -> str:
    every = [one for piece in outcome.pieces for one in piece.baselines]
    found = [one for one in every if promise.beside and one.name.startswith(promise.beside)]
    return "; ".join(f"{one.name.rpartition(': ')[2]}: {one.measured}" for one in found)


def broken(outcomes: dict[str, Outcome]) -> list[str]:
    """Name every figure out of its bound."""
    return [
        f"{piece.trial}: {figure.name}: {figure.measured}, must be {figure.must_be}"
        for outcome in outcomes.values()
        for piece in outcome.pieces
        for figure in (*piece.figures, *piece.baselines)
        if figure.holds is False
    ]


# --------------------------------------------------------------------------------------------------- as a document


def document(outcomes: dict[str, Outcome]) -> str:
    """Write the report as Markdown."""
    missing = [name for name in TRIALS if name not in outcomes]
    lines = [
        "# Proof under fire: what was measured",
        "",
        f"Written {now():%Y-%m-%d %H:%M} UTC by `python -m trials.report`.",
        "No failure in n trials proves a rate of at most 3/n (95 %), and is stated as that.",
        "",
        *([f"**Missing: {', '.join(missing)}.**", ""] if missing else []),
        "## What it must show",
        "",
        *_rows(("figure", "must be", "measured", "holds", "naive ways"), map(_promise_cells, _judged(outcomes))),
        "",
        *(line for outcome in outcomes.values() for piece in outcome.pieces for line in _section(piece)),
        *_baselines(outcomes),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _judged(outcomes: dict[str, Outcome]) -> list[Line]:
    return [judge(promise, outcomes) for promise in PROMISES]


def _promise_cells(line: Line) -> Sequence[str]:
    return (line.promise.figure, line.promise.must_be, line.measured, _word(line.holds, "open"), line.naive)


def _section(outcome: Outcome) -> Iterator[str]:
    size = "full size" if outcome.is_full else "**a sample**, not the size that the promises are made for"
    seed = "" if outcome.seed is None else f", seed {outcome.seed}"
    yield f"## {outcome.trial}"
    yield ""
    yield f"{outcome.at:%Y-%m-%d %H:%M} UTC, {size}{seed}, {outcome.seconds:,.0f} s."
    if outcome.sizes:
        yield f"Sizes: {', '.join(f'{name} {value}' for name, value in outcome.sizes.items())}."
    yield f"Versions: {', '.join(f'{name} {value}' for name, value in outcome.versions.items())}."
    yield ""
    yield from _rows(("figure", "must be", "measured", "holds", "note"), map(_cells, outcome.figures))
    yield ""


def _baselines(outcomes: dict[str, Outcome]) -> Iterator[str]:
    pieces = [piece for outcome in outcomes.values() for piece in outcome.pieces]
    found = [figure for piece in pieces for figure in piece.baselines]
    if not found:
        return
    yield "## The naive ways, on the same seed"
    yield ""
    yield from _rows(("figure", "must be", "measured", "holds", "note"), map(_cells, found))


def _cells(figure: Figure) -> Sequence[str]:
    return (figure.name, figure.must_be, figure.measured, _word(figure.holds, ""), figure.note)


def _word(holds: bool | None, otherwise: str) -> str:
    return otherwise if holds is None else "yes" if holds else "**NO**"


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(_cell(text) for text in row)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(folder: Path = FOLDER, path: Path = PATH) -> int:
    """Print all tables and write the document; 1 when a bound is broken, 3 when an outcome cannot be read."""
    console = Console()
    try:
        outcomes = load(folder)
    except (ValidationError, OSError) as error:
        sys.stderr.write(f"error: an outcome under {folder} cannot be read; run that trial again: {error}\n")
        return 3
    for piece in (piece for outcome in outcomes.values() for piece in outcome.pieces):
        console.print(table_of(piece))
    path.write_text(document(outcomes), encoding="utf-8")
    for line in _judged(outcomes):
        console.print(f"{_word(line.holds, 'open'):8} {line.promise.figure}: {line.measured}", markup=False)
    for one in (wrong := broken(outcomes)):
        console.print(f"broken: {one}", markup=False, style="red")
    console.print(f"written to {path}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
