"""What is right: which effect of which task may happen how often, to whom, with whose approval.

Made once by the generator, before anything runs; read by all others. Nothing here knows the runtime that is tried.
"""

from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

FINANCE = ("ana", "ben")
"""The people whose approval counts (role `finance` in the storm's settings)."""

OWNERS = ("olga", "otto")
"""The people who own the agents (role `desk`): they say what became of a doubtful effect, and how to go on."""

OTHERS = ("mallory", "sam")
"""People without any role: what they allow must change nothing."""

SMALL_CENTS = 10_000
"""Up to this amount nobody has to be asked."""

CAP_CENTS = 1_000_000
"""Above this amount policy denies every call."""

DENIED_PREFIX = "DENIED-"
"""Accounts that policy forbids."""

CLOSED_PREFIX = "CLOSED-"
"""Accounts for which the bank refuses everything for good (HTTP 422)."""


class Part(BaseModel):
    """A piece of the truth; what it does not know is an error, for one generator wrote it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Kind(StrEnum):
    """The kinds of effects, as the issue names them."""

    TRANSACTIONAL = "transactional"
    IDEMPOTENT = "idempotent"
    KEYED = "keyed"
    PROBED = "probed"
    UNREPEATABLE = "unrepeatable"


TOOLS = {
    Kind.TRANSACTIONAL: "transfer_booked",
    Kind.IDEMPOTENT: "transfer_set",
    Kind.KEYED: "transfer_keyed",
    Kind.PROBED: "transfer_probed",
    Kind.UNREPEATABLE: "transfer_plain",
}
"""The tool of each kind. The first writes to the tools' own database, the others to the bank."""


class Fate(StrEnum):
    """How often an effect must have been applied when all is over."""

    ONCE = "once"
    ONCE_IF_APPROVED = "once_if_approved"
    """Once when one of `EffectTruth.needs` has approved it, else never."""
    NEVER = "never"
    AT_MOST_ONCE = "at_most_once"
    """The task is cut off by the nemesis: not twice, and known in the end (or a person is named)."""


class Says(StrEnum):
    """What people do when they are asked to allow an effect."""

    APPROVE = "approve"
    WRONG_FIRST = "wrong_first"
    """Somebody who may not (of OTHERS, or whoever asked for the task) approves first; then one of `needs`."""
    EDIT = "edit"
    """One of `needs` approves with `amount_cents` in place of `planned_cents`."""
    REJECT = "reject"
    REPLAN = "replan"
    """Rejected with a word for the planner; the next plan does without it."""
    IGNORE = "ignore"
    """Nobody answers; the request expires."""


class Why(StrEnum):
    """Why an effect must never happen."""

    REJECTED = "rejected"
    EXPIRED = "expired"
    DENIED = "denied"
    OVER_CAP = "over_cap"
    REFUSED = "refused"
    AFTER = "after"
    """Something before it never happens."""


class EffectTruth(Part):
    """One effect. `memo` is its business id and unique: what is applied twice under one memo is a duplicate.

    ``amount_cents``: what must arrive; ``planned_cents``: what the plan says (another one where a person edits).
    ``needs``: people of whom one must approve, empty = nobody is asked. ``after``: memos that must happen before.
    ``undoes``: the memo of the effect that this one takes back.
    """

    memo: str
    kind: Kind
    tool: str
    account: str
    amount_cents: int
    planned_cents: int
    needs: tuple[str, ...] = ()
    says: Says | None = None
    fate: Fate
    why: Why | None = None
    after: tuple[str, ...] = ()
    undoes: str = ""


class Blow(StrEnum):
    """What the nemesis does to a task by itself."""

    NONE = "none"
    CANCEL = "cancel"
    TERMINATE = "terminate"
    RESET = "reset"
    AMEND = "amend"


class TaskTruth(Part):
    """One task. `ends`: the statuses in which it may end (TERMINATED is Temporal's, the others are the runtime's).

    ``blow``: what the nemesis does to it, once `blow_after` of its effects are in the bank's book (or in the tools'
    database); 0 = as soon as it runs. ``shape``: what the generator had in mind, for people and for counting.
    """

    task_id: str
    agent: str
    shape: str
    goal: str
    inputs: dict[str, Any]
    requested_by: str
    effects: tuple[EffectTruth, ...]
    blow: Blow = Blow.NONE
    blow_after: int = 0
    ends: tuple[str, ...]


class Truth(Part):
    """A whole storm. The same seed and number of tasks make the same truth."""

    seed: int
    tasks: tuple[TaskTruth, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        return cls.model_validate_json(path.read_text(encoding="utf-8"))

    def write(self, path: Path) -> None:
        """Keep it in a file."""
        path.write_text(self.model_dump_json(exclude_defaults=True), encoding="utf-8")


def fee_cents(account: str) -> int:
    """Return the fee that the bank names for an account (101 to 999 cents), for plans that use what they read."""
    return 101 + sum(account.encode()) * 7 % 899


def undo_memo(memo: str) -> str:
    """Name the effect that takes another one back."""
    return f"{memo}~undo"
