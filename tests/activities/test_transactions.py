"""A transactional tool on a real SQLite database: effect and receipt commit together."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from core.messages import ToolRefused, ToolSucceeded
from ledger.transactions import ToolDatabases
from tests.activities.bench import REFUSAL, Bench
from tools import Call, tool
from tools.registry import build_tools

TOOL = "charge"


class Shop:
    """The tool's database."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fate: list[Any] = []
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


@pytest.fixture
async def shop(bench: Bench, tmp_path: Path) -> AsyncIterator[Shop]:
    shop = Shop(tmp_path / "shop.db")

    @tool(effect="transactional", database="SHOP_DB", timeout="5s", attempts=3)
    async def charge(call: Call, order_id: str) -> dict[str, str]:
        """Charge an order."""
        await call.connection.execute(text("INSERT INTO charges VALUES (:id)"), {"id": order_id})
        fate = shop.fate.pop(0) if shop.fate else None
        if isinstance(fate, BaseException):
            raise fate
        if fate is not None:
            await fate()
        return {"charged": order_id}

    bench.tools.update(build_tools([charge]))
    databases = ToolDatabases({"SHOP_DB": f"sqlite:///{tmp_path}/shop.db"})
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


async def test_large_result_is_kept_with_the_effect(bench: Bench, shop: Shop) -> None:
    bench.ledger.faults["settle"] = ["crash"]
    await bench.crash(TOOL, args={"order_id": "x" * 100_000})
    report = await bench.call(TOOL, args={"order_id": "x" * 100_000})
    assert isinstance(report, ToolSucceeded)
    assert (report.size > 100_000, shop.charges) == (True, 1)
