"""What the core's activities need from the outside, as Protocols. Adapters implement them; fakes ship beside them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, Protocol

from core.briefing import Prompt
from core.contract import Contract
from core.profile import Profile
from core.receipts import Approval, Claim, Line, Move, Reservation, Row, Settlement, Stop, TaskRow, Total
from core.record import Json, Record
from core.spending import (
    Admission,
    Breaker,
    CallEnd,
    Cap,
    DayBudget,
    Grouping,
    ModelCall,
    TenantBudgets,
    Usage,
    UsageLine,
)

# --------------------------------------------------------------------------------------------------- language models


class Reply(Record):
    """What a model answered to a briefing.

    ``document``: the plan as decoded JSON (None when there is none); ``fault``: why there is none, in words for the
    model ("the answer was cut off at 4096 tokens", "not JSON: ..."). Exactly one of the two is set.
    """

    document: Json = None
    fault: str | None = None
    usage: Usage = Usage()
    latency_ms: int = 0
    request_id: str = ""


class Planner(Protocol):
    """One language model. `propose` makes exactly one request to the provider.

    Raises PlannerBusy (transient) or PlannerDown (definite); everything that did come back is a Reply.
    """

    async def propose(self, prompt: Prompt) -> Reply: ...


class Planners(Protocol):
    """All models that the worker can reach."""

    def get(self, name: str) -> Planner:
        """Return the adapter of ``provider:name``. Raises PlannerDown when it cannot be used, with the way out."""
        ...


# ------------------------------------------------------------------------------------------------------------- tools


@dataclass(frozen=True, slots=True)
class Call:
    """What a tool is told besides its arguments. `key` is to be passed on to the provider as idempotency key.

    ``attempt`` counts sends of this effect, from 1. ``deadline``: aware UTC; the door cuts the tool off there.
    ``inputs``: the task's inputs. ``log``: a bound structlog logger. ``connection``: an open SQLAlchemy AsyncConnection
    inside the transaction of a transactional tool, else None.
    """

    key: str
    task_id: str
    step_id: str
    attempt: int
    deadline: datetime
    inputs: Mapping[str, Json] = field(default_factory=dict)
    log: Any = None
    connection: Any = None


class Certainty(StrEnum):
    """What an error of a tool says about the effect."""

    NOT_SENT = "not_sent"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Sorted(Record):
    """An error of a tool, sorted. `retry_after` in seconds, where the other side said so."""

    certainty: Certainty
    code: str
    message: str
    retry_after: float | None = None


class Tool(Protocol):
    """One tool of any source. Arguments and results are plain JSON here; the tool converts."""

    @property
    def contract(self) -> Contract: ...

    def check(self, args: Mapping[str, Json]) -> dict[str, Json]:
        """Validate and normalise arguments. Raises Refused("bad_arguments", ...) naming every fault."""
        ...

    async def preflight(self, call: Call, args: Mapping[str, Json]) -> dict[str, Json]:
        """Look up the facts for policy and approver; {} when the tool has no preflight. May raise Refused."""
        ...

    async def send(self, call: Call, args: Mapping[str, Json]) -> Json:
        """Apply the effect (or read). Anything raised but Refused and NotSent leaves a write's outcome unknown.

        Returns plain JSON (a result that cannot be JSON is described, never raised: the effect has happened).
        """
        ...

    async def verify(self, call: Call, args: Mapping[str, Json], result: Json) -> bool | None:
        """Read back whether the effect is there; None when the tool has no verify."""
        ...

    async def probe(self, call: Call, args: Mapping[str, Json]) -> Json | None:
        """Ask whether the effect happened: its result, or None when it is not there. Only if `contract.has_probe`."""
        ...

    def sort(self, error: BaseException) -> Sorted:
        """Sort what `send` raised by the default rules (3-effects, step 6)."""
        ...


class ToolSource(Protocol):
    """Where tools come from that share something: a client, a session."""

    @property
    def name(self) -> str: ...

    def missing(self) -> Sequence[str]:
        """Name the environment variables that it needs and that are not set."""
        ...

    async def aclose(self) -> None:
        """Close what is open; afterwards its tools cannot be called."""
        ...


class Transactions(Protocol):
    """Databases of transactional tools, by the name of the environment variable that holds their URL."""

    def open(self, database: str, key: str, fingerprint: str, send: int) -> AbstractAsyncContextManager["Transaction"]:
        """Begin a transaction and take the receipt row of `key`; commits on a clean exit, rolls back on an error.

        ``send``: which send of the row this is, from 1. Raises LedgerDown when the database does not answer before
        anything was done, NotSent when this send was ruled out meanwhile.
        """
        ...

    async def receipt(self, database: str, key: str) -> "TransactionReceipt | None":
        """Read what a committed transaction left under `key`; None = nothing, but one may be open, or be opened yet."""
        ...

    async def rule_out(self, database: str, key: str, send: int) -> "TransactionReceipt | None":
        """Keep every send of `key` up to number `send` from being applied from now on; None = none of them was.

        Returns the receipt, and rules nothing out, when one was committed. Waits for a transaction that is open.
        Raises LedgerDown when it does not end in time, or the database does not answer: then nothing is known.
        """
        ...


class TransactionReceipt(Record):
    """A row of ``lastmile_receipts`` in the tool's own database."""

    key: str
    fingerprint: str
    result: Json = None


