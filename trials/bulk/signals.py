"""Bad signals and updates, in every encoding, to tasks that wait for people: none counts, none stops a task."""

import asyncio
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowUpdateFailedError
from temporalio.common import RawValue
from temporalio.service import RPCError, RPCStatusCode

from core.record import Json
from trials.bulk.planning import none
from trials.bulk.scene import staged_in_bulk
from trials.results import Figure
from trials.running import Run
from trials.stage import Stage, Task, asked, failures, outcome, runs, status

PEOPLE = ("ana", "ben", "cleo", "dana", "eve")
_ENCODINGS = (
    b"json/plain",
    b"json/protobuf",
    b"binary/plain",
    b"binary/protobuf",
    b"binary/encrypted",
    b"",
    b"\xff\xfe",
)
_GRANT: Json = {
    "steps": [{"id": "s1", "tool": "grant", "args": {"amount_cents": 5}, "after": [], "why": "tried"}],
    "finish": {"answer": "done"},
}


@dataclass(frozen=True, slots=True)
class Sent:
    """One bad signal or update: never one that would count."""

    name: str
    arguments: tuple[Any, ...]
    is_update: bool


def bad_messages(count: int, seed: int) -> Iterator[Sent]:
    """Yield them; every kind comes up before any comes again, a third as updates."""
    dice = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    for number in range(count):
        name = dice.choice(("approve", "reject", "answer", "amend", "decide", "pause", "resume"))
        payloads = KINDS[number % len(KINDS)](dice)
        is_update = number % 3 == 0
        if number % 7 == 0:
            name = dice.choice(("aprove", "", "__x", "approve\u202e", "x" * 900, "query", "decide ", "\u0430pprove"))
        yield Sent("decide" if is_update and number % 7 else name or "?", payloads, is_update)


Kind = Callable[[random.Random], tuple[Any, ...]]


def _raw(data: bytes, encoding: bytes = b"json/plain") -> RawValue:
    return RawValue(Payload(metadata={"encoding": encoding} if encoding else {}, data=data))


def _bytes(dice: random.Random) -> tuple[Any, ...]:
    data = b"\x01" + bytes(dice.randrange(256) for _ in range(dice.randrange(60)))
    return (_raw(data, dice.choice(_ENCODINGS)),)


def _several(dice: random.Random) -> tuple[Any, ...]:
    return tuple(dice.choice(["ana", 1, None, {"by": "ana"}]) for _ in range(dice.randrange(2, 5)))


def _other_type(dice: random.Random) -> tuple[Any, ...]:
    return (dice.choice([7, 1.5, True, [], ["ana"], [[{}]]]),)


def _stranger(dice: random.Random) -> tuple[Any, ...]:
    name = dice.choice(["zoe", "kim", "an\u0430", "root", "\u202eana", "ana;ben", "x" * 201])
    return ({"by": name, "request_id": "q1", "choice": "approve", "comment": "let me"},)


def _stale(dice: random.Random) -> tuple[Any, ...]:
    digest = f"{dice.getrandbits(64):016x}"
    request = dice.choice(["q1", "q0", "q2", "q999", ""])
    return ({"by": "ana", "request_id": request, "digest": digest, "choice": "approve"},)


def _unknown_field(dice: random.Random) -> tuple[Any, ...]:
    return ({"by": "ana", "request_id": "q1", "choice": "approve", dice.choice(["coment", "By", "__class__", ""]): 1},)


def _wrong_choice(dice: random.Random) -> tuple[Any, ...]:
    choice = dice.choice(["happened", "retry", "yes", "APPROVE", "edit", 7, ["approve"], {"a": 1}])
    return ({"by": "ana", "request_id": "q1", "choice": choice},)


def _unfit(dice: random.Random) -> tuple[Any, ...]:
    value = dice.choice(["NaN", "1e999", "-Infinity", str(2**53), '"\\ud800"', "9" * 500, "[" * 60 + "]" * 60])
    return (
        _raw(f'{{"by": "ana", "request_id": "q1", "choice": "edit", "args": {{"amount_cents": {value}}}}}'.encode()),
    )


def _not_json(dice: random.Random) -> tuple[Any, ...]:
    text = dice.choice(["{", "{by: ana}", "'ana'", '"ana', "[" * 100_000, "ana", '{"by": "ana",}', "\x00"])
    return (_raw(text.encode(), dice.choice(_ENCODINGS[:2])),)


def _large(dice: random.Random) -> tuple[Any, ...]:
    size = dice.choice([5_000, 70_000, 300_000])  # of a comment, at most 4,000; of arguments, 64 kB
    said = (
        {"comment": "x" * size, "choice": "approve"} if size == 5_000 else {"args": {"a": "x" * size}, "choice": "edit"}
    )
    return ({"by": "ana", "request_id": "q1", **said},)


KINDS: tuple[Kind, ...] = (
    _bytes,
    _several,
    _other_type,
    _stranger,
    _stale,
    _unknown_field,
    _wrong_choice,
    _unfit,
    _not_json,
    _large,
)


@dataclass(slots=True)
class _Found:
    """What came of them. `refused`: by the server itself, before any task saw them."""

    accepted: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    updates: int = 0
    refused: int = 0


async def bad_signals(run: Run) -> Sequence[Figure]:
    """Send them to a few tasks at once; afterwards each still answers, and five right answers end it."""
    count = run.size("bad signals and updates", 400, 2_000)
    tasks = run.size("tasks that get them", 4, 10)
    found, failed = _Found(), list[str]()
    async with staged_in_bulk() as stage, stage.working():
        started = [await stage.start(f"signals-{number}", [{"plan": _GRANT}]) for number in range(tasks)]
        for task in started:
            await status(task, "AWAITING_APPROVAL")
        shares = [list(bad_messages(count, run.seed))[number::tasks] for number in range(tasks)]
        await asyncio.gather(*(_send(task, share, found) for task, share in zip(started, shares, strict=True)))
        for task in started:
            found.broken += await _end(stage, task)
            async for events in runs(stage.client, task):
                failed += failures(events)
    return [
        none("bad signals and updates: workflow tasks that failed", failed, count),
        none("bad updates that were accepted", found.accepted, found.updates),
        none("bad signals: tasks that did not wait on, answer, and end with one effect", found.broken, tasks),
        Figure(name="bad signals and updates refused by the server itself", measured=f"{found.refused} of {count:,}"),
    ]


async def _send(task: Task, messages: Sequence[Sent], found: _Found) -> None:
    for one in messages:
        try:
            if one.is_update:
                found.updates += 1
                said = await task.execute_update(one.name, args=list(one.arguments))
                found.accepted.append(f"{one.name} {json.dumps(said)[:100]}")
            else:
                await task.signal(one.name, args=list(one.arguments))
        except WorkflowUpdateFailedError:
            continue
        except RPCError as error:
            if error.status is not RPCStatusCode.INVALID_ARGUMENT:
                raise
            found.refused += 1


async def _end(stage: Stage, task: Task) -> list[str]:
    view = await asked(task)
    before = (view["status"], view.get("open_requests"), stage.counter.applied("grant", task.id))
    if before != ("AWAITING_APPROVAL", ["q1"], 0):
        return [f"{task.id}: {before}"]
    for person in PEOPLE:
        await task.signal("approve", {"by": person, "request_id": "q1"})
    result = await outcome(task)
    after = (result["status"], stage.counter.applied("grant", task.id))
    return [] if after == ("COMPLETED", 1) else [f"{task.id}: {after}"]
