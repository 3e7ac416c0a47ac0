"""A ledger in memory, for tests and trials: it passes the suite that the SQL ledger passes, and forgets at the end.

No method awaits anything while it works, so each one is atomic for the tasks of an event loop.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from core.names import blob_digest
from core.receipts import (
    TRANSITIONS,
    Approval,
    Busy,
    Claim,
    Claimed,
    Conflict,
    Fenced,
    Line,
    Move,
    Reservation,
    Row,
    RowState,
    Settlement,
    Standing,
    Stop,
    TaskRow,
    Total,
    Twin,
)
from core.record import Json
from core.spending import Admission, Breaker, CallEnd, Cap, Grouping, ModelCall, UsageLine
from ledger.blobs import split
from ledger.columns import copied, legible, utc
from ledger.marks import check_consumer, check_total
from ledger.memory_calls import MemoryCalls
from ledger.memory_switches import MemorySwitches
from ledger.memory_tasks import MemoryTasks
from ledger.opening import utc_now
from ledger.settling import late_line, receipt
from ledger.tasks import ABANDONED


class MemoryLedger:
    """``core.ports.Ledger`` in one process. `clock` gives the aware UTC time that leases are judged by."""

    def __init__(self, clock: Callable[[], datetime] = utc_now) -> None:
        self._now = clock
        self._rows: dict[str, Row] = {}
        self._tasks = MemoryTasks()
        self._switches = MemorySwitches()
        self._calls = MemoryCalls()
        self._visits: Counter[tuple[str, str]] = Counter()
        self._approvals: dict[str, str] = {}
        self._totals: dict[tuple[str, str], int] = {}
        self._blobs: dict[str, bytes] = {}
        self._lines: list[Line] = []

    # ------------------------------------------------------------------------------------------------------- tasks

    async def open_task(self, task: TaskRow) -> TaskRow | None:
        return self._bind(self._tasks.opened(task))

    async def bind_run(self, task_id: str, run_id: str, ancestors: Sequence[str]) -> TaskRow | None:
        return self._bind(self._tasks.continued(task_id, run_id, ancestors))

    async def open_epoch(self, task_id: str, run_id: str, instead_of: str) -> TaskRow | None:
        return self._bind(self._tasks.reset(task_id, run_id, instead_of))

    async def task(self, task_id: str) -> TaskRow | None:
        return self._tasks.get(task_id)

    async def amend_task(self, task_id: str, goal: str, inputs: dict[str, Json], amendments: int) -> None:
        self._tasks.amend(task_id, goal, inputs, amendments)

    def _bind(self, task: TaskRow | None) -> TaskRow | None:
        known = self._tasks.get(task.task_id) if task else None
        if task is None or task == known:
            return task
        if known is not None and task.epoch > known.epoch:
            self._cancel_reserved(task.task_id)
        return self._tasks.put(task)

    def _cancel_reserved(self, task_id: str) -> None:
        for row in list(self._rows.values()):
            if row.task_id == task_id and row.state is RowState.RESERVED:
                self._move(row.key, row.fence, Move.CANCEL, settled_at=self._now(), message=ABANDONED)

    # --------------------------------------------------------------------------------------------- reading effects

    async def find(self, key: str) -> Row | None:
        return self._rows.get(key)

    async def rows(self, task_id: str) -> list[Row]:
        return [row for row in self._rows.values() if row.task_id == task_id]

    async def overdue(self, limit: int = 100) -> list[Row]:
        sent = [row for row in self._rows.values() if row.state in (RowState.IN_FLIGHT, RowState.IN_DOUBT)]
        return sorted(filter(self._is_over, sent), key=lambda row: row.lease_until)[:limit]

    async def doubts(self, limit: int = 1000) -> list[Row]:
        return sorted(filter(self._is_doubt, self._rows.values()), key=lambda row: row.opened_at)[:limit]

    def _is_doubt(self, row: Row) -> bool:
        if row.state is RowState.NEEDS_PERSON:
            return True
        return row.state in (RowState.IN_FLIGHT, RowState.IN_DOUBT) and self._is_over(row)

    def _is_over(self, row: Row) -> bool:
        return row.lease_until <= self._now()

    # --------------------------------------------------------------------------------------------- visits and stops

    async def enter(self, key: str, visit: str) -> int:
        self._visits[key, visit] += 1
        return self._visits[key, visit] - 1

    async def leave(self, key: str, visit: str) -> None:
        self._visits.pop((key, visit), None)

    async def stop(self, stop: Stop) -> None:
        self._switches.put(stop)

    async def start(self, tool: str = "", agent: str = "") -> Stop | None:
        return self._switches.take(tool, agent)

    async def stops(self) -> list[Stop]:
        return self._switches.all()

    # ----------------------------------------------------------------------------------------------- similar effects

    async def twin(self, task_id: str, similarity: str, key: str) -> Row | None:
        return self._twin(task_id, similarity, key)

    def _twin(self, task_id: str, similarity: str, key: str) -> Row | None:
        similar = [
            row
            for row in self._rows.values()
            if row.task_id == task_id and row.similarity == similarity and row.key != key and self._blocks(row)
        ]
        return similar[-1] if similar else None

    def _blocks(self, row: Row) -> bool:
        match row.state:
            case RowState.FAILED:
                return row.written_off
            case RowState.CANCELLED:
                return False
            case RowState.SUCCEEDED:
                undone = {each.undoes for each in self._rows.values() if each.state is RowState.SUCCEEDED}
                return row.key not in undone
            case _:
                return True

    # ---------------------------------------------------------------------------------------------- moving effects

    async def claim(self, reservation: Reservation, lease: timedelta) -> Claim:
        task = self._tasks.get(reservation.task_id)
        if task is not None and task.run_id != reservation.run_id:
            return Fenced(task=task)
        now, row = self._now(), self._rows.get(reservation.key)
        if row is None:
            return self._reserve(reservation, now, lease)
        if row.fingerprint != reservation.fingerprint:
            return Conflict(row=row)
        if row.state in (RowState.RESERVED, RowState.IN_FLIGHT) and row.lease_until > now:
            return Busy(row=row, until=row.lease_until)
        taken = self._move(row.key, row.fence, Move.TAKE_OVER, fence=row.fence + 1, lease_until=now + lease)
        if taken is None:
            return Standing(row=row)
        return Claimed(row=self._put(taken, run_id=reservation.run_id))

    def _reserve(self, call: Reservation, now: datetime, lease: timedelta) -> Claim:
        other = self._twin(call.task_id, call.similarity, call.key)
        if other is not None and not other.may_be_repeated(call.repeat_of):
            return Twin(row=other)
        given = {name: getattr(call, name) for name in Reservation.model_fields}
        given |= {"args": copied(call.args), "origin": dict(call.origin)}
        row = Row(**given, state=RowState.RESERVED, fence=1, lease_until=now + lease, opened_at=now)
        return Claimed(row=self._put(row))

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
        row = self._may(key, fence, Move.MARK)
        if row is None or self._tasks.is_bound_elsewhere(row.task_id, row.run_id):
            return None
        self._switches.check(row)
        for answer in approvals:
            check_consumer(answer.request_id, self._approvals.get(answer.request_id, key), key)
        for total in totals:
            check_total(total, self._spent(total.bucket, key))
        self._approvals |= {answer.request_id: key for answer in approvals}
        self._totals = {slot: amount for slot, amount in self._totals.items() if slot[1] != key}
        for total in totals:
            self._totals.setdefault((total.bucket, key), total.amount)
        names = tuple(answer.by for answer in approvals) or row.approved_by
        return self._move(key, fence, Move.MARK, approved_by=names, **self._sent(row, deadline, lease_until))

    def _sent(self, row: Row, deadline: datetime, lease_until: datetime) -> dict[str, Any]:
        now = self._now()
        return {
            "sends": row.sends + 1,
            "marked_at": now,
            "first_marked_at": row.first_marked_at or now,
            "send_deadline": utc(deadline),
            "lease_until": utc(lease_until),
        }

    async def resend(
        self, key: str, fence: int, *, deadline: datetime, lease_until: datetime, run_id: str | None = None
    ) -> Row | None:
        row = self._may(key, fence, Move.RESEND)
        if row is None or (row.state is RowState.IN_FLIGHT and not self._is_over(row)):
            return None
        if run_id is not None and self._tasks.is_bound_elsewhere(row.task_id, run_id):
            return None
        self._switches.check(row)
        sent = self._sent(row, deadline, lease_until) | {"run_id": row.run_id if run_id is None else run_id}
        return self._move(key, fence, Move.RESEND, fence=row.fence + 1, doubtful=True, **sent)

    async def release(self, key: str, fence: int, why: str) -> Row | None:
        row = self._rows.get(key)
        if row is not None and row.fence == fence and row.state is RowState.RESERVED:
            return self._put(row, lease_until=self._now(), message=legible(why))
        move = Move.DOUBT if row is not None and row.doubtful else Move.RELEASE
        return self._move(key, fence, move, message=legible(why))

    async def settle(self, key: str, fence: int, settlement: Settlement) -> Row | None:
        now, stored = self._now(), split(settlement)
        kept = receipt(settlement, stored) | {
            "code": legible(settlement.code),
            "message": legible(settlement.message),
            "result": copied(stored.inline),
            "evidence": settlement.evidence,
        }
        if stored.body is not None:
            self._keep(stored.body)
        row = self._move(key, fence, settlement.move, settled_at=now, **kept)
        if row is None:
            await self.record(late_line(self._rows.get(key), key, fence, settlement, now=now))
        return row

    async def verified(self, key: str, verified: bool) -> None:
        row = self._rows.get(key)
        if row is not None and row.state is RowState.SUCCEEDED:
            self._put(row, verified=verified)

    async def doubt(self, key: str, fence: int, why: str) -> Row | None:
        return self._move(key, fence, Move.DOUBT, doubtful=True, message=legible(why))

    async def move(
        self, key: str, fence: int, move: Literal[Move.ABSENT, Move.ASK, Move.CANCEL], why: str
    ) -> Row | None:
        changes: dict[str, Any] = {"message": legible(why)}
        match move:
            case Move.ABSENT:
                changes["doubtful"] = False
            case Move.CANCEL:
                changes["settled_at"] = self._now()
            case Move.ASK:
                pass
        return self._move(key, fence, move, **changes)

    def _may(self, key: str, fence: int, move: Move) -> Row | None:
        row = self._rows.get(key)
        if row is None or row.fence != fence or (row.state, move) not in TRANSITIONS:
            return None
        return None if row.doubtful and move in (Move.RELEASE, Move.CANCEL) else row

    def _move(self, key: str, under: int, move: Move, **changes: Any) -> Row | None:
        row = self._may(key, under, move)
        if row is None:
            return None
        return self._put(row, **{"lease_until": self._now(), "state": TRANSITIONS[row.state, move], **changes})

    def _put(self, row: Row, **changes: Any) -> Row:
        self._rows[row.key] = row.model_copy(update=changes)
        return self._rows[row.key]

    # --------------------------------------------------------------------------------------- sums, blobs and audit

    async def spent(self, bucket: str, besides: str) -> int:
        return self._spent(bucket, besides)

    def _spent(self, bucket: str, besides: str) -> int:
        return sum(
            amount
            for (name, key), amount in self._totals.items()
            if name == bucket and key != besides and self._counts(self._rows[key])
        )

    def _counts(self, row: Row) -> bool:
        return row.written_off or row.state not in (RowState.FAILED, RowState.CANCELLED)

    async def reserve_call(self, call: ModelCall, caps: Sequence[Cap]) -> Admission:
        return self._calls.reserve(call, caps, self._now())

    async def settle_call(self, call_id: str, end: CallEnd, line: Line) -> None:
        self._calls.settle(call_id, end, self._now())
        await self.record(line)

    async def breakers(self) -> list[Breaker]:
        return self._calls.breakers()

    async def usage(self, by: Grouping, since: datetime | None = None) -> list[UsageLine]:
        return self._calls.usage(by, since)

    async def keep(self, task_id: str, body: bytes) -> str:  # noqa: ARG002
        return self._keep(body)

    def _keep(self, body: bytes) -> str:
        digest = blob_digest(body)
        self._blobs[digest] = body
        return digest

    async def fetch(self, digest: str) -> bytes | None:
        return self._blobs.get(digest)

    async def record(self, line: Line) -> None:
        self._lines.append(line.model_copy(update={"at": utc(line.at), "fields": copied(line.fields)}))

    async def lines(self, task_id: str) -> AsyncIterator[Line]:
        for line in [each for each in self._lines if each.task_id == task_id]:
            yield line