class Transaction(Protocol):
    """One open transaction of a transactional tool."""

    connection: Any
    existing: TransactionReceipt | None

    async def keep(self, result: Json) -> None:
        """Write the receipt; it commits with the effect."""
        ...


# ------------------------------------------------------------------------------------------------------------ policy


class Do(StrEnum):
    """What policy says of a call."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


class Verdict(Record):
    """One rule's word on a call.

    ``rule`` names it for people ("policy[2] issue_refund"); ``approvers`` are roles or names (empty = anybody but the
    requester); a verdict with `total` holds only while the running sum stays under its maximum.
    """

    do: Do
    rule: str
    reason: str = ""
    approvers: tuple[str, ...] = ()
    quorum: int = 1
    total: Total | None = None


class Case(Record):
    """What a rule may look at (the CEL variables). `day`: today in UTC, as ISO date, for totals per day."""

    tool: str
    writes: bool
    args: dict[str, Json]
    inputs: dict[str, Json]
    task: dict[str, Json]
    facts: dict[str, Json]
    origin: dict[str, str]
    day: str = ""


class Policy(Protocol):
    """The rules of one agent."""

    def judge(self, case: Case) -> Sequence[Verdict]:
        """Return the verdicts that apply, best first; the last one has no total, so there is always one that holds.

        Never raises: a rule that cannot be evaluated asks, and says so. No rule for a write asks; a read is allowed.
        """
        ...


class Done(Protocol):
    """The conditions under which a task of the agent is done."""

    def unmet(
        self,
        effects: Sequence[Mapping[str, Json]],
        reads: Sequence[Mapping[str, Json]],
        task: Mapping[str, Json],
        inputs: Mapping[str, Json],
    ) -> list[str]:
        """Return the conditions that do not hold (or cannot be evaluated), each with the reason. Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent as loaded from its folder.

    ``budget``: its own, of a day; ``tenants``: those of whom it works for; ``sources``: what its tools keep open, to be
    closed when the worker ends; ``doubts``: what loads, but hardly says what was meant.
    """

    name: str
    instructions: str
    profile: Profile
    tools: Mapping[str, Tool]
    policy: Policy
    done: Done
    budget: DayBudget = field(default_factory=DayBudget)
    tenants: TenantBudgets = field(default_factory=TenantBudgets)
    sources: Sequence[ToolSource] = ()
    doubts: Sequence[str] = ()


class Agents(Protocol):
    """The agents that this worker serves."""

    def get(self, name: str) -> Agent:
        """Return the agent. Raises CallerError naming those that exist."""
        ...

    def names(self) -> Sequence[str]: ...


class Runs(Protocol):
    """What only Temporal knows of the runs of a task."""

    async def current(self, task_id: str) -> str | None:
        """Return the run id of the latest run that is open, None when there is none. Raises when Temporal is away."""
        ...


# ------------------------------------------------------------------------------------------------------------ ledger


class Ledger(Protocol):
    """Receipts, approvals, blobs and audit lines. Every method is one transaction; all raise LedgerDown.

    A method that moves a row compares state and fence first (`TRANSITIONS` says which moves exist) and returns the row
    as it stands afterwards, or None when the compare failed: then somebody else has the row, and the caller stops.
    """

    async def open_task(self, task: TaskRow) -> TaskRow | None:
        """Bind the task to the run `task.run_id` of the chain `task.first_run_id`, and return its row.

        The same run again changes nothing. An unknown run of the same chain is a reset to before the opening, and one
        of another chain with `again` was asked for: both open an epoch (see `open_epoch`) and take over the wish of
        `task`. Any other run, and one that was bound before and is not any more, gets None.
        """
        ...

    async def bind_run(self, task_id: str, run_id: str, ancestors: Sequence[str]) -> TaskRow | None:
        """Bind the task to a run that continues the one it is bound to (which is among `ancestors`).

        Returns the row when the run is bound (now or before), None for a run that nobody announced: a reset. Raises
        Superseded for a run that was bound before and is not any more, LookupError for an unknown task.
        """
        ...

    async def open_epoch(self, task_id: str, run_id: str, instead_of: str) -> TaskRow | None:
        """Bind the task to a reset: epoch + 1, rows still RESERVED are cancelled, calls of other runs are fenced off.

        None when the task is not bound to `instead_of` any more: look again.
        """
        ...

    async def task(self, task_id: str) -> TaskRow | None: ...

    async def amend_task(self, task_id: str, goal: str, inputs: dict[str, Json], amendments: int) -> None:
        """Write the wish as amended, unless a later amendment is there already."""
        ...

    async def find(self, key: str) -> Row | None: ...

    async def rows(self, task_id: str) -> list[Row]:
        """Return all effects of a task, oldest first."""
        ...

    async def overdue(self, limit: int = 100) -> list[Row]:
        """Return effects of any task that are IN_FLIGHT or IN_DOUBT with their lease over, longest first."""
        ...

    async def doubts(self, limit: int = 1000) -> list[Row]:
        """Return what `overdue` does and the rows that are NEEDS_PERSON, of any task, oldest first."""
        ...

    async def enter(self, key: str, visit: str) -> int:
        """Note that an attempt of a visit begins; return how many before it, in a row, began and never left."""
        ...

    async def leave(self, key: str, visit: str) -> None:
        """Note that an attempt of a visit ended in good order, whatever its outcome: counting starts anew."""
        ...

    async def stop(self, stop: Stop) -> None:
        """Turn the kill switch on; the same tool and agent again replaces reason and time."""
        ...

    async def start(self, tool: str = "", agent: str = "") -> Stop | None:
        """Turn the switch off that was turned on for exactly this tool and agent; None if there was none."""
        ...

    async def stops(self) -> list[Stop]:
        """Return every switch that is on, oldest first."""
        ...

    async def twin(self, task_id: str, similarity: str, key: str) -> Row | None:
        """Return the call of the task, other than `key`, that blocks a similar one: open, in doubt, written off or
        succeeded (the last such one); None if there is none (definite failures and cancelled calls do not count).
        """
        ...

    async def claim(self, reservation: Reservation, lease: timedelta) -> Claim:
        """Claim in one transaction (3-effects, step 3); the guard runs in it too, unless `repeat_of` names the twin."""
        ...

    async def mark(
        self,
        key: str,
        fence: int,
        *,
        deadline: datetime,
        lease_until: datetime,
        approvals: Sequence[Approval] = (),
        totals: Sequence[Total] = (),
    ) -> Row | None:
        """Write the dispatch mark: RESERVED -> IN_FLIGHT, consume the approvals, reserve the totals; `sends` + 1.

        Raises ApprovalUsed when an approval belongs to another key, TotalExceeded when a sum does not fit, Stopped when
        the kill switch is on; then nothing has changed. An approval that this same key consumed before is fine. None
        also when the task is bound to another run than the one that claimed the row.
        """
        ...

    async def resend(
        self, key: str, fence: int, *, deadline: datetime, lease_until: datetime, run_id: str | None = None
    ) -> Row | None:
        """Mark a row again that is harmless to repeat (IN_FLIGHT with the lease over, or IN_DOUBT); fence + 1.

        ``run_id``: the run that wants it, which has to be the one that the task is bound to, and owns the row from now
        on; None for the completer. Raises Stopped as `mark` does.
        """
        ...

    async def release(self, key: str, fence: int, why: str) -> Row | None:
        """The send was certainly not applied: back to RESERVED (IN_DOUBT when an earlier send is doubtful), lease over.

        Also gives the lease of a row back that is still RESERVED.
        """
        ...

    async def settle(self, key: str, fence: int, settlement: Settlement) -> Row | None:
        """Write the receipt. When the compare fails it is kept as evidence in the audit, and None returned."""
        ...

    async def verified(self, key: str, verified: bool) -> None: ...

    async def doubt(self, key: str, fence: int, why: str) -> Row | None:
        """IN_FLIGHT -> IN_DOUBT; the row becomes `doubtful`."""
        ...

    async def move(
        self, key: str, fence: int, move: Literal[Move.ABSENT, Move.ASK, Move.CANCEL], why: str
    ) -> Row | None: ...

    async def spent(self, bucket: str, besides: str) -> int:
        """Sum the amounts in a bucket, leaving out the call `besides` and all that failed or were cancelled."""
        ...

    async def keep(self, task_id: str, body: bytes) -> str:
        """Store bytes under their digest (the same bytes twice are stored once) and return it."""
        ...

    async def fetch(self, digest: str) -> bytes | None: ...

    async def reserve_call(self, call: ModelCall, caps: Sequence[Cap]) -> Admission:
        """Reserve a model call against every cap, and note it; nothing is changed when it does not fit.

        Checked in one transaction with the sums, so calls that are reserved at once on any number of workers never
        overshoot together. Also heeds the breaker of `call.provider`.
        """
        ...

    async def settle_call(self, call_id: str, end: CallEnd, line: Line) -> None:
        """Put what a call did cost in the place of what was reserved, once; note the line, and what the call says of
        its provider.
        """
        ...

    async def breakers(self) -> list[Breaker]:
        """Return what is known of the providers that failed last time."""
        ...

    async def usage(self, by: Grouping, since: datetime | None = None) -> list[UsageLine]:
        """Sum model calls up, those reserved since a moment; most tokens first, days in their order."""
        ...

    async def record(self, line: Line) -> None: ...

    def lines(self, task_id: str) -> AsyncIterator[Line]:
        """Yield the audit of a task, oldest first."""
        ...


class Notifier(Protocol):
    """A way to reach people. Raises on failure; the activity retries."""

    async def send(self, notice: "Notice") -> None: ...


class Notice(Record):
    """One message to people: `rung` is opened, reminder, escalated, expired or ended."""

    task_id: str
    agent: str
    rung: str
    to: tuple[str, ...]
    title: str
    text: str
    request_id: str = ""
