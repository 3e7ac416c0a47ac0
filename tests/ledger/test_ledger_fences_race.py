"""Two transactions at the very same time on PostgreSQL: one is held open where it would commit, the other comes then.

SQLite runs transactions that write one after the other, so there is nothing to race there.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from core.errors import Stopped
from core.receipts import Claimed, Fenced, Move, RowState, Stop, TaskRow
from ledger import SqlLedger, claims, marks, open_ledger, switches, tasks
from tests.ledger.calls import LEASE, Clock, attempt, bring, call, claimed, marked, task

pytestmark = pytest.mark.postgres


@pytest.fixture
async def ledger(postgres_url: str, clock: Clock) -> AsyncIterator[SqlLedger]:
    async with open_ledger(postgres_url, clock=clock) as found:
        await found.open_task(task())
        yield found


@asynccontextmanager
async def uncommitted(ledger: SqlLedger, job: Callable[[Connection], object]) -> AsyncIterator[None]:
    """Do something in a transaction that commits at the end of the block."""
    async with ledger._store._engine.begin() as connection:  # type: ignore[attr-defined]
        assert await connection.run_sync(job) is not None
        yield


async def meanwhile(ledger: SqlLedger, first: Callable[[Connection], object], second: Awaitable[Any]) -> Any:
    """Return how the second ends that came before the first had committed; it has to wait for that."""
    async with uncommitted(ledger, first):
        waiting = asyncio.ensure_future(second)
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done, "it did not wait"
    return await waiting


def epoch(clock: Clock) -> Callable[[Connection], TaskRow | None]:
    return lambda db: tasks.open_epoch(db, "refund-1", "run-2", "run-1", clock.now)


def mark(clock: Clock, key: str = "k1") -> Callable[[Connection], object]:
    times: dict[str, Any] = {"send_deadline": clock.now + LEASE, "lease_until": clock.now + LEASE}
    return lambda db: marks.mark(db, key, 1, clock.now, approvals=[], totals=[], **times)


def stop(clock: Clock) -> Stop:
    return Stop(by="ana", at=clock.now)


async def test_a_claim_waits_for_the_epoch_and_is_fenced_off(ledger: SqlLedger, clock: Clock) -> None:
    assert isinstance(await meanwhile(ledger, epoch(clock), ledger.claim(call(), LEASE)), Fenced)
    assert await ledger.rows("refund-1") == []


async def test_an_epoch_waits_for_a_claim_and_cancels_it(ledger: SqlLedger, clock: Clock) -> None:
    async with asyncio.timeout(10):
        assert await meanwhile(
            ledger,
            lambda db: claims.claim(db, call(), clock.now, LEASE),
            ledger.open_epoch("refund-1", "run-2", "run-1"),
        )
    assert [row.state for row in await ledger.rows("refund-1")] == [RowState.CANCELLED]


async def test_a_mark_waits_for_the_epoch_and_is_not_made(ledger: SqlLedger, clock: Clock) -> None:
    await claimed(ledger)
    assert await meanwhile(ledger, epoch(clock), attempt(ledger, clock, "k1", 1, Move.MARK)) is None


async def test_an_epoch_waits_for_a_mark_and_leaves_it(ledger: SqlLedger, clock: Clock) -> None:
    await claimed(ledger)
    assert await meanwhile(ledger, mark(clock), ledger.open_epoch("refund-1", "run-2", "run-1")) is not None
    assert [row.state for row in await ledger.rows("refund-1")] == [RowState.IN_FLIGHT]


async def test_what_was_given_back_while_the_epoch_opened_is_not_marked(ledger: SqlLedger, clock: Clock) -> None:
    row = await marked(ledger, clock)
    async with uncommitted(ledger, epoch(clock)):
        assert await ledger.release("k1", row.fence, "connect refused") is not None
        marking = asyncio.ensure_future(attempt(ledger, clock, "k1", row.fence, Move.MARK))
        done, _ = await asyncio.wait([marking], timeout=0.2)
        assert not done, "it did not wait"
    assert await marking is None


async def test_the_run_before_does_not_send_again_while_the_epoch_opens(ledger: SqlLedger, clock: Clock) -> None:
    row = await bring(ledger, clock, RowState.IN_DOUBT)
    until = clock.now + LEASE
    again = ledger.resend("k1", row.fence, deadline=until, lease_until=until, run_id="run-1")
    assert await meanwhile(ledger, epoch(clock), again) is None
    assert await ledger.find("k1") == row


async def test_a_stop_waits_for_marks_under_way(ledger: SqlLedger, clock: Clock) -> None:
    await claimed(ledger)
    await meanwhile(ledger, mark(clock), ledger.stop(stop(clock)))
    assert await ledger.stops() == [stop(clock)]


async def test_a_mark_waits_for_a_stop_and_heeds_it(ledger: SqlLedger, clock: Clock) -> None:
    await claimed(ledger)

    def stopping(db: Connection) -> bool:
        switches.stop(db, stop(clock))
        return True

    with pytest.raises(Stopped):
        await meanwhile(ledger, stopping, attempt(ledger, clock, "k1", 1, Move.MARK))


async def test_marks_of_one_task_do_not_wait_for_each_other(ledger: SqlLedger, clock: Clock) -> None:
    for key in ("k1", "k2"):
        await claimed(ledger, key)
    async with asyncio.timeout(timedelta(seconds=4).total_seconds()), uncommitted(ledger, mark(clock)):
        assert await attempt(ledger, clock, "k2", 1, Move.MARK) is not None
        assert isinstance(await ledger.claim(call("k3"), LEASE), Claimed)
