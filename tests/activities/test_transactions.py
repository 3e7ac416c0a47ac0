"""A transactional tool on a real SQLite database: effect and receipt commit together."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from temporalio.exceptions import ApplicationError

from core.errors import LedgerDown
from core.messages import ToolRefused, ToolSucceeded, ToolUnavailable
from core.ports import TransactionReceipt
from core.receipts import RowState
from ledger.transactions import ToolDatabases, ToolTransaction
from tests.activities.bench import REFUSAL, Bench
from tools import Call, tool
from tools.registry import build_tools

TOOL, UNDO = "charge", "charge.undo"


class Shop:
    """The tool's database. `fate`: what happens in the tool; `stops`: what happens before its transaction begins.

    ``runs``, ``undos``: how often the tool and its undo ran; ``outages``: how often the database is down for whoever
    wants to rule a send out.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fate: list[Any] = []
        self.stops: list[Any] = []
        self.runs, self.undos, self.outages = 0, 0, 0
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE charges (order_id TEXT)")
        db.close()

    @property
    def charges(self) -> int:
        db = sqlite3.connect(self.path)
        try:
            (count,) = db.execute("SELECT count(*) FROM charges").fetchone()
        finally:
            db.close()
        return int(count)


class SlowDatabases(ToolDatabases):
    """A process may be stopped before it opens a transaction."""

    def __init__(self, shop: Shop) -> None:
        super().__init__({"SHOP_DB": f"sqlite:///{shop.path}"}, patience=timedelta(seconds=0.5))
        self._shop = shop

    @asynccontextmanager
    async def open(self, database: str, key: str, fingerprint: str, send: int) -> AsyncIterator[ToolTransaction]:
        if self._shop.stops:
            await self._shop.stops.pop(0)()
        async with super().open(database, key, fingerprint, send) as transaction:
            yield transaction

    async def rule_out(self, database: str, key: str, send: int) -> TransactionReceipt | None:
        if self._shop.outages:
            self._shop.outages -= 1
            raise LedgerDown("the shop is down")
        return await super().rule_out(database, key, send)


@pytest.fixture
async def shop(bench: Bench, tmp_path: Path) -> AsyncIterator[Shop]:
    shop = Shop(tmp_path / "shop.db")

    @tool(effect="transactional", database="SHOP_DB", timeout="5s", attempts=3)
    async def charge(call: Call, order_id: str) -> dict[str, str]:
        """Charge an order."""
        shop.runs += 1
        await call.connection.execute(text("INSERT INTO charges VALUES (:id)"), {"id": order_id})
        fate = shop.fate.pop(0) if shop.fate else None
        if isinstance(fate, BaseException):
            raise fate
        if fate is not None:
            await fate()
        return {"charged": order_id}

    @charge.undo(effect="transactional")
    async def _(call: Call, args: Any, result: Any) -> None:
        shop.undos += 1
        await call.connection.execute(text("DELETE FROM charges WHERE order_id = :id"), {"id": result["charged"]})

    bench.tools.update(build_tools([charge]))
    databases = SlowDatabases(shop)
    bench.database = databases  # type: ignore[assignment]
    yield shop
    await databases.close()


async def test_effect_and_receipt_commit_together(bench: Bench, shop: Shop) -> None:
    assert isinstance(await bench.call(TOOL), ToolSucceeded)
    assert shop.charges == 1


async def test_worker_killed_after_the_commit_finds_the_receipt(bench: Bench, shop: Shop) -> None:
    bench.ledger.faults["settle"] = ["crash"]
    await bench.crash(TOOL)
    report = await bench.call(TOOL)
    assert isinstance(report, ToolSucceeded)
    assert (report.result, shop.charges) == ({"charged": "1042"}, 1)


async def test_undo_in_the_same_database_commits_with_a_receipt_of_its_own(bench: Bench, shop: Shop) -> None:
    charged = bench.order(TOOL)
    await bench.call(TOOL, charged)
    undo = bench.order(UNDO, intent=50, step="undo.s1", args={}, undoes=charged.key)
    bench.ledger.faults["settle"] = ["crash"]
    await bench.crash(UNDO, undo)
    assert shop.charges == 0
    assert isinstance(await bench.call(UNDO, undo), ToolSucceeded)
    assert (shop.undos, (await bench.row(undo)).state) == (1, RowState.SUCCEEDED)


async def test_refusal_rolls_back(bench: Bench, shop: Shop) -> None:
    shop.fate = [REFUSAL]
    assert isinstance(await bench.call(TOOL), ToolRefused)
    assert shop.charges == 0


