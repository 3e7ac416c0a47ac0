"""What llmock does to the models of the trial: each case is a model of its own, so that all of them run at once.

Streams are not used by Lastmile, so the four faults of streams and the slow first token have nothing to break.
"""

import json
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

from core.record import Json

PLAN: dict[str, Json] = {
    "steps": [{"id": "s1", "tool": "look", "args": "{}", "after": [], "why": "asked", "repeat_of": None}],
    "finish": {"answer": "Seen."},
    "ask": None,
    "confidence": 0.9,
}
APIS = ("responses", "chat", "anthropic")
TIMEOUT = 2.0
"""Seconds for one answer, of every model of the trial."""

Ending = Literal["completes", "asks"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. ``behaviors``: what llmock is told; ``alone``: how a task ends that has no other model.

    With another model of the other vendor behind it, every task completes.
    """

    name: str
    behaviors: tuple[dict[str, Json], ...]
    alone: Ending = "completes"


def _fails(status: int, *, times: int | None = 1, **more: Json) -> tuple[dict[str, Json], ...]:
    return ({"type": "fail", "status": status, "times": times, **more},)


def _says(text: str, times: int = 1, **more: Json) -> tuple[dict[str, Json], ...]:
    return ({"type": "reply", "text": text, "times": times, **more},)


FAULTS = (
    Fault("none", ()),
    *(Fault(f"fail-{status}", _fails(status)) for status in (408, 409, 500, 502, 503, 504, 529)),
    Fault("rate-limit", _fails(429, retry_after=2)),
    Fault("rate-limit-twice", _fails(429, retry_after=1, times=2)),
    Fault("outage-of-three", _fails(503, times=3)),
    *(Fault(f"definite-{status}", _fails(status, times=None), "asks") for status in (400, 401, 403, 404, 422)),
    Fault("out-of-credit", _fails(429, times=None, code="insufficient_quota"), "asks"),
    Fault("too-slow", ({"type": "delay", "seconds": 2 * TIMEOUT, "times": 1},)),
    Fault("slow", ({"type": "delay", "seconds": TIMEOUT / 4, "times": 1},)),
    Fault("not-json", _says("Sure! Here is your plan:")),
    Fault("empty", _says("")),
    Fault("cut", _says(json.dumps(PLAN)[:60])),
    Fault("wrong-shape", _says('{"steps": 5}')),
    Fault("unknown-tool", _says(json.dumps(PLAN).replace('"look"', '"rm"'))),
    Fault("calls-a-tool", ({"type": "reply", "tool_calls": [{"name": "look", "arguments": {}}], "times": 1},)),
    Fault("garbage-for-ever", _says("no plan", times=9), "asks"),
)


@dataclass(frozen=True, slots=True)
class Case:
    """One task: a fault on a model of one API, with or without another vendor's model behind it."""

    fault: Fault
    api: str
    is_backed: bool
    model: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", f"{self.api}-{self.fault.name}-{'backed' if self.is_backed else 'alone'}")

    @property
    def name(self) -> str:
        """Name of the full model in a route."""
        return f"{'anthropic' if self.api == 'anthropic' else 'openai'}:{self.model}"

    @property
    def ending(self) -> Ending:
        """How its task is to end."""
        return "completes" if self.is_backed else self.fault.alone

    def scenario(self) -> list[dict[str, Json]]:
        """Write what llmock is told of this model; in the end it plans well."""
        well: dict[str, Json] = {"type": "reply", "text": json.dumps(PLAN), "times": None}
        return [{**behavior, "match": {"model": self.model}} for behavior in (*self.fault.behaviors, well)]


def cases(*, is_full: bool) -> list[Case]:
    """Make every case; in small, one API for each fault, in turn."""
    everything = [Case(fault, api, backed) for fault, api, backed in product(FAULTS, APIS, (False, True))]
    if is_full:
        return everything
    return [case for case in everything if case.api == APIS[FAULTS.index(case.fault) % len(APIS)]]
