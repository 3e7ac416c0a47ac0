"""A database that cannot be used now is LedgerDown, and is used again as soon as it can be."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError

from core.errors import LedgerDown
from core.receipts import Claimed, Move, RowState
from ledger import SqlLedger, open_ledger
from tests.ledger.calls import LEASE, Clock, attempt, call, claimed, marked, sent
from tests.postgres import PostgresProcess

_IMPATIENT = timedelta(seconds=0.3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold SQLite's write lock, as a stuck process would."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.close()


def impatient(path: Path, clock: Clock) -> SqlLedger:
    return open_ledger(f"sqlite:///{path}", clock=clock, patience=_IMPATIENT)


async def test_a_file_locked_for_too_long_is_down_until_it_is_free(path: Path, clock: Clock) -> None:
    async with impatient(path, clock) as ledger:
        row = await claimed(ledger)
        with locked(path):
            with pytest.raises(LedgerDown, match="database is locked"):
                await attempt(ledger, clock, "k1", row.fence, Move.MARK)
            assert await ledger.find("k1") == row  # readers are not in anybody's way
        assert await sent(ledger, clock, row) is not None


async def test_a_short_lock_is_waited_for(path: Path, clock: Clock) -> None:
    async with open_ledger(f"sqlite:///{path}", clock=clock) as ledger:
        with locked(path):
            claim = asyncio.create_task(ledger.claim(call(), LEASE))
            done, _ = await asyncio.wait([claim], timeout=0.1)
            assert not done
        assert isinstance(await claim, Claimed)


async def test_a_queue_behind_a_locked_file_is_told_at_once(path: Path, clock: Clock) -> None:
    async with impatient(path, clock) as ledger:
        started = asyncio.get_running_loop().time()
        with locked(path):
            claims = (ledger.claim(call(f"k{number}"), LEASE) for number in range(20))
            outcomes = await asyncio.gather(*claims, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [LedgerDown] * 20
        # one after the other they would have taken 20 x 0.3 s
        assert asyncio.get_running_loop().time() - started < 3
        assert await ledger.rows("refund-1") == []


async def test_a_full_disk_is_down_and_loses_nothing(path: Path, clock: Clock) -> None:
    async with impatient(path, clock) as ledger:
        row = await claimed(ledger)

        async def limit(pages: int) -> None:
            await ledger._store.write(lambda db: db.exec_driver_sql(f"PRAGMA max_page_count={pages}") and None)

        await limit(1)
        with pytest.raises(LedgerDown, match="full"):
            await ledger.keep("refund-1", b"x" * 1_000_000)
        assert await ledger.find("k1") == row
        assert await ledger.fetch(await ledger.keep("refund-1", b"x" * 1_000_000)) == b"x" * 1_000_000


async def test_a_file_removed_under_a_running_worker_is_down(path: Path, clock: Clock) -> None:
    async with impatient(path, clock) as ledger:
        row = await claimed(ledger)
        aside = path.with_suffix(".moved")
        await asyncio.to_thread(path.rename, aside)
        with pytest.raises(LedgerDown, match="unable to open"):
            await attempt(ledger, clock, "k1", row.fence, Move.MARK)
        with pytest.raises(LedgerDown, match="unable to open"):
            await ledger.find("k1")
        await asyncio.to_thread(aside.rename, path)
        assert await sent(ledger, clock, row) is not None


async def test_an_error_in_what_we_sent_is_not_called_a_database_that_is_down(url: str, clock: Clock) -> None:
    async with open_ledger(url, clock=clock) as ledger:
        with pytest.raises(IntegrityError):
            await ledger.claim(call().model_copy(update={"step": None}), LEASE)
        assert isinstance(await ledger.claim(call(), LEASE), Claimed)


@pytest.mark.postgres
@pytest.mark.parametrize("wrong", [{"task_id": "a\0b"}, {"intent": 2**40}])
async def test_a_value_the_server_does_not_take_is_not_called_a_server_that_is_down(
    postgres_url: str, clock: Clock, wrong: dict[str, Any]
) -> None:
    async with open_ledger(postgres_url, clock=clock) as ledger:
        with pytest.raises(DBAPIError):
            await ledger.claim(call(**wrong), LEASE)
        assert isinstance(await ledger.claim(call(), LEASE), Claimed)


async def test_a_file_that_vanished_is_down_and_no_empty_ledger_takes_its_place(path: Path, clock: Clock) -> None:
    async with impatient(path, clock) as ledger:
        await claimed(ledger)
    _empty(path.parent)
    reader = impatient(path, clock)
    with pytest.raises(LedgerDown, match="unable to open"):
        await reader.find("k1")
    with pytest.raises(LedgerDown, match="unable to open"):
        await reader.claim(call(), LEASE)
    await reader.close()
    assert not await asyncio.to_thread(path.exists)


async def test_a_cancelled_caller_leaves_the_ledger_usable(url: str, clock: Clock) -> None:
    async with open_ledger(url, clock=clock) as ledger:
        claims = [asyncio.create_task(ledger.claim(call(f"k{number}"), LEASE)) for number in range(20)]
        await asyncio.wait(claims, return_when=asyncio.FIRST_COMPLETED)
        for each in claims[1::2]:
            each.cancel()
        outcomes = await asyncio.gather(*claims, return_exceptions=True)
        assert all(isinstance(outcome, Claimed | asyncio.CancelledError) for outcome in outcomes)
        assert (await marked(ledger, clock, "another")).state is RowState.IN_FLIGHT


@pytest.mark.postgres
async def test_a_server_that_is_not_there_is_down(postgres: PostgresProcess, clock: Clock) -> None:
    for url in (postgres.url("no_such_database"), "postgresql://ana@127.0.0.1:1/ledger"):
        ledger = open_ledger(url, clock=clock, patience=_IMPATIENT)
        with pytest.raises(LedgerDown, match="postgresql://"):
            await ledger.create()
        with pytest.raises(LedgerDown, match="postgresql://"):
            await ledger.find("k1")
        await ledger.close()


@pytest.mark.postgres
async def test_a_server_that_stops_is_down_until_it_starts_again(
    postgres: PostgresProcess, postgres_url: str, clock: Clock
) -> None:
    async with open_ledger(postgres_url, clock=clock, patience=timedelta(seconds=2)) as ledger:
        rows = await asyncio.gather(*(marked(ledger, clock, f"k{number}") for number in range(5)))
        postgres.stop()
        try:
            for _ in range(2):
                with pytest.raises(LedgerDown):
                    await ledger.find("k0")
                with pytest.raises(LedgerDown):
                    await attempt(ledger, clock, "k0", 1, Move.SUCCEED)
        finally:
            postgres.start()
        assert {row.key: row for row in await ledger.rows("refund-1")} == {row.key: row for row in rows}
        assert await attempt(ledger, clock, "k0", 1, Move.SUCCEED) is not None


@pytest.mark.postgres
async def test_idle_connections_cut_by_the_server_cost_one_call_at_most(
    postgres: PostgresProcess, postgres_url: str, clock: Clock
) -> None:
    async with open_ledger(postgres_url, clock=clock) as ledger:
        await asyncio.gather(*(marked(ledger, clock, f"k{number}") for number in range(8)))
        postgres.stop()
        postgres.start()
        with pytest.raises(LedgerDown):
            await ledger.find("k0")
        for number in range(8):
            assert await attempt(ledger, clock, f"k{number}", 1, Move.SUCCEED) is not None


@pytest.mark.postgres
async def test_a_row_locked_for_too_long_is_down(postgres_url: str, clock: Clock) -> None:
    async with open_ledger(postgres_url, clock=clock) as stuck, impatient_server(postgres_url, clock) as ledger:
        row = await claimed(ledger)
        release, held = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            async with stuck._store._engine.begin() as connection:  # type: ignore[attr-defined]
                await connection.exec_driver_sql("LOCK TABLE lastmile_effects IN EXCLUSIVE MODE")
                held.set()
                await release.wait()

        holding = asyncio.create_task(hold())
        await held.wait()
        with pytest.raises(LedgerDown, match="lock timeout"):
            await attempt(ledger, clock, "k1", row.fence, Move.MARK)
        release.set()
        await holding
        assert await sent(ledger, clock, row) is not None


def _empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def impatient_server(url: str, clock: Clock) -> SqlLedger:
    return open_ledger(url, clock=clock, patience=_IMPATIENT)
