"""Every fault that llmock can be told to have, apart from those of streams, and what a model says in the end.

Streams can disconnect, be truncated, stall, be malformed or begin late. The planners ask for whole
answers, so there is nothing that these could break; the trial sees to it that no request asked for a stream.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from core.record import Json

PLAN: dict[str, Json] = {
    "steps": [{"id": "s1", "tool": "look", "args": '{"at": "it"}', "after": [], "why": "asked for", "repeat_of": None}],
    "finish": {"answer": "Looked: {{s1}}."},
    "ask": None,
    "confidence": 0.9,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. ``behaviors``: what llmock does to the first requests; ``is_everywhere``: to both models."""

    name: str
    behaviors: tuple[dict[str, Json], ...]
    is_everywhere: bool = False

    def script(self, first: str, second: str) -> list[dict[str, Json]]:
        """Write it down for the requests to one model; afterwards, and at the other one, plans are good."""
        whose = {} if self.is_everywhere else {"match": {"model": first}}
        return [*({**behavior, **whose} for behavior in self.behaviors), *well(first, second)]


def well(*models: str) -> list[dict[str, Json]]:
    """Have these models plan well for good; without a name, all of them."""
    reply: dict[str, Json] = {"type": "reply", "text": json.dumps(PLAN), "times": None}
    return [{**reply, "match": {"model": model}} for model in models] or [reply]


def late(model: str, seconds: float, *, times: int) -> dict[str, Json]:
    """Have a model take its time."""
    return {"type": "delay", "seconds": seconds, "times": times, "match": {"model": model}}


def faults() -> Iterator[Fault]:
    """Yield them all."""
    yield Fault("none", ())
    for status in (400, 401, 402, 403, 404, 405, 413, 422, 501):
        yield Fault(f"a definite {status}", (_fail(status),))
    for status in (408, 409, 500, 502, 503, 504, 529):
        yield Fault(f"a passing {status}", (_fail(status),))
    yield Fault("429 without a wait", (_fail(429),))
    yield Fault("429, wait 1.5 s", (_fail(429, retry_after=1.5),))
    yield Fault("429 twice, wait 1 s", (_fail(429, retry_after=1, times=2),))
    yield Fault("out of credit", (_fail(429, code="insufficient_quota"),))
    yield Fault("the prompt is too long", (_fail(400, code="context_length_exceeded"),))
    yield Fault("an outage of three requests", (_fail(503, times=3),))
    yield Fault("all models down for a while", (_fail(503, times=3),), is_everywhere=True)
    yield Fault("slow", ({"type": "delay", "seconds": 1.5},))
    yield from _replies()


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


def _fail(status: int, **more: Json) -> dict[str, Json]:
    return {"type": "fail", "status": status, **more}


def _reply(text: str, **more: Json) -> dict[str, Json]:
    return {"type": "reply", "text": text, **more}
