"""A worker of its own process, to be killed in the middle of an effect: ``doomed.py ADDRESS QUEUE FOLDER``.

Its provider keeps its books in files, so that whoever looks afterwards sees what really happened.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from ledger.opening import open_ledger
from tests.worlds import Rules, World, asks, plan, step
from tools import Call, tool
from tools.declaration import Declaration

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Till:
    """A payment provider that honours keys. ``hangs``: it takes the payment and never answers."""

    folder: Path
    hangs: bool = False

    def _lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    @property
    def asked(self) -> list[str]:
        """Keys of all requests."""
        return self._lines("asked")

    @property
    def paid(self) -> list[str]:
        """Keys of all payments."""
        return self._lines("paid")

    async def pay(self, key: str) -> None:
        """Pay once for each key."""
        known = key in self.paid
        for name in ("asked",) if known else ("paid", "asked"):
            with (self.folder / name).open("a") as file:
                file.write(f"{key}\n")
        if self.hangs:
            await asyncio.Event().wait()

    @property
    def tools(self) -> list[Declaration]:
        """One tool: the lease of a payment is over soon after the worker's death."""

        @tool(effect="keyed", key_window="24h", timeout="1s")
        async def pay(call: Call, order_id: str, amount: int) -> dict[str, Any]:
            """Pay money back."""
            await self.pay(call.key)
            return {"order_id": order_id, "amount": amount}

        return [pay]


@asynccontextmanager
async def world_in(client: Client, queue: str, folder: Path, *, hangs: bool = False) -> AsyncIterator[World]:
    """Make the world that both processes work in. Where a file `ask` is in the folder, ana is asked."""
    policy = Rules({"pay": asks("ana")} if (folder / "ask").exists() else {})
    pay = plan(step("s1", "pay", order_id="1", amount=5), answer="paid {{s1/amount}}")
    async with open_ledger(f"sqlite:///{folder}/ledger.db") as ledger:
        world = World(client, folder, ledger=ledger, task_queue=queue, prefix=f"{queue}-")
        world.agent("desk", Till(folder, hangs).tools, [pay], policy=policy)
        yield world


def spawn(address: str, queue: str, folder: Path) -> "subprocess.Popen[bytes]":
    """Start the process."""
    command = [sys.executable, "-m", "tests.workflows.doomed", address, queue, str(folder)]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True)


async def kill_in_mid_effect(process: "subprocess.Popen[bytes]", till: Till, seconds: float = 60) -> None:
    """Wait until the provider has taken the payment, and kill the worker that waits for its answer."""
    async with asyncio.timeout(seconds):
        while not till.asked:
            assert process.poll() is None, "the worker ended by itself"
            await asyncio.sleep(0.05)
    kill(process)


def kill(process: "subprocess.Popen[bytes]") -> None:
    """End a process that may not clean up."""
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    process.wait()


async def _work(address: str, queue: str, folder: str) -> None:
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    async with world_in(client, queue, Path(folder), hangs=True) as world, world.worker():
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_work(*sys.argv[1:]))
