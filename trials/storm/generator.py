"""Makes a storm out of a seed: the truth, and a script for the model of each task.

``python -m trials.storm.generator --tasks N --seed S --out truth.json --scripts FOLDER``
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trials.storm.drafting import Draft, Step
from trials.storm.shapes import Shape, shapes
from trials.storm.truth import Blow, TaskTruth, Truth

_BLOWS = {Blow.NONE: 82, Blow.CANCEL: 3, Blow.TERMINATE: 3, Blow.RESET: 6, Blow.AMEND: 6}
"""Of a hundred tasks that may be singled out, how many are, and how."""

_AGAIN = 6
"""The last plan is given this many times more, for planning anew after a reset, an amendment or an unavailable tool."""

_UNKNOWN_TOOL: Step = {"id": "s1", "tool": "transfer_everything", "args": {}, "why": "it sounds right"}
_UNKNOWN_STEP: Step = {"id": "s1", "tool": "transfer_plain", "args": {"memo": {"$from": "s0", "path": "/memo"}}}
_BAD: tuple[dict[str, Any], ...] = (
    {"text": "I would be glad to help. First, let us"},
    {"text": '{"steps": [{"id": "s1", "tool": '},
    {"plan": {"steps": [_UNKNOWN_TOOL], "finish": {"answer": "done"}}},
    {"plan": {"steps": [_UNKNOWN_STEP], "finish": {"answer": "done"}}},
    {"error": "refused"},
)
"""Replies that are no plan that may run."""

_TROUBLE: tuple[dict[str, Any], ...] = (
    {"error": "rate_limited", "retry_after": 0.2, "times": 2},
    {"error": "unavailable"},
    {"error": "timeout"},
)


def make(tasks: int, seed: int) -> Iterator[tuple[TaskTruth, dict[str, Any]]]:
    """Yield each task with the script of its model. A task depends on the seed and its number alone."""
    kinds = shapes()
    for number in range(tasks):
        dice = random.Random(f"{seed}/{number}")  # noqa: S311 - a storm has to repeat, not to be secret
        shape = dice.choices(kinds, [one.weight for one in kinds])[0]
        draft = Draft(number, dice)
        shape.draw(draft)
        truth = draft.truth(shape.name, _blow(dice, shape))
        yield truth, {"replies": list(_replies(draft))}


def write(tasks: int, seed: int, out: Path, scripts: Path) -> Truth:
    """Write truth and scripts; return the truth. Raises OSError."""
    scripts.mkdir(parents=True, exist_ok=True)
    made: list[TaskTruth] = []
    for truth, script in make(tasks, seed):
        (scripts / f"{truth.task_id}.json").write_text(json.dumps(script), encoding="utf-8")
        made.append(truth)
    storm = Truth(seed=seed, tasks=tuple(made))
    out.parent.mkdir(parents=True, exist_ok=True)
    storm.write(out)
    return storm


def _blow(dice: random.Random, shape: Shape) -> Blow:
    return dice.choices(list(_BLOWS), list(_BLOWS.values()))[0] if shape.takes_blows else Blow.NONE


def _replies(draft: Draft) -> Iterator[dict[str, Any]]:
    """Yield what the model says: sometimes trouble or nonsense first, then the plans, then the last one again."""
    if draft.dice.random() < 0.06:
        yield draft.dice.choice(_TROUBLE)
    if draft.dice.random() < 0.08:
        yield draft.dice.choice(_BAD)
    again = [draft.plans[-1]] * _AGAIN
    for number, steps in enumerate([*draft.plans, *again], start=1):
        yield {"plan": {"steps": steps, "finish": {"answer": f"made the transfers of {draft.task_id}, plan {number}"}}}


def main(argv: Sequence[str] | None = None) -> int:
    """Write a storm; 2 when it cannot be written."""
    parser = argparse.ArgumentParser(prog="python -m trials.storm.generator", description="Make a storm out of a seed.")
    parser.add_argument("--tasks", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the truth, as JSON")
    parser.add_argument("--scripts", type=Path, required=True, help="a folder for the model's scripts")
    given = parser.parse_args(argv)
    if given.tasks < 1:
        parser.error(f"--tasks is a whole number from 1 up, found {given.tasks}")
    try:
        write(given.tasks, given.seed, given.out, given.scripts)
    except OSError as error:
        sys.stderr.write(f"error: the storm cannot be written to {error.filename}: {error.strerror}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
