"""What is wrong with a source: collected, so that one load shows it all."""

from collections.abc import Sequence
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


class BadDocument(Exception):
    """A document, or a part of it, cannot be used; the text names file, place and expectation."""
