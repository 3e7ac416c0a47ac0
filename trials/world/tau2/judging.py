"""What the servers themselves say about what was done: end states, and their complete logs of calls."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from trials.world.tau2.desk import Desk, Gold, hash_of


@dataclass(slots=True)
class Judged:
    """Names of tasks, or of tasks and calls, for each thing that is not as it should be."""

    tasks: int = 0
    writes: int = 0
    other_ends: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)


async def judge(desk: Desk, kind: str, golds: Sequence[Gold]) -> Judged:
    """Compare each task's end state and log with what is right; the state of task N has the key KIND-N."""
    hashes, found = await desk.hashes(kind), Judged()
    for gold in golds:
        key = f"{kind}-{gold.id}"
        log = desk.state(kind, key)["calls"]
        if hash_of(hashes, key) != gold.hash and (log or gold.writes):
            found.other_ends.append(gold.id)
        _compare(gold, _writes(desk, log), found)
    return found


def _compare(gold: Gold, done: Counter[str], found: Judged) -> None:
    right = Counter(_text(write["name"], write["arguments"]) for write in gold.writes)
    found.tasks += 1
    found.writes += done.total()
    found.twice += [f"{gold.id}: {call}" for call, count in done.items() for _ in range(count - max(right[call], 1))]
    found.missing += [f"{gold.id}: {call}" for call in (right - done).elements()]
    found.strange += [f"{gold.id}: {call}" for call in done if call not in right]


def _writes(desk: Desk, log: Sequence[dict[str, Any]]) -> Counter[str]:
    """Count what changed something, as the server logged it; a refused call changes nothing."""
    calls = [one["tau2_tool_call"] for one in log if not one["tau2_tool_message"]["error"]]
    return Counter(_text(call["name"], call["arguments"]) for call in calls if call["name"] not in desk.reads)


def _text(name: Any, arguments: Any) -> str:
    return f"{name} {json.dumps(arguments, sort_keys=True)}"
