"""One MCP call through the door over the same call of the bare SDK, side by side in one process and one run.

Two processes of the meeting rooms' server, over stdio: one for the SDK's own client, one for ours. In each round the
layers take turns, call by call, so that what the machine does meanwhile meets all of them. `session`: our tool with its
pin and schema checks; `door`: the whole way with policy, mark and receipt in an SQLite ledger, without Temporal.
"""

import asyncio
import logging
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from rich.console import Console
from rich.table import Table
from temporalio.common import RawValue
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import ActivityEnvironment

from activities import Door
from bench.ours import Allow, Always
from config.agents import load_agents
from config.settings import Settings
from core import names
from core.messages import CallOrder, ToolSucceeded
from core.ports import Agent, Call, Tool
from core.receipts import TaskRow
from core.record import Json
from ledger import ToolDatabases, open_ledger

CALLS = 300
WARM_UP = 20
TASK = "bench"
AGENT = Path(__file__).parents[1] / "agents" / "meeting_rooms"
Send = Callable[[int], Awaitable[object]]


class Alone:
    """No Temporal to ask."""

    async def current(self, _task_id: str) -> str | None:
        """Name the one run."""
        return "run-1"


class Only:
    """One agent."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def get(self, _name: str) -> Agent:
        """Return it."""
        return self._agent

    def names(self) -> list[str]:
        """Name it."""
        return [self._agent.name]


def now() -> datetime:
    """Tell the time."""
    return datetime.now(UTC)


def booking(number: int) -> dict[str, Json]:
    """Name an hour that nobody else books."""
    return {"room": "Ada", "day": f"day {number // 10}", "hour": 8 + number % 10, "title": "bench"}


async def through_door(door: Door, tool: Tool, number: int, args: dict[str, Json]) -> None:
    """Make one call as Temporal would."""
    name = tool.contract.name
    order = CallOrder(
        agent="meeting_rooms",
        task_id=TASK,
        step=f"r1.s{number}",
        intent=number,
        revision=1,
        key=names.effect_key("default", TASK, number, 1, name),
        digest=tool.contract.digest,
        args=args,
    )
    environment = ActivityEnvironment()
    environment.payload_converter = pydantic_data_converter.payload_converter
    environment.info = replace(environment.info, activity_type=name, attempt=1, workflow_run_id="run-1")
    [payload] = pydantic_data_converter.payload_converter.to_payloads([order])
    report = await environment.run(door.call_tool, [RawValue(payload)])
    if not isinstance(report, ToolSucceeded):
        raise TypeError(f"{name} did not succeed: {report}")


async def open_bare(stack: AsyncExitStack, database: Path) -> ClientSession:
    """Open a session of the bare SDK."""
    env = {**os.environ, "ROOMS_DB": str(database)}
    server = StdioServerParameters(command=sys.executable, args=[str(AGENT / "server.py")], env=env)
    streams = await stack.enter_async_context(stdio_client(server))
    session = await stack.enter_async_context(ClientSession(*streams))
    await session.initialize()
    await session.list_tools()
    return session


async def open_ours(stack: AsyncExitStack, folder: Path) -> tuple[Agent, Door]:
    """Load the agent of a copied folder, with a door and a ledger."""
    shutil.copytree(AGENT, folder / "agents" / AGENT.name)
    (folder / "var").mkdir()
    agents = load_agents(Settings.model_validate({"folder": folder, "agents": [folder / "agents"]}))
    stack.push_async_callback(agents.aclose)
    agent = replace(agents.get(AGENT.name), policy=Allow(), done=Always())
    ledger = await stack.enter_async_context(open_ledger(f"sqlite:///{folder}/ledger.db"))
    row = TaskRow(
        task_id=TASK,
        namespace="default",
        agent=agent.name,
        goal="measure",
        first_run_id="run-1",
        run_id="run-1",
        opened_at=now(),
    )
    await ledger.open_task(row)
    return agent, Door(Only(agent), ledger, ToolDatabases({}), Alone(), clock=now)


async def take_turns(ways: dict[str, Send]) -> dict[str, list[float]]:
    """Time each way, one call after the other; seconds."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(CALLS + WARM_UP):
        for name, send in ways.items():
            began = time.perf_counter()
            await send(number)
            if number >= WARM_UP:
                times[name].append(time.perf_counter() - began)
    return times


def ways_to(bare: ClientSession, agent: Agent, door: Door) -> dict[str, dict[str, Send]]:
    """Write each call in its three ways. Numbers above 10,000 keep the hours and keys of the ways apart."""
    look, book = agent.tools["list_rooms"], agent.tools["book_room"]

    def told(number: int) -> Call:
        return Call(
            key=f"session-{number}",
            task_id=TASK,
            step_id=f"r1.s{number}",
            attempt=1,
            deadline=now() + timedelta(seconds=10),
        )

    async def bare_book(number: int) -> Any:
        return await bare.call_tool("book_room", {**booking(number), "reference": f"bare-{number}"})

    return {
        "read (list_rooms)": {
            "bare SDK": lambda _: bare.call_tool("list_rooms", {}),
            "bare again": lambda _: bare.call_tool("list_rooms", {}),
            "session": lambda number: look.send(told(number), {}),
            "door": lambda number: through_door(door, look, number + 1, {}),
        },
        "keyed write (book_room)": {
            "bare SDK": bare_book,
            "bare again": lambda number: bare_book(number + 10_000),
            "session": lambda number: book.send(told(number), booking(number)),
            "door": lambda number: through_door(door, book, number + 20_000, booking(number + 20_000)),
        },
    }


async def main() -> int:
    """Measure and print."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        agent, door = await open_ours(stack, folder)
        bare = await open_bare(stack, folder / "bare.db")
        table = Table(title=f"One MCP call over stdio, median of {CALLS}, taking turns")
        for column in ("call", "bare SDK", "A/A", "session", "ratio", "door", "ratio"):
            table.add_column(column, justify="left" if column == "call" else "right")
        for name, ways in ways_to(bare, agent, door).items():
            middle = {way: statistics.median(times) for way, times in (await take_turns(ways)).items()}
            base = middle["bare SDK"]
            table.add_row(
                name,
                f"{base * 1e3:.2f} ms",
                f"x {middle['bare again'] / base:.2f}",
                f"{middle['session'] * 1e3:.2f} ms",
                f"x {middle['session'] / base:.2f}",
                f"{middle['door'] * 1e3:.2f} ms",
                f"x {middle['door'] / base:.2f}",
            )
    Console(width=110).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
