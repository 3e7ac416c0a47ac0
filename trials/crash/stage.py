"""What all cells share (server, provider, zygote), and what one cell has of its own (task, ledger, database)."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter

from cli.devserver import dev_server
from core import names
from core.contract import Effect
from core.receipts import Row, RowState
from ledger import open_ledger
from trials.crash.cells import Cell
from trials.crash.nursery import Nursery, nursery
from trials.crash.target import Counts, Target, target
from trials.crash.words import Word

AGENT = "crash"
_SOURCE = Path(__file__).with_name("agent")
_REPLIES_AFTER = 3
"""How often the planner says, after its plan, that there is nothing more to do."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The running processes, and the folder with everything in it."""

    folder: Path
    address: str
    client: Client
    target: Target
    nursery: Nursery


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    """Start server, provider and zygote with their files in `folder`, which is emptied before; end them.

    `folder`: absolute.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(_SOURCE, folder / "agents" / AGENT, ignore=shutil.ignore_patterns("__pycache__"))
    script = folder / "agents" / AGENT / "script"
    script.mkdir()
    _write_script(script / "default.json", [])
    async with (
        dev_server(folder / "server", headless=True, database=None) as server,
        target(folder) as provider,
        nursery(folder, {"CRASH_PROVIDER": provider.url}) as zygote,
    ):
        client = await Client.connect(server.address, data_converter=pydantic_data_converter)
        yield Stage(folder, server.address, client, provider, zygote)


@dataclass(frozen=True, slots=True)
class Props:
    """One cell's own: a folder with its settings, its ledger and the database of the transactional tool."""

    task_id: str
    cell: Cell
    folder: Path
    target: Target

    @property
    def key(self) -> str:
        """The key of the one call, as the core makes it: the first intent in its first revision."""
        return names.effect_key("default", self.task_id, 1, 1, self.cell.tool)

    @property
    def environ(self) -> dict[str, str]:
        """What this cell's workers find in their environment."""
        return {"CRASH_BOOKS": f"sqlite:///{self._books}"}

    @property
    def _books(self) -> Path:
        return self.folder / "books.db"

    async def start_task(self, client: Client) -> WorkflowHandle[Any, Any]:
        """Start the task on the cell's own task queue."""
        wish = {"agent": AGENT, "goal": f"make the one call about {self.task_id}", "requested_by": "kim"}
        return await client.start_workflow(names.WORKFLOW, wish, id=self.task_id, task_queue=self.task_id)

    async def counts(self) -> Counts:
        """Count at the provider, and in the transactional tool's own database."""
        counts = await self.target.counts(self.task_id)
        if self.cell.kind is not Effect.TRANSACTIONAL:
            return counts
        return counts.model_copy(update={"applied": await asyncio.to_thread(self._bookings)})

    async def rows(self) -> list[Row]:
        """Read what the ledger has of the task."""
        async with open_ledger(f"sqlite:///{self.folder}/ledger.db") as ledger:
            return await ledger.rows(self.task_id)

    async def is_settled(self) -> bool:
        """Whether nothing of the task is open, or its owner was alarmed about what is."""
        async with open_ledger(f"sqlite:///{self.folder}/ledger.db") as ledger:
            rows = await ledger.rows(self.task_id)
            alarmed = {line.key async for line in ledger.lines(self.task_id) if line.event == "doubt.alarmed"}
        waits = {row.key for row in rows if row.state is RowState.NEEDS_PERSON}
        return all(row.state.is_final for row in rows if row.key not in waits) and waits <= alarmed

    def _bookings(self) -> int:
        with closing(sqlite3.connect(self._books)) as db:
            return int(db.execute("SELECT count(*) FROM bookings WHERE ref = ?", (self.task_id,)).fetchone()[0])


def lay_out(stage: Stage, cell: Cell, number: int) -> Props:
    """Write down what one cell needs."""
    task_id = f"cell-{number}"
    folder = stage.folder / "cells" / task_id
    folder.mkdir(parents=True)
    props = Props(task_id, cell, folder, stage.target)
    _write_script(stage.folder / "agents" / AGENT / "script" / f"{task_id}.json", _plans(cell, task_id))
    _write_settings(stage, props)
    with closing(sqlite3.connect(folder / "books.db")) as db:
        db.executescript("CREATE TABLE bookings (ref TEXT)")
    return props


def _plans(cell: Cell, ref: str) -> list[dict[str, Any]]:
    """After a reset the planner wants the same again: what is done already must not be done twice."""
    return [_plan(cell, ref)] * (2 if cell.word is Word.ADOPTS else 1)


def _plan(cell: Cell, ref: str) -> dict[str, Any]:
    args = {"ref": ref} | ({"version": 0} if cell.kind is Effect.IDEMPOTENT else {})
    step = {"id": "s1", "tool": cell.tool, "args": args, "why": "it is the trial's one call"}
    return {"steps": [step], "finish": {"answer": "done"}}


def _write_script(file: Path, plans: list[dict[str, Any]]) -> None:
    nothing = {"finish": {"answer": "there is nothing more to do"}}
    file.write_text(json.dumps({"replies": [{"plan": plan} for plan in [*plans, *[nothing] * _REPLIES_AFTER]]}))


def _write_settings(stage: Stage, props: Props) -> None:
    agents, address = json.dumps(str(stage.folder / "agents")), json.dumps(stage.address)
    (props.folder / "lastmile.toml").write_text(
        f'agents = [{agents}]\nledger = "sqlite:///ledger.db"\n\n'
        f'[temporal]\naddress = {address}\ntask_queue = "{props.task_id}"\n'
    )
