r"""The vocabulary of the ledger: states of a row, the moves between them, and the row itself.

::

    RESERVED --mark--> IN_FLIGHT --succeed--> SUCCEEDED
       ^  \               |  \-----refuse---> FAILED
       |   cancel         doubt
       |    v             v
       |  CANCELLED     IN_DOUBT --ask--> NEEDS_PERSON --succeed | refuse | absent | write_off
       +----absent--------+

A crash in RESERVED is provably harmless; only a crash in IN_FLIGHT is doubtful.
"""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from core.contract import Effect
from core.record import Json, Message, Record


class RowState(StrEnum):
    """Where an effect stands."""

    RESERVED = "RESERVED"
    IN_FLIGHT = "IN_FLIGHT"
    IN_DOUBT = "IN_DOUBT"
    NEEDS_PERSON = "NEEDS_PERSON"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        """Whether the row can never change again (`verified` and late evidence aside)."""
        return self in (RowState.SUCCEEDED, RowState.FAILED, RowState.CANCELLED)


class Move(StrEnum):
    """What may happen to a row."""

    TAKE_OVER = "take_over"
    MARK = "mark"
    RESEND = "resend"
    RELEASE = "release"
    SUCCEED = "succeed"
    REFUSE = "refuse"
    DOUBT = "doubt"
    ABSENT = "absent"
    ASK = "ask"
    WRITE_OFF = "write_off"
    CANCEL = "cancel"


TRANSITIONS: dict[tuple[RowState, Move], RowState] = {
    (RowState.RESERVED, Move.TAKE_OVER): RowState.RESERVED,
    (RowState.RESERVED, Move.MARK): RowState.IN_FLIGHT,
    (RowState.RESERVED, Move.CANCEL): RowState.CANCELLED,
    # certainly not applied (connect refused, 429); only while no earlier send of the row is in doubt
    (RowState.IN_FLIGHT, Move.RELEASE): RowState.RESERVED,
    (RowState.IN_FLIGHT, Move.SUCCEED): RowState.SUCCEEDED,
    (RowState.IN_FLIGHT, Move.REFUSE): RowState.FAILED,
    (RowState.IN_FLIGHT, Move.DOUBT): RowState.IN_DOUBT,
    # harmless to repeat: transactional, idempotent, keyed inside the window; the fence goes up
    (RowState.IN_FLIGHT, Move.RESEND): RowState.IN_FLIGHT,
    (RowState.IN_DOUBT, Move.RESEND): RowState.IN_FLIGHT,
    (RowState.IN_DOUBT, Move.SUCCEED): RowState.SUCCEEDED,
    (RowState.IN_DOUBT, Move.REFUSE): RowState.FAILED,
    (RowState.IN_DOUBT, Move.ABSENT): RowState.RESERVED,
    (RowState.IN_DOUBT, Move.ASK): RowState.NEEDS_PERSON,
    (RowState.NEEDS_PERSON, Move.SUCCEED): RowState.SUCCEEDED,
    # an answer that was kept while the ledger was down, and comes after somebody was asked
    (RowState.NEEDS_PERSON, Move.REFUSE): RowState.FAILED,
    (RowState.NEEDS_PERSON, Move.ABSENT): RowState.RESERVED,
    (RowState.NEEDS_PERSON, Move.WRITE_OFF): RowState.FAILED,
}
"""The only moves there are. The ledger applies them by compare-and-set on (state, fence)."""


class Evidence(StrEnum):
    """What a settled outcome rests on."""

    ANSWER = "answer"
    PROBE = "probe"
    TRANSACTION = "transaction"
    PERSON = "person"


class Approval(Message):
    """An answer that allows one dispatch: of the call whose digest it names, by one person."""

    request_id: str
    digest: str
    by: str = ""
    trust: Literal["open", "signed"] = "open"
    comment: str = ""


class Reservation(Record):
    """One call as it is claimed; everything that the row says before it is sent.

    ``repeat_of``: step or key of the settled twin that this call rightfully repeats. ``undoes``: key of the effect that
    this call compensates; once it has succeeded, that effect stands in nobody's way any more.
    """

    key: str
    task_id: str
    step: str
    intent: int
    revision: int
    agent: str
    tool: str
    effect: Effect
    contract_digest: str
    fingerprint: str
    similarity: str
    args: dict[str, Json]
    origin: dict[str, str] = {}
    repeat_of: str | None = None
    undoes: str | None = None
    run_id: str = ""


