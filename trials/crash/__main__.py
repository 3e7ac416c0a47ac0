"""Plays the crash matrix: ``python -m trials.crash [--full] [--seed N] [--cell NAME] [--list] [--together N]``."""

import argparse
import asyncio
import os
import random
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from core.errors import CallerError, LastmileError
from trials import results
from trials.crash.cells import Cell, all_cells, named, sample
from trials.crash.judging import wrong
from trials.crash.printing import Played, show
from trials.crash.scene import Scene
from trials.crash.stage import Stage, lay_out, staged

FOLDER = results.FOLDER / "crash"
"""Each run has a folder of its own in it, which stays when a cell is wrong."""

RESULT_CAP = 100_000
"""Bytes; what the agent's tools declare."""


def main(argv: Sequence[str] | None = None) -> int:
    """Play, print, and write the outcome; 1 when a cell is not as in the table, 2 for a wrong argument."""
    given = _arguments().parse_args(argv)
    console = Console(width=None if sys.stdout.isatty() else 180, highlight=False)
    try:
        cells = _chosen(given.full, given.seed, given.cell)
        if given.list:
            console.print("\n".join(cell.name for cell in cells), soft_wrap=True)
            return 0
        started = time.monotonic()
        folder = FOLDER.resolve() / f"run-{os.getpid()}"
        played = asyncio.run(_play(folder, cells, given.seed, given.together, console))
    except LastmileError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    if all(one.is_right for one in played):
        shutil.rmtree(folder)
    show(console, played)
    return _conclude(console, played, given, time.monotonic() - started)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trials.crash", description="Play the crash matrix.")
    parser.add_argument("--full", action="store_true", help="all cells (without: a sample that covers every row)")
    parser.add_argument("--seed", type=int, default=1, help="chooses the sample and the order (default: 1)")
    parser.add_argument("--cell", metavar="NAME", help="only the cells of this name; * stands for any part of it")
    parser.add_argument("--together", type=int, default=8, metavar="N", help="cells at a time (default: 8)")
    parser.add_argument("--list", action="store_true", help="only print the names of the cells")
    return parser


def _chosen(is_full: bool, seed: int, name: str | None) -> list[Cell]:
    cells = all_cells()
    if name is not None:
        return named(cells, name)
    return cells if is_full else sample(cells, seed)


async def _play(folder: Path, cells: Sequence[Cell], seed: int, together: int, console: Console) -> list[Played]:
    """Play the cells in an order of the seed's, several at a time; return them in the order of the table."""
    if together < 1:
        raise CallerError(f"--together {together}: at least one cell has to be played at a time")
    numbered = list(enumerate(cells))
    random.Random(seed).shuffle(numbered)  # noqa: S311 - mixes long cells and short ones
    turns = asyncio.Semaphore(together)
    async with staged(folder) as stage, asyncio.TaskGroup() as group:
        playing = {
            number: group.create_task(_play_one(stage, cell, number, turns, console)) for number, cell in numbered
        }
        await asyncio.wait(playing.values())
    return [playing[number].result() for number in range(len(cells))]


async def _play_one(stage: Stage, cell: Cell, number: int, turns: asyncio.Semaphore, console: Console) -> Played:
    async with turns:
        started = time.monotonic()
        props = await asyncio.to_thread(lay_out, stage, cell, number)
        found = await Scene(stage, cell, props).play()
        faults = tuple(wrong(cell, found, RESULT_CAP))
        played = Played(cell=cell, found=found, faults=faults, seconds=time.monotonic() - started)
    if played.is_right:
        await asyncio.to_thread(shutil.rmtree, props.folder)
    verdict = "ok" if played.is_right else f"WRONG: {'; '.join(faults)} (logs: {props.folder})"
    console.print(
        f"{played.seconds:5.1f} s  {cell.name}  {verdict}", style=None if played.is_right else "red", soft_wrap=True
    )
    return played


def _conclude(console: Console, played: Sequence[Played], given: argparse.Namespace, seconds: float) -> int:
    judged = [one for one in played if not one.cell.is_residual]
    right = sum(one.is_right for one in judged)
    figure = results.Figure(
        name="crash cells as in the table",
        measured=f"{right} of {len(judged)}",
        must_be="100 %",
        holds=right == len(judged),
        note="departures from the design's table stand in trials/crash/table.py, with reasons",
    )
    console.print(f"\n{figure.name}: {figure.measured}, {seconds:.0f} s, seed {given.seed}", style="bold")
    if given.cell is None:
        console.print(f"written to {_written(figure, _residual(played), played, given, seconds)}")
    return 0 if figure.holds else 1


def _residual(played: Sequence[Played]) -> results.Figure:
    seen = [one.found.applied for one in played if one.cell.is_residual]
    return results.Figure(
        name="residual of probed: stopped inside the system call that sends, for longer than every deadline",
        measured=f"applied {', '.join(map(str, seen))} times" if seen else "not tried",
        note="stated, not promised: no check can stand behind a system call",
    )


def _written(
    figure: results.Figure,
    residual: results.Figure,
    played: Sequence[Played],
    given: argparse.Namespace,
    seconds: float,
) -> Path:
    return results.write(
        results.Outcome(
            trial="crash",
            seed=given.seed,
            is_full=given.full,
            sizes={"cells": len(played), "of": len(all_cells()), "together": given.together},
            figures=(figure, residual),
            seconds=round(seconds, 1),
            at=results.now(),
            versions=results.versions(),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
