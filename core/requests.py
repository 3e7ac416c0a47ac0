"""What people are asked, and what they are told, as data."""

from datetime import datetime
from enum import StrEnum

from core.receipts import Approval
from core.record import Json, Message


class RequestKind(StrEnum):
    """Why a person is needed."""

    APPROVAL = "approval"
    OUTCOME = "outcome"
    STUCK = "stuck"
    QUESTION = "question"


class Request(Message):
    """Something that only a person can say. `digest` binds an answer to what was shown.

    ``may_answer``: names; empty = anybody (but the requester). ``approvers``: roles or names of the rule.
    ``may_reject``: names that may reject an approval which cannot be given.
    ``cause``: for a stuck request, which bound or failure led to it; ``step`` where it is about one. ``resumes_at``:
    when the task goes on by itself, if nobody answers.
    """

    id: str
    kind: RequestKind
    cause: str = ""
    step: str = ""
    tool: str = ""
    args: dict[str, Json] = {}
    origin: dict[str, str] = {}
    digest: str = ""
    facts: dict[str, Json] = {}
    rule: str = ""
    reason: str = ""
    hint: str = ""
    why: str = ""
    note: str = ""
    choices: tuple[str, ...] = ()
    owner: str = ""
    approvers: tuple[str, ...] = ()
    may_answer: tuple[str, ...] = ()
    may_reject: tuple[str, ...] = ()
    quorum: int = 1
    sends: int | None = None
    given: tuple[Approval, ...] = ()
    opened_at: datetime
    remind_at: datetime | None = None
    escalate_at: datetime | None = None
    expires_at: datetime | None = None
    resumes_at: datetime | None = None
    escalated_to: tuple[str, ...] = ()
    reminded: bool = False
    escalated: int = 0

    @property
    def asked(self) -> tuple[str, ...]:
        """Whom notices go to: roles and names."""
        return tuple(dict.fromkeys((*(self.approvers or self.may_answer or (self.owner,)), *self.may_reject)))


class Told(Message):
    """A notice that is to go out: for a request and a rung, once."""

    request: str
    rung: str
    to: tuple[str, ...] = ()
    title: str = ""
    text: str = ""


class Closed(Message):
    """A request that is no longer open: `how` says what became of it."""

    step: str = ""
    how: str = ""
