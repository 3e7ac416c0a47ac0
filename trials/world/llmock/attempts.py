"""Requests that llmock got against attempts that our ledger counted, each by its task and its model.

The ledger reserves an attempt before its request is sent, and settles it when it knows how that ended. So every settled
attempt is one request, and every request is one attempt. Only an attempt that was never settled, because its worker was
killed, may have been sent or not.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.spending import CallState
from trials.stage import Stage

_TASK = re.compile(r"\[task ([a-z0-9-]+)\]")
_CALLS = "select task_id, model, state from lastmile_calls order by seq"

Asked = tuple[str, str]
"""Who asked whom: the task, and the model by its name at the vendor."""


def goal(task_id: str) -> str:
    """Word a task's goal so that its requests can be told by it."""
    return f"look at something [task {task_id}]"


@dataclass(slots=True)
class Attempts:
    """What the ledgers counted: how each attempt ended, in their order."""

    ends: defaultdict[Asked, list[CallState]] = field(default_factory=lambda: defaultdict(list))

    def read(self, stage: Stage) -> None:
        """Take over what the ledger of a stage holds."""
        for task, model, state in stage.ledger(_CALLS):
            self.ends[task, model.partition(":")[2]].append(CallState(state))

    @property
    def left(self) -> Counter[Asked]:
        """Those that nobody settled."""
        return Counter({who: states.count(CallState.OPEN) for who, states in self.ends.items()})

    @property
    def settled(self) -> Counter[Asked]:
        """All others."""
        return Counter({who: len(states) for who, states in self.ends.items()}) - self.left


@dataclass(frozen=True, slots=True)
class Compared:
    """Both sides beside each other, by task and model.

    ``uncounted``: requests that no attempt stands for. ``unseen``: settled attempts that were never sent.
    ``left_sent``: how many of those that nobody settled were sent.
    """

    uncounted: Counter[Asked]
    unseen: Counter[Asked]
    left_sent: int


def compare(requests: Mapping[Asked, Sequence[int]], attempts: Attempts) -> Compared:
    """Compare; what a counter lacks counts as 0, and only what is more than 0 is kept."""
    sent = Counter({who: len(numbers) for who, numbers in requests.items()})
    beyond = sent - attempts.settled
    return Compared(
        uncounted=beyond - attempts.left,
        unseen=attempts.settled - sent,
        left_sent=(beyond & attempts.left).total(),
    )


def asked(journal: Iterable[Mapping[str, Any]]) -> dict[Asked, list[int]]:
    """Sort the requests of llmock's journal by who asked whom, each by its number; some may name no task of ours."""
    found: defaultdict[Asked, list[int]] = defaultdict(list)
    for one in journal:
        found[_task_of(one["body"]), str(one["model"])].append(one["seq"])
    return found


def _task_of(body: object) -> str:
    return " and ".join(sorted(set(_TASK.findall(json.dumps(body))))) or "(none)"


def unread(requests: Mapping[Asked, Sequence[int]], attempts: Attempts) -> frozenset[int]:
    """Return the requests whose answers nobody lived to read.

    A task asks one model at one time, so both sides have one order; where not every attempt was sent, nobody can tell.
    """
    both = [(numbers, attempts.ends.get(who, [])) for who, numbers in requests.items()]
    pairs = [pair for numbers, ends in both if len(numbers) == len(ends) for pair in zip(numbers, ends, strict=True)]
    return frozenset(number for number, state in pairs if state is CallState.OPEN)