async def test_error_rolls_back_and_the_next_send_applies_it_once(bench: Bench, shop: Shop) -> None:
    shop.fate = [KeyError("a bug"), ConnectionResetError("lost")]
    assert isinstance(await bench.call(TOOL), ToolSucceeded)
    assert shop.charges == 1


async def test_tool_that_is_cut_off_rolls_back(bench: Bench, shop: Shop) -> None:
    async def hang() -> None:
        bench.clock.advance(seconds=1)
        raise asyncio.CancelledError

    shop.fate = [hang]
    assert isinstance(await bench.call(TOOL), ToolSucceeded)
    assert shop.charges == 1


async def test_worker_that_wakes_before_its_transaction_finds_that_it_was_ruled_out(bench: Bench, shop: Shop) -> None:
    found: list[Any] = []

    async def stopped() -> None:
        bench.clock.advance(minutes=1)
        found.append(await asyncio.create_task(bench.call(TOOL, settle_only=True)))

    shop.stops = [stopped]
    found.append(await bench.attempt(TOOL, bench.order(TOOL)))
    assert [type(one) for one in found] == [ToolUnavailable, ToolUnavailable]
    assert (shop.runs, shop.charges) == (0, 0)
    assert (await bench.row(bench.order(TOOL))).state is RowState.CANCELLED


async def test_nothing_is_said_of_a_transaction_that_is_open(bench: Bench, shop: Shop) -> None:
    settling = bench.order(TOOL, settle_only=True)

    async def stopped() -> None:
        bench.clock.advance(minutes=1)
        with pytest.raises(ApplicationError) as not_yet:
            await asyncio.create_task(bench.attempt(TOOL, settling))
        assert not_yet.value.type == "LedgerDown"
        assert not not_yet.value.non_retryable

    shop.fate = [stopped]
    with pytest.raises(ApplicationError, match="rolled back: the process was stopped until the deadline was over"):
        await bench.attempt(TOOL, bench.order(TOOL))
    assert isinstance(await bench.call(TOOL, settling), ToolUnavailable)
    assert (shop.runs, shop.charges) == (1, 0)


async def test_no_to_a_second_send_is_kept_from_the_first(bench: Bench, shop: Shop) -> None:
    found: list[Any] = []

    async def stopped() -> None:
        bench.clock.advance(minutes=1)
        found.append(await asyncio.create_task(bench.attempt(TOOL, bench.order(TOOL), 2)))

    shop.stops, shop.fate = [stopped], [REFUSAL]
    found.append(await bench.attempt(TOOL, bench.order(TOOL)))
    assert [type(one) for one in found] == [ToolRefused, ToolRefused]
    assert (shop.runs, shop.charges) == (1, 0)


async def test_no_to_a_second_send_is_not_believed_while_the_first_may_commit(bench: Bench, shop: Shop) -> None:
    bench.ledger.faults["mark"] = ["crash_after"]
    await bench.crash(TOOL)
    bench.clock.advance(minutes=1)
    shop.fate, shop.outages = [REFUSAL, REFUSAL], 1
    with pytest.raises(ApplicationError, match="the shop is down"):
        await bench.attempt(TOOL, bench.order(TOOL), 2)
    assert (await bench.row(bench.order(TOOL))).state is RowState.IN_DOUBT
    assert isinstance(await bench.call(TOOL), ToolRefused)
    assert (shop.runs, shop.charges) == (2, 0)


async def test_call_that_is_wanted_again_is_sent_past_the_tombstone(bench: Bench, shop: Shop) -> None:
    bench.ledger.faults["mark"] = ["crash_after"]
    await bench.crash(TOOL)
    bench.clock.advance(minutes=1)
    bench.ledger.faults["move"] = [None, "crash"]  # proven absent, and not yet cancelled
    await bench.crash(TOOL, settle_only=True)
    assert (await bench.row(bench.order(TOOL))).state is RowState.RESERVED
    assert isinstance(await bench.call(TOOL), ToolSucceeded)
    assert (shop.runs, shop.charges) == (1, 1)


async def test_large_result_is_kept_with_the_effect(bench: Bench, shop: Shop) -> None:
    bench.ledger.faults["settle"] = ["crash"]
    await bench.crash(TOOL, args={"order_id": "x" * 100_000})
    report = await bench.call(TOOL, args={"order_id": "x" * 100_000})
    assert isinstance(report, ToolSucceeded)
    assert (report.size > 100_000, shop.charges) == (True, 1)
