import itertools
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from aiohttp import web
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from trials.storm import naive_calls
from trials.storm.bank import Bank as BankOfTheStorm
from trials.storm.bank_book import Book
from trials.storm.bank_faults import Fault, Weather
from trials.storm.naive_calls import Bank, Table
from trials.storm.truth import TOOLS, EffectTruth, Fate, Kind

SEED = 5


def effect(kind: Kind, fault: Fault | None = None, account: str = "A-1") -> EffectTruth:
    """Make an effect whose first write is struck by a fault (None: by none), and the second by none."""
    memos = (f"M-{number}" for number in itertools.count())
    memo = next(memo for memo in memos if struck(memo) == (fault, None))
    return EffectTruth(
        memo=memo, kind=kind, tool=TOOLS[kind], account=account, amount_cents=5, planned_cents=5, fate=Fate.ONCE
    )


def struck(memo: str) -> tuple[Fault | None, Fault | None]:
    weather = Weather(SEED, 0.5)
    return weather.on_write(memo).fault, weather.on_write(memo).fault


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "bank.db")


@pytest.fixture
async def bank(book: Book, tmp_path: Path) -> AsyncIterator[Bank]:
    with closing(sqlite3.connect(tmp_path / "tools.db")) as db:
        db.execute("create table transfers (id integer primary key, memo, account, amount_cents, at)")
    runner = web.AppRunner(BankOfTheStorm(book, Weather(SEED, 0.5)).app(), access_log=None, shutdown_timeout=0.1)
    with book:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Bank(f"http://127.0.0.1:{runner.addresses[0][1]}", tmp_path / "tools.db")
        await runner.cleanup()


@pytest.fixture
def table(bank: Bank, tmp_path: Path) -> Table:
    table = Table(bank, tmp_path / "table.db")
    table.prepare()
    return table


def applied(book: Book, memo: str) -> int:
    return len(book.applications(memo))


async def test_plain_retries_pay_twice_when_the_answer_was_lost(bank: Bank, book: Book) -> None:
    lost = effect(Kind.PROBED, Fault.GARBAGE)
    with pytest.raises(ValueError, match="codec"):
        await ActivityEnvironment().run(bank.transfer, lost)
    await ActivityEnvironment().run(bank.transfer, lost)
    assert applied(book, lost.memo) == 2


async def test_definite_no_is_not_tried_again(bank: Bank, book: Book) -> None:
    closed = effect(Kind.UNREPEATABLE, account="CLOSED-1")
    with pytest.raises(ApplicationError) as raised:
        await ActivityEnvironment().run(bank.transfer, closed)
    assert raised.value.non_retryable
    assert applied(book, closed.memo) == 0


async def test_booking_goes_to_the_tools_database(bank: Bank) -> None:
    await ActivityEnvironment().run(bank.transfer, effect(Kind.TRANSACTIONAL))
    with closing(sqlite3.connect(bank.database)) as db:
        assert db.execute("select account, amount_cents from transfers").fetchall() == [("A-1", 5)]


async def test_table_does_not_repeat_what_is_done(table: Table, book: Book) -> None:
    good = effect(Kind.UNREPEATABLE)
    for _ in range(3):
        assert await ActivityEnvironment().run(table.transfer, good) == "200"
    assert applied(book, good.memo) == 1


async def test_table_leaves_an_entry_in_progress_alone_until_it_is_stale_and_then_pays_again(
    table: Table, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = effect(Kind.UNREPEATABLE, Fault.GARBAGE)
    with pytest.raises(ValueError, match="codec"):
        await ActivityEnvironment().run(table.transfer, lost)
    with pytest.raises(ApplicationError, match="in progress"):
        await ActivityEnvironment().run(table.transfer, lost)
    assert applied(book, lost.memo) == 1
    monkeypatch.setattr(naive_calls, "STALE_S", 0.0)  # the wait is over
    await ActivityEnvironment().run(table.transfer, lost)
    assert applied(book, lost.memo) == 2
