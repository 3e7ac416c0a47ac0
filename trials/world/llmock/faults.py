"""Every fault that llmock can be told to have, apart from those of streams, and what a model says in the end.

Streams can disconnect, be truncated, stall, be malformed or begin late. The planners ask for whole
answers, so there is nothing that these could break; the trial sees to it that no request asked for a stream.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from core.record import Json
from core.task import Status

PLAN: dict[str, Json] = {
    "steps": [{"id": "s1", "tool": "look", "args": '{"at": "it"}', "after": [], "why": "asked for", "repeat_of": None}],
    "finish": {"answer": "Looked: {{s1}}."},
    "ask": None,
    "confidence": 0.9,
}
TIMEOUT_S = 2.0
"""Seconds for one answer, of every model that has one fault."""

PASSING = (408, 409, 425, 500, 502, 503, 504, 529)
"""Error statuses that are worth another try; so is 429."""
DEFINITE = (400, 401, 402, 403, 404, 405, 413, 422, 501)
"""Those that are not: the same request would fail in the same way."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. ``behaviors``: what llmock does to the first requests, to all of them where `times` is None.

    ``is_everywhere``: to every model of the route, not to the first one alone. ``alone``: how a task comes to rest that
    has no other model; with a model of the other vendor behind the first, every task completes.
    """

    name: str
    behaviors: tuple[dict[str, Json], ...]
    is_everywhere: bool = False
    alone: Status = Status.COMPLETED


def well(model: str = "*") -> dict[str, Json]:
    """Have a model plan well for good; the name may hold wildcards."""
    return {"type": "reply", "text": json.dumps(PLAN), "times": None, "match": {"model": model}}


def late(seconds: float) -> dict[str, Json]:
    """Have all models take their time for good."""
    return {"type": "delay", "seconds": seconds, "times": None}


def faults() -> Iterator[Fault]:
    """Yield them all."""
    yield Fault("none", ())
    for status in PASSING:
        yield Fault(f"a passing {status}", (_fail(status),))
    yield Fault("429 without a wait", (_fail(429),))
    yield Fault("429, wait 1.5 s", (_fail(429, retry_after=1.5),))
    yield Fault("429 twice, wait 1 s", (_fail(429, retry_after=1, times=2),))
    yield Fault("an outage of three requests", (_fail(503, times=3),))
    yield Fault("all models down for a while", (_fail(503, times=3),), is_everywhere=True)
    yield Fault("slow", ({"type": "delay", "seconds": TIMEOUT_S / 4},))
    yield Fault("too slow", ({"type": "delay", "seconds": 2 * TIMEOUT_S},))
    yield from _definite()
    yield from _replies()


def _definite() -> Iterator[Fault]:
    """Yield what lasts until somebody mends it."""
    for status in DEFINITE:
        yield _lasting(f"a definite {status}", _fail(status))
    yield _lasting("out of credit", _fail(429, code="insufficient_quota"))
    yield _lasting("the prompt is too long", _fail(400, code="context_length_exceeded"))
    yield _lasting("prose for ever", _reply("Sure! Here is your plan:"))


def _replies() -> Iterator[Fault]:
    """Yield what a model can say instead of a plan."""
    plan = json.dumps(PLAN)
    yield Fault("prose", (_reply("Sure! Here is your plan:"),))
    yield Fault("nothing", (_reply(""),))
    yield Fault("half a plan", (_reply(plan[: len(plan) // 2]),))
    yield Fault("a tool that nobody has", (_reply(plan.replace('"look"', '"rm"')),))
    yield Fault("another shape", (_reply('{"steps": 5}'),))
    yield Fault("cut off at the limit", (_reply(plan[:40], finish_reason="length"),))
    yield Fault("refused by a filter", (_reply("", finish_reason="content_filter"),))
    yield Fault("a tool call", ({"type": "reply", "tool_calls": [{"name": "look", "arguments": {"at": "it"}}]},))
    for kind in ("malformed_arguments", "unknown_tool"):
        yield Fault(f"a tool call with {kind}", (_reply(""), {"type": "tool_fault", "kind": kind}))


def _lasting(name: str, behavior: dict[str, Json]) -> Fault:
    return Fault(name, ({**behavior, "times": None},), alone=Status.AWAITING_PERSON)


def _fail(status: int, **more: Json) -> dict[str, Json]:
    return {"type": "fail", "status": status, **more}


def _reply(text: str, **more: Json) -> dict[str, Json]:
    return {"type": "reply", "text": text, **more}
