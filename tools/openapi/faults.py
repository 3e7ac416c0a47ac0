"""What is wrong with a source: collected, so that one load shows it all."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

Place = tuple[str | int, ...]


class Fault(NamedTuple):
    """One fault. `place`: keys below the source's table in agent.toml; () when the document itself is at fault."""

    place: Place
    problem: str


class SourceFaults(Exception):
    """A source cannot be used; `faults` says why, one by one."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(fault.problem for fault in faults))
        self.faults = tuple(faults)


class Wrong(Exception):
    """One fault of one operation; `place` is below the source's table."""

    def __init__(self, place: Place, problem: str) -> None:
        super().__init__(problem)
        self.fault = Fault(place, problem)


class BadDocument(Exception):
    """A document, or a part of it, cannot be used; the text names file, place and expectation."""


def listed(names: Collection[str]) -> str:
    """List what is known, at most twelve names."""
    found = [str(name)[:60] for name in list(names)[:12]]
    return f"known are: {', '.join(found)}{' ...' if len(names) > 12 else ''}" if found else "there are none"
