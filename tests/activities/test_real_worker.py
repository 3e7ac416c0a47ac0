"""The door in a real worker at a real server: what only those can show."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from core.receipts import RowState
from tests.worlds import World, dev_server, plan, step
from tools import Call, tool

MB = 1024 * 1024


class Desk:
    """A tool whose applications are counted; `gate` holds it in mid-effect."""

    def __init__(self) -> None:
        self.applied = 0
        self.reached, self.gate = asyncio.Event(), asyncio.Event()

    def tools(self) -> list[Any]:
        @tool(effect="unrepeatable", timeout="20s")
        async def report(call: Call, month: str) -> dict[str, str]:
            """Write the report of a month."""
            self.applied += 1
            return {"pdf": "x" * (3 * MB)}

        @tool(effect="unrepeatable", timeout="20s")
        async def pay(call: Call, month: str) -> dict[str, str]:
            """Pay a month's bill."""
            self.applied += 1
            self.reached.set()
            await self.gate.wait()
            return {"paid": month}

        return [report, pay]


@pytest.mark.timeout(60)
async def test_large_result_and_a_stopping_worker_are_one_effect_each(tmp_path: Path) -> None:
    """A result over 2 MB made Temporal retry the activity, effect included; so did SIGTERM in mid-effect (measured)."""
    async with dev_server() as server:
        world, desk = World(server.client, tmp_path), Desk()
        world.agent("desk", desk.tools(), [plan(step("s1", "report", month="May"))])
        async with world.worker():
            result = await (await world.start("large")).result()
        assert (result["status"], desk.applied) == ("COMPLETED", 1)
        [row] = await world.ledger.rows("large")
        assert (row.state, row.sends, row.size > 3 * MB) == (RowState.SUCCEEDED, 1, True)

        desk.applied = 0
        world.agent("desk", desk.tools(), [plan(step("s1", "pay", month="May"))])
        worker = world.worker()
        running = asyncio.create_task(worker.run())
        handle = await world.start("stopped")
        await asyncio.wait_for(desk.reached.wait(), 20)
        stopping = asyncio.create_task(worker.shutdown())
        await asyncio.sleep(0)
        desk.gate.set()
        await stopping
        await running
        async with world.worker():
            result = await handle.result()
        assert (result["status"], desk.applied) == ("COMPLETED", 1)
        [row] = await world.ledger.rows("stopped")
        assert (row.state, row.sends) == (RowState.SUCCEEDED, 1)
