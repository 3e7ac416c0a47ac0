"""What the tests of the ledger share: a clock that is set by hand, calls to claim, and ways into each state."""

from datetime import UTC, datetime, timedelta
from typing import Any

from core.contract import Effect
from core.receipts import Approval, Claimed, Evidence, Line, Move, Reservation, Row, RowState, Settlement, TaskRow
from ledger import MemoryLedger, SqlLedger

AnyLedger = SqlLedger | MemoryLedger

LEASE = timedelta(seconds=10)
LONG = timedelta(seconds=60)
SUCCESS = Settlement(move=Move.SUCCEED, evidence=Evidence.ANSWER, result={"id": "re_1"}, body=b'{"id":"re_1"}')
REFUSAL = Settlement(move=Move.REFUSE, evidence=Evidence.ANSWER, code="not_refundable", message="too late")
WRITE_OFF = Settlement(move=Move.WRITE_OFF, evidence=Evidence.PERSON, message="nobody knows")


class Clock:
    """Time stands still until it is moved on."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, 0, 0, 250, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, by: timedelta) -> None:
        self.now += by


def call(key: str = "k1", **changes: Any) -> Reservation:
    """A call to claim; unlike others unless `similarity` says so."""
    given: dict[str, Any] = {
        "key": key,
        "task_id": "refund-1",
        "step": f"r1.{key}",
        "intent": 1,
        "revision": 0,
        "agent": "support_desk",
        "tool": "issue_refund",
        "effect": Effect.KEYED,
        "contract_digest": "c0ffee",
        "fingerprint": f"print of {key}",
        "similarity": f"like {key}",
        "args": {"order_id": "1042", "amount_cents": 1999, "note": "l'été \u0000 \u2028"},
        "origin": {"/order_id": "request"},
        "run_id": "run-1",
    }
    return Reservation(**(given | changes))


def approval(request_id: str = "q1", by: str = "ana") -> Approval:
    return Approval(request_id=request_id, digest="d1", by=by)


def task(**changes: Any) -> TaskRow:
    given: dict[str, Any] = {
        "task_id": "refund-1",
        "namespace": "default",
        "agent": "support_desk",
        "goal": "refund order 1042",
        "inputs": {"order_id": "1042"},
        "first_run_id": "run-1",
        "run_id": "run-1",
        "opened_at": datetime(2026, 3, 1, tzinfo=UTC),
    }
    return TaskRow(**(given | changes))


def line(number: int, at: datetime, **changes: Any) -> Line:
    given: dict[str, Any] = {"task_id": "refund-1", "at": at, "event": "tool.settled", "fields": {"number": number}}
    return Line(**(given | changes))


async def claimed(ledger: AnyLedger, key: str = "k1", **changes: Any) -> Row:
    claim = await ledger.claim(call(key, **changes), LEASE)
    assert isinstance(claim, Claimed), claim
    return claim.row


async def marked(ledger: AnyLedger, clock: Clock, key: str = "k1", **changes: Any) -> Row:
    row = await claimed(ledger, key, **changes)
    return await sent(ledger, clock, row)


async def sent(ledger: AnyLedger, clock: Clock, row: Row, **more: Any) -> Row:
    found = await ledger.mark(row.key, row.fence, deadline=clock.now + LEASE, lease_until=clock.now + LEASE, **more)
    assert found is not None
    return found


async def bring(ledger: AnyLedger, clock: Clock, state: RowState, key: str = "k1", **changes: Any) -> Row:
    """Bring a new row into a state by the moves that lead there."""
    row: Row | None
    match state:
        case RowState.RESERVED:
            row = await claimed(ledger, key, **changes)
        case RowState.IN_FLIGHT:
            row = await marked(ledger, clock, key, **changes)
        case RowState.IN_DOUBT:
            row = await ledger.doubt(key, (await marked(ledger, clock, key, **changes)).fence, "timed out")
        case RowState.NEEDS_PERSON:
            before = await bring(ledger, clock, RowState.IN_DOUBT, key, **changes)
            row = await ledger.move(key, before.fence, Move.ASK, "no way to find out")
        case RowState.SUCCEEDED:
            row = await ledger.settle(key, (await marked(ledger, clock, key, **changes)).fence, SUCCESS)
        case RowState.FAILED:
            row = await ledger.settle(key, (await marked(ledger, clock, key, **changes)).fence, REFUSAL)
        case RowState.CANCELLED:
            row = await ledger.move(key, (await claimed(ledger, key, **changes)).fence, Move.CANCEL, "task cancelled")
    assert row is not None
    assert row.state is state
    return row


async def attempt(ledger: AnyLedger, clock: Clock, key: str, fence: int, move: Move) -> Row | None:
    """Try a move through the method that makes it; None when the ledger refused."""
    match move:
        case Move.TAKE_OVER:
            claim = await ledger.claim(call(key), LEASE)
            return claim.row if isinstance(claim, Claimed) else None
        case Move.MARK:
            return await ledger.mark(key, fence, deadline=clock.now + LEASE, lease_until=clock.now + LEASE)
        case Move.RESEND:
            return await ledger.resend(key, fence, deadline=clock.now + LEASE, lease_until=clock.now + LEASE)
        case Move.RELEASE:
            return await ledger.release(key, fence, "connect refused")
        case Move.DOUBT:
            return await ledger.doubt(key, fence, "timed out")
        case Move.SUCCEED:
            return await ledger.settle(key, fence, SUCCESS)
        case Move.REFUSE:
            return await ledger.settle(key, fence, REFUSAL)
        case Move.WRITE_OFF:
            return await ledger.settle(key, fence, WRITE_OFF)
        case Move.ABSENT | Move.ASK | Move.CANCEL:
            return await ledger.move(key, fence, move, "by the table")
