"""Requests that llmock got against attempts that our ledger counted, each by its task and its model.

The ledger reserves an attempt before its request is sent, and settles it when it knows how that ended. So every settled
attempt is one request, and every request is one attempt. Only an attempt that was never settled, because its worker was
killed, may have been sent or not.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.spending import CallState
from trials.stage import Stage

_TASK = re.compile(r"\[task ([a-z0-9-]+)\]")
_CALLS = "select task_id, model, state from lastmile_calls"

Asked = tuple[str, str]
"""Who asked whom: the task, and the model by its name at the vendor."""


def goal(task_id: str) -> str:
    """Word a task's goal so that its requests can be told by it."""
    return f"look at something [task {task_id}]"


@dataclass(slots=True)
class Attempts:
    """What the ledgers counted. ``left``: attempts that nobody settled."""

    settled: Counter[Asked] = field(default_factory=Counter)
    left: Counter[Asked] = field(default_factory=Counter)

    def read(self, stage: Stage) -> None:
        """Take over what the ledger of a stage holds."""
        for task, model, state in stage.ledger(_CALLS):
            counter = self.left if state == CallState.OPEN else self.settled
            counter[task, model.partition(":")[2]] += 1

    @property
    def total(self) -> int:
        """All of them."""
        return self.settled.total() + self.left.total()


@dataclass(frozen=True, slots=True)
class Compared:
    """Both sides beside each other, by task and model.

    ``uncounted``: requests that no attempt stands for. ``unseen``: settled attempts that were never sent.
    ``left_sent``: how many of those that nobody settled were sent.
    """

    uncounted: Counter[Asked]
    unseen: Counter[Asked]
    left_sent: int


def compare(requests: Counter[Asked], attempts: Attempts) -> Compared:
    """Compare; what a counter lacks counts as 0, and only what is more than 0 is kept."""
    beyond = requests - attempts.settled
    return Compared(
        uncounted=beyond - attempts.left,
        unseen=attempts.settled - requests,
        left_sent=(beyond & attempts.left).total(),
    )


def asked(journal: Iterable[Mapping[str, Any]]) -> Counter[Asked]:
    """Count the requests of llmock's journal; one that names no task of ours, or several, is its own entry."""
    return Counter((_task_of(one["body"]), str(one["model"])) for one in journal)


def _task_of(body: object) -> str:
    return " and ".join(sorted(set(_TASK.findall(json.dumps(body))))) or "(none)"
