"""The ledger in a SQL database: each method is one transaction, written out in the module of its noun."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Literal, Self

from core.receipts import Approval, Claim, Line, Move, Reservation, Row, Settlement, Stop, TaskRow, Total
from core.record import Json
from core.spending import Admission, Breaker, CallEnd, Cap, Grouping, ModelCall, UsageLine
from ledger import audit, blobs, breakers, calls, claims, marks, rows, sending, settling, switches, tasks, visits
from ledger.store import Store


class SqlLedger:
    """``core.ports.Ledger`` on a store. `clock` gives the aware UTC time that leases are judged by.

    Used as ``async with``, the tables are made on entering and the connections given back on leaving; else `create`
    and `close` do that. All methods raise LedgerDown.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._now = clock

    async def __aenter__(self) -> Self:
        await self.create()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def create(self) -> None:
        """Make sure that the tables exist. Raises ConfigError for a path that cannot be written or a later layout."""
        await self._store.create()

    async def close(self) -> None:
        """Give all connections back; the ledger is not to be used after that."""
        await self._store.close()

    async def open_task(self, task: TaskRow) -> TaskRow | None:
        return await self._store.write(lambda db: tasks.open_task(db, task, self._now()))

    async def bind_run(self, task_id: str, run_id: str, ancestors: Sequence[str]) -> TaskRow | None:
        return await self._store.write(lambda db: tasks.bind_run(db, task_id, run_id, ancestors, self._now()))

    async def open_epoch(self, task_id: str, run_id: str, instead_of: str) -> TaskRow | None:
        return await self._store.write(lambda db: tasks.open_epoch(db, task_id, run_id, instead_of, self._now()))

    async def task(self, task_id: str) -> TaskRow | None:
        return await self._store.read(lambda db: tasks.find_task(db, task_id))

    async def amend_task(self, task_id: str, goal: str, inputs: dict[str, Json], amendments: int) -> None:
        await self._store.write(lambda db: tasks.amend_task(db, task_id, goal, inputs, amendments))

    async def find(self, key: str) -> Row | None:
        return await self._store.read(lambda db: rows.find(db, key))

    async def rows(self, task_id: str) -> list[Row]:
        return await self._store.read(lambda db: rows.rows_of(db, task_id))

    async def overdue(self, limit: int = 100) -> list[Row]:
        """Return effects of any task that are sent or in doubt with their lease over: the completer's work."""
        return await self._store.read(lambda db: rows.overdue(db, self._now(), limit))

    async def doubts(self, limit: int = 1000) -> list[Row]:
        return await self._store.read(lambda db: rows.doubts(db, self._now(), limit))

    async def enter(self, key: str, visit: str) -> int:
        return await self._store.write(lambda db: visits.enter(db, key, visit))

    async def leave(self, key: str, visit: str) -> None:
        await self._store.write(lambda db: visits.leave(db, key, visit))

    async def stop(self, stop: Stop) -> None:
        await self._store.write(lambda db: switches.stop(db, stop))

    async def start(self, tool: str = "", agent: str = "") -> Stop | None:
        return await self._store.write(lambda db: switches.start(db, tool, agent))

    async def stops(self) -> list[Stop]:
        return await self._store.read(switches.all_stops)

    async def twin(self, task_id: str, similarity: str, key: str) -> Row | None:
        return await self._store.read(lambda db: claims.twin(db, task_id, similarity, key))

    async def claim(self, reservation: Reservation, lease: timedelta) -> Claim:
        return await self._store.write(lambda db: claims.claim(db, reservation, self._now(), lease))

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
        times = {"send_deadline": deadline, "lease_until": lease_until}
        return await self._store.write(
            lambda db: marks.mark(db, key, fence, self._now(), approvals=approvals, totals=totals, **times)
        )

    async def resend(
        self, key: str, fence: int, *, deadline: datetime, lease_until: datetime, run_id: str | None = None
    ) -> Row | None:
        times = {"send_deadline": deadline, "lease_until": lease_until}
        return await self._store.write(
            lambda db: sending.resend_row(db, key, fence, self._now(), run_id=run_id, **times)
        )

    async def release(self, key: str, fence: int, why: str) -> Row | None:
        return await self._store.write(lambda db: rows.release(db, key, fence, self._now(), why))

    async def settle(self, key: str, fence: int, settlement: Settlement) -> Row | None:
        return await self._store.write(lambda db: settling.settle(db, key, fence, settlement, self._now()))

    async def verified(self, key: str, verified: bool) -> None:
        await self._store.write(lambda db: rows.set_verified(db, key, verified))

    async def doubt(self, key: str, fence: int, why: str) -> Row | None:
        return await self._store.write(lambda db: rows.move_row(db, key, fence, Move.DOUBT, self._now(), message=why))

    async def move(
        self, key: str, fence: int, move: Literal[Move.ABSENT, Move.ASK, Move.CANCEL], why: str
    ) -> Row | None:
        return await self._store.write(lambda db: rows.move_without_answer(db, key, fence, move, self._now(), why=why))

    async def spent(self, bucket: str, besides: str) -> int:
        return await self._store.read(lambda db: marks.spent(db, bucket, besides))

    async def reserve_call(self, call: ModelCall, caps: Sequence[Cap]) -> Admission:
        return await self._store.write(lambda db: calls.reserve(db, call, caps, self._now()))

    async def settle_call(self, call_id: str, end: CallEnd, line: Line) -> None:
        await self._store.write(lambda db: calls.settle(db, call_id, end, line, self._now()))

    async def breakers(self) -> list[Breaker]:
        return await self._store.read(breakers.all_breakers)

    async def usage(self, by: Grouping, since: datetime | None = None) -> list[UsageLine]:
        return await self._store.read(lambda db: calls.usage(db, by, since))

    async def keep(self, task_id: str, body: bytes) -> str:
        return await self._store.write(lambda db: blobs.keep(db, task_id, body, self._now()))

    async def fetch(self, digest: str) -> bytes | None:
        return await self._store.read(lambda db: blobs.fetch(db, digest))

    async def record(self, line: Line) -> None:
        await self._store.write(lambda db: audit.record(db, line))

    async def lines(self, task_id: str) -> AsyncIterator[Line]:
        after = 0
        while page := await self._page(task_id, after):
            for _, line in page:
                yield line
            after = page[-1][0]

    async def _page(self, task_id: str, after: int) -> list[tuple[int, Line]]:
        return await self._store.read(lambda db: audit.page(db, task_id, after))
