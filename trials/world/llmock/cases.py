"""One case is one fault on a model by one interface, with or without a model of the other vendor behind it.

Each has models and providers of its own: all of them run at once, and what one does opens no circuit breaker of
another.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from core.record import Json
from core.task import Status
from trials.world.llmock.faults import TIMEOUT_S, Fault, faults, well
from trials.world.llmock.route import Api, Model

BEHIND = "behind"
"""The provider of the models behind, which has a task queue of its own; none of them fails."""


@dataclass(frozen=True, slots=True)
class Case:
    """One task."""

    fault: Fault
    api: Api
    is_backed: bool

    @property
    def id(self) -> str:
        """Name its task, its agent and its models."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.fault.name.lower())
        return f"{self.api}-{slug}-{'backed' if self.is_backed else 'alone'}"

    @property
    def route(self) -> Sequence[Model]:
        """Return its models in the order in which they are asked."""
        first = Model(f"{self.id}.first", self.api, TIMEOUT_S, provider=f"{self.id}.first")
        provider = f"{self.id}.second" if self.fault.is_everywhere else BEHIND
        second = Model(f"{self.id}.second", self.api.other_vendors, TIMEOUT_S, provider=provider)
        return [first, second] if self.is_backed else [first]

    @property
    def ending(self) -> Status:
        """How its task is to come to rest."""
        return Status.COMPLETED if self.is_backed else self.fault.alone

    def script(self) -> list[dict[str, Json]]:
        """Write what llmock is told; what no behaviour is left for is answered with a good plan."""
        hit = f"{self.id}.*" if self.fault.is_everywhere else f"{self.id}.first"
        return [*({**behavior, "match": {"model": hit}} for behavior in self.fault.behaviors), well(f"{self.id}.*")]


def cases(*, is_full: bool) -> list[Case]:
    """Make every case; in small, each fault by one of the interfaces in turn."""
    found, turns = list(faults()), list(Api)
    every = [Case(*one) for one in product(found, Api, (False, True))]
    return every if is_full else [one for one in every if one.api is turns[found.index(one.fault) % len(turns)]]
