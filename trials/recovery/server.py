"""`kill -9` of the server under load: whatever it acknowledged, starts and signals, is there afterwards."""

import asyncio
import os
import random
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from cli.devserver import DevServer, dev_server
from core import names
from trials.counter import Counter
from trials.results import Figure, at_most
from trials.stage import Stage, Task, connected, outcome, runs

_CALLERS = 8
_TASKS_EACH = 3
_PATIENCE = timedelta(seconds=3)


@dataclass(slots=True)
class Acknowledged:
    """What the server said yes to: tasks, and the marks of the signals to each."""

    signals: dict[str, set[str]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Count the signals."""
        return sum(len(marks) for marks in self.signals.values())


@dataclass(slots=True)
class Found:
    """What became of it over all kills. `waits`: seconds from the new server's first answer to the end of a task."""

    starts: int = 0
    signals: int = 0
    lost_starts: list[str] = field(default_factory=list)
    lost_signals: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def figures(self, kills: int) -> Sequence[Figure]:
        """Say it as figures."""
        return [
            _none("server killed under load: acknowledged starts that are lost", self.lost_starts, self.starts),
            _none("server killed under load: acknowledged signals that are lost", self.lost_signals, self.signals),
            _none("server killed under load: tasks not completed with one effect", self.wrong, self.starts),
            Figure(
                name="server killed under load: until all its tasks have ended",
                measured=f"at most {max(self.waits):.1f} s in {kills} kills",
                note="from the new server's first answer; a task's last approval is sent then",
            ),
        ]


def _none(name: str, found: Sequence[str], of: int) -> Figure:
    is_tried = of > 0
    return Figure(
        name=name,
        measured=at_most(len(found), of),
        must_be="0",
        holds=is_tried and not found,
        note="; ".join(found[:5]),
    )


async def kill_servers(stage: Stage, kills: int, seed: int) -> Sequence[Figure]:
    """Kill the server again and again at a moment that the seed chooses, and look for all that it acknowledged."""
    dice, found, server = random.Random(seed), Found(), stage.server  # noqa: S311 - to be repeated, not to be secret
    port = int(server.address.rpartition(":")[2])
    async with AsyncExitStack() as servers:
        for number in range(kills):
            kept = await _under_load(stage, number, 0.5 + dice.random() * 1.5, server)
            again = dev_server(stage.folder / "server", port=port, headless=True)
            server = await servers.enter_async_context(again)
            began = time.monotonic()
            await _look(stage, await connected(server.address), kept, found)
            found.waits.append(time.monotonic() - began)
    return found.figures(kills)


async def _under_load(stage: Stage, kill: int, seconds: float, server: DevServer) -> Acknowledged:
    kept = Acknowledged()
    client = await connected(server.address)
    callers = [asyncio.create_task(_call(client, stage, f"k{kill}-{caller}", kept)) for caller in range(_CALLERS)]
    broken, _ = await asyncio.wait(callers, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    os.killpg(server.child.pid, signal.SIGKILL)
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    await server.child.stop()
    await _until_free(int(server.address.rpartition(":")[2]))
    for caller in broken:
        caller.result()
    return kept


async def _until_free(port: int) -> None:
    """Wait until the killed server's socket is closed: the process outlives the signal by some milliseconds."""
    async with asyncio.timeout(30):
        while True:
            try:
                socket.create_server(("127.0.0.1", port)).close()
            except OSError:
                await asyncio.sleep(0.01)
            else:
                return


async def _call(client: Client, stage: Stage, name: str, kept: Acknowledged) -> None:
    """Start tasks and send signals, one after the other, until cancelled; what hangs then was not acknowledged."""
    for number in count():
        task_id = f"{name}-{number % _TASKS_EACH}"
        if number < _TASKS_EACH:
            wish = {"agent": stage.agent, "goal": "be kept", "requested_by": "kim"}
            await client.start_workflow(names.WORKFLOW, wish, id=task_id, task_queue="lastmile")
            kept.signals[task_id] = set()
        mark = f"stranger {name} {number}"
        await client.get_workflow_handle(task_id).signal("approve", mark)
        kept.signals[task_id].add(mark)


async def _look(stage: Stage, client: Client, kept: Acknowledged, found: Found) -> None:
    found.starts += len(kept.signals)
    found.signals += kept.total
    tasks = {task_id: client.get_workflow_handle(task_id) for task_id in kept.signals}
    firsts = dict(zip(tasks, await asyncio.gather(*map(_first_run, tasks.values())), strict=True))
    found.lost_starts += [name for name, first in firsts.items() if not first]
    there = {name: first for name, first in firsts.items() if first}
    await asyncio.gather(*(_finish(stage.counter, tasks[name], found) for name in there))
    counts = (_count_lost(client, tasks[name], first, kept.signals[name], found) for name, first in there.items())
    await asyncio.gather(*counts)


async def _first_run(task: Task) -> str:
    """Return the id of the first run; "" where the server does not know the task."""
    try:
        description = await task.describe()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return ""
    return description.raw_description.workflow_execution_info.first_run_id or description.run_id or ""


async def _count_lost(client: Client, task: Task, first: str, marks: set[str], found: Found) -> None:
    """Look for the marks in the task's histories, once it has ended.

    A signal that comes while a worker has a workflow task is buffered, durably, and stands in the history only when
    that task is answered or has timed out: for the tasks that the killed server had given out, 10 s later.
    """
    handle = client.get_workflow_handle(task.id, run_id=first, first_execution_run_id=first)
    sent = b""
    async for events in runs(client, handle):
        signals = [event.workflow_execution_signaled_event_attributes for event in events]
        sent += b"".join(payload.data for one in signals for payload in one.input.payloads)
    found.lost_signals += [mark for mark in marks if f'"{mark}"'.encode() not in sent]


async def _finish(counter: Counter, task: Task, found: Found) -> None:
    """Approve; a task that has not asked yet does not take the answer, so it is given until the effect is there."""
    ended = asyncio.create_task(outcome(task, 120))
    while not ended.done():
        await _approve(task)
        await asyncio.wait({ended}, timeout=0.5)
    applied = counter.applied("grant", task.id)
    status = ended.result()["status"]
    if (status, applied) != ("COMPLETED", 1):
        found.wrong.append(f"{task.id}: {status}, {applied} applications")


async def _approve(task: Task) -> None:
    try:
        await task.signal("approve", "ana", rpc_timeout=_PATIENCE)
    except RPCError as error:
        if error.status not in (RPCStatusCode.NOT_FOUND, RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED):
            raise
