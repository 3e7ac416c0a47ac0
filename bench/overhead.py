"""Door, ledger and loop per tool call over a bare Temporal activity, side by side in one run.

One dev server; one worker process for bare Temporal and one for Lastmile with an SQLite ledger, both alive throughout.
Each round runs both with few and with many calls, in turn; the figure of a round is the slope between the two, so that
what a task costs once does not count. Ratios are medians over the rounds; a run whose A/A pair (bare against bare)
differs by more than 10 % is void. Numbers of events and of workflow tasks are exact.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from bench.ours import script

FEW, MANY = 5, 45
ROUNDS, REPEATS = 6, 3
BIN = Path(sys.executable).parent
RATES = ("transfer", "timer", "visibility")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one task cost: wall and CPU in seconds (worker process), its history in events, workflow tasks and bytes."""

    wall: float
    cpu: float
    events: int
    workflow_tasks: int
    size: int

    def per_call(self, few: "Cost", calls: int) -> "Cost":
        """Return what one more call costs, given the cost of a task with `calls` fewer."""
        return Cost(
            wall=(self.wall - few.wall) / calls,
            cpu=(self.cpu - few.cpu) / calls,
            events=(self.events - few.events) // calls,
            workflow_tasks=(self.workflow_tasks - few.workflow_tasks) // calls,
            size=(self.size - few.size) // calls,
        )


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has used (Linux, proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


Start = Callable[[str, int], Awaitable[WorkflowHandle[Any, Any]]]


async def measure(start: Start, pid: int, shape: str, calls: int) -> Cost:
    """Run a task `REPEATS` times and take the mean of wall and CPU."""
    before, began = cpu_of(pid), time.perf_counter()
    for _ in range(REPEATS):
        handle = await start(shape, calls)
        await handle.result()
    wall, cpu = time.perf_counter() - began, cpu_of(pid) - before
    history = (await handle.fetch_history()).events
    scheduled = sum(event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED for event in history)
    size = sum(event.ByteSize() for event in history)
    return Cost(wall / REPEATS, cpu / REPEATS, len(history), scheduled, size)


class Bench:
    """Starts tasks of both kinds."""

    def __init__(self, client: Client, folder: Path) -> None:
        self._client, self._folder, self._number = client, folder, 0

    async def bare(self, shape: str, calls: int) -> WorkflowHandle[Any, Any]:
        """Start the bare workflow."""
        self._number += 1
        order = {"calls": calls, "independent": int(shape.endswith("wide"))}
        return await self._client.start_workflow("Bare", order, id=f"bare-{self._number}", task_queue="bare")

    async def ours(self, shape: str, calls: int) -> WorkflowHandle[Any, Any]:
        """Start a task whose tool and shape are named by `shape`, such as noop-chain."""
        self._number += 1
        tool, form = shape.split("-")
        task_id = f"{shape}-{self._number}"
        (self._folder / f"{task_id}.json").write_text(script(tool, calls, independent=form == "wide"))
        wish = {"agent": "bench", "goal": "measure"}
        return await self._client.start_workflow("AgentTask", wish, id=task_id, task_queue="ours")


async def worker(stack: AsyncExitStack, module: str, *arguments: str) -> int:
    """Start a worker process, and end it with the stack."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, *arguments)

    async def end() -> None:
        process.terminate()
        await process.wait()

    stack.push_async_callback(end)
    return process.pid


async def main() -> int:
    """Measure and print; 0 unless the run is void."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rates = [f"history.{one}ProcessorMaxPollRPS=1000" for one in RATES]
        server = await WorkflowEnvironment.start_local(
            dev_server_existing_path=str(BIN / "temporal"),
            data_converter=pydantic_data_converter,
            dev_server_extra_args=[part for rate in rates for part in ("--dynamic-config-value", rate)],
            dev_server_log_level="error",
        )
        await stack.enter_async_context(server)
        address = server.client.service_client.config.target_host
        bare_pid = await worker(stack, "bench.bare", address, "bare")
        ours_pid = await worker(stack, "bench.ours", address, "ours", str(folder), "no-attributes")
        bench = Bench(server.client, folder)
        return await report(bench, bare_pid, ours_pid)


async def slope(start: Start, pid: int, shape: str) -> Cost:
    """Measure what one more call costs."""
    few = await measure(start, pid, shape, FEW)
    many = await measure(start, pid, shape, MANY)
    return many.per_call(few, MANY - FEW)


async def report(bench: Bench, bare_pid: int, ours_pid: int) -> int:
    """Run the rounds and print the table."""
    for _ in range(2):  # warm up
        await measure(bench.bare, bare_pid, "noop-chain", FEW)
        await measure(bench.ours, ours_pid, "noop-chain", FEW)
    bare, again, write, read = [], [], [], []
    for _ in range(ROUNDS):
        bare.append(await slope(bench.bare, bare_pid, "noop-chain"))
        write.append(await slope(bench.ours, ours_pid, "noop-chain"))
        again.append(await slope(bench.bare, bare_pid, "noop-chain"))
        read.append(await slope(bench.ours, ours_pid, "look-chain"))
    wide = await measure(bench.ours, ours_pid, "noop-wide", 20)
    empty = await measure(bench.ours, ours_pid, "noop-wide", 1)
    console = Console()
    console.print(_table(bare, write, read))
    events = (wide.events - empty.events) / 19
    console.print(
        f"20 independent calls: {wide.events} events, {wide.workflow_tasks} workflow tasks in all, "
        f"{events:.2f} events for one more call; 1 call: {empty.events} events, {empty.workflow_tasks} workflow tasks"
    )
    drift = ratio([one.wall for one in again], [one.wall for one in bare])
    console.print(f"A/A, bare against bare: latency x {drift:.2f}")
    if abs(drift - 1) > 0.1:
        console.print("[red]void: the machine drifted by more than 10 %; run it again[/red]")
        return 1
    return 0


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Median of the paired ratios."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def _table(bare: list[Cost], write: list[Cost], read: list[Cost]) -> Table:
    table = Table(title=f"One more tool call, {ROUNDS} rounds, medians (calls in a row: {FEW} against {MANY})")
    for name in ("figure", "bare activity", "write (keyed, SQLite ledger)", "ratio", "read", "ratio"):
        table.add_column(name, justify="left" if name == "figure" else "right")
    for name, unit, factor in (("wall", "ms", 1000.0), ("cpu", "ms", 1000.0), ("size", "bytes", 1.0)):
        columns = [[getattr(one, name) * factor for one in costs] for costs in (bare, write, read)]
        middle = [f"{statistics.median(column):.1f} {unit}" for column in columns]
        label = {"wall": "latency", "cpu": "CPU of the worker", "size": "history"}[name]
        x_write, x_read = (f"x {ratio(column, columns[0]):.2f}" for column in columns[1:])
        table.add_row(label, middle[0], middle[1], x_write, middle[2], x_read)
    for name, label in (("events", "events"), ("workflow_tasks", "workflow tasks")):
        exact = [str(getattr(costs[-1], name)) for costs in (bare, write, read)]
        table.add_row(label, exact[0], exact[1], "", exact[2], "")
    return table