class Row(Reservation):
    """One effect in the ledger. Times are aware UTC.

    ``fence`` goes up at every takeover and resend; ``sends`` counts dispatch marks. ``doubtful``: some send of this row
    ended without an answer. ``result`` is inline up to 16 kB, else None with `blob` naming the stored bytes.
    ``verified``: None = not (yet) read back. ``approved_by``: names, in the order of their answers. ``written_off``:
    FAILED by a person's word, though nobody knows what happened: unlike a definite no it still blocks a similar call.
    """

    state: RowState
    fence: int
    lease_until: datetime
    sends: int = 0
    doubtful: bool = False
    marked_at: datetime | None = None
    first_marked_at: datetime | None = None
    send_deadline: datetime | None = None
    code: str = ""
    message: str = ""
    result: Json = None
    blob: str | None = None
    size: int = 0
    verified: bool | None = None
    evidence: Evidence | None = None
    approved_by: tuple[str, ...] = ()
    written_off: bool = False
    opened_at: datetime
    settled_at: datetime | None = None

    def may_be_repeated(self, repeat_of: str | None) -> bool:
        """Whether a similar call that names this one (by step or key) is no duplicate. Never while this one is open."""
        return self.state.is_final and repeat_of in (self.key, self.step)


class Claimed(Record):
    """The row is RESERVED and ours under `row.fence` until `row.lease_until`."""

    row: Row


class Busy(Record):
    """Somebody else holds a live lease; look again at `until`."""

    row: Row
    until: datetime


class Standing(Record):
    """The row is final, or marked with its lease over, or in doubt, or waits for a person: see `row.state`."""

    row: Row


class Conflict(Record):
    """The key is taken by a call with another fingerprint. Nothing may be sent."""

    row: Row


class Twin(Record):
    """An earlier call of the task with the same similarity stands in the way (open, in doubt, or succeeded)."""

    row: Row


class Fenced(Record):
    """The run that claims is not (any more) the one that the task is bound to. Nothing may be sent, ever."""

    task: "TaskRow"


Claim = Claimed | Busy | Standing | Conflict | Twin | Fenced


class Total(Record):
    """A running sum that policy caps: this call adds `amount` to `bucket`, which may hold `maximum` in all."""

    bucket: str
    amount: int
    maximum: int


class Settlement(Record):
    """How a call ended: the receipt. `body` is the canonical JSON of the result (None: there is none to keep)."""

    move: Literal[Move.SUCCEED, Move.REFUSE, Move.WRITE_OFF]
    evidence: Evidence
    code: str = ""
    message: str = ""
    result: Json = None
    body: bytes | None = None
    verified: bool | None = None


class TaskRow(Record):
    """What the ledger knows of a task: the run it is bound to, and its current wish (goal and inputs).

    ``first_run_id``: Temporal's first execution run id, the same for a chain of runs and its resets. ``run_id``: the
    run whose calls may be sent; that of any other is fenced off. ``epoch`` goes up from 0 by every reset and every
    `run --again`.
    """

    task_id: str
    namespace: str
    agent: str
    goal: str
    inputs: dict[str, Json] = {}
    requested_by: str = ""
    amendments: int = 0
    first_run_id: str
    run_id: str = ""
    epoch: int = 0
    again: bool = False
    opened_at: datetime


class Stop(Record):
    """The kill switch: nothing new is sent through `tool` by `agent` (empty = any) until it is lifted."""

    tool: str = ""
    agent: str = ""
    by: str = ""
    reason: str = ""
    at: datetime

    def covers(self, tool: str, agent: str) -> bool:
        """Whether it is meant for a tool's calls by an agent."""
        return self.tool in ("", tool) and self.agent in ("", agent)

    def __str__(self) -> str:
        what = " of ".join(part for part in (self.tool or "every tool", self.agent and f"agent {self.agent}") if part)
        who = f" by {self.by}" if self.by else ""
        return f"{what} is stopped{who} since {self.at:%Y-%m-%d %H:%M:%S} UTC" + (
            f": {self.reason}" if self.reason else ""
        )


class Line(Record):
    """One line of the audit: `event` is `noun.verb_past`; `fields` are small, JSON, and without secrets."""

    task_id: str
    at: datetime
    event: str
    step: str = ""
    tool: str = ""
    key: str = ""
    attempt: int = 0
    fields: dict[str, Json] = {}
