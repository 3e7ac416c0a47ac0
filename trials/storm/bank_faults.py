"""Which fault strikes which request at the bank: chosen by the seed, the memo and the number of the request alone."""

import hashlib
from collections import Counter
from enum import StrEnum

from trials.storm.truth import Part


class Fault(StrEnum):
    """What goes wrong. `*_before`: certainly not applied; `*_after`: applied (written down) before it strikes."""

    DROPPED_BEFORE = "dropped_before"
    DROPPED_AFTER = "dropped_after"
    LATE = "late"
    """Applied only after the client gave up, but within the settle time after its deadline."""
    ERROR_BEFORE = "error_before"
    ERROR_AFTER = "error_after"
    """Both are a 500: the client cannot tell them apart."""
    BUSY = "busy"
    """429 with Retry-After; not applied."""
    CONFLICT = "conflict"
    """409, not applied: somebody else holds the account. A key that is under way is a 409 as well, without a fault."""
    GARBAGE = "garbage"
    """200 with a body that is no JSON; applied."""
    HUGE = "huge"
    """200 with a body of 3 MB; applied."""
    SLOW = "slow"
    """Applied at once, answered only after the client gave up."""


ON_WRITES = tuple(Fault)
ON_READS = (Fault.DROPPED_BEFORE, Fault.ERROR_BEFORE, Fault.BUSY, Fault.GARBAGE, Fault.SLOW)

_MOST_WRITES, _MOST_READS = 3, 2
"""Requests about one thing that may be struck; the next ones are served, so that what can be done gets done."""

_READS_SHARE = 3
"""Reads are struck this many times less often."""


class Strike(Part):
    """What happens to one request. `number` counts from 1; `fraction` (0 to 1) is for what has a duration."""

    fault: Fault | None
    number: int
    fraction: float


class Weather:
    """Deals out faults. ``rate``: probability that one of the first writes about a memo is struck (0 = never)."""

    def __init__(self, seed: int, rate: float) -> None:
        self._seed = seed
        self._rate = rate
        self._seen: Counter[str] = Counter()

    def on_write(self, memo: str) -> Strike:
        """Say what happens to the next write about a memo."""
        return self._strike(f"write {memo}", ON_WRITES, _MOST_WRITES, self._rate)

    def on_read(self, what: str) -> Strike:
        """Say what happens to the next read of something."""
        return self._strike(f"read {what}", ON_READS, _MOST_READS, self._rate / _READS_SHARE)

    def _strike(self, what: str, faults: tuple[Fault, ...], most: int, rate: float) -> Strike:
        self._seen[what] += 1
        number = self._seen[what]
        chance, choice, fraction = self._dice(what, number)
        is_struck = number <= most and chance < rate
        return Strike(fault=faults[int(choice * len(faults))] if is_struck else None, number=number, fraction=fraction)

    def _dice(self, what: str, number: int) -> tuple[float, float, float]:
        """Throw three dice from 0 to 1 that depend on nothing but the seed and the request."""
        thrown = hashlib.sha256(f"{self._seed} {what} {number}".encode()).digest()
        first, second, third = (int.from_bytes(thrown[at : at + 6]) / 2**48 for at in (0, 6, 12))
        return first, second, third
