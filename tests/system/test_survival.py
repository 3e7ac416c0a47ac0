"""Real processes, really killed: the worker and the server, between any two events of a task. Effects are counted where
they happen, in the provider's own file."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter

from cli.devserver import DevServer, dev_server
from demo.child import free_port
from tests.worlds import plan, ref, step, until

pytestmark = pytest.mark.timeout(180)
ROOT = Path(__file__).parent.parent.parent

TOOLS = '''
"""A provider that honours keys and keeps what it was asked in a file; it can be made slow after the effect."""
import asyncio, os
from pathlib import Path
from tools import Call, tool

FOLDER = Path(__file__).parent


@tool(effect="read")
async def look_up(call: Call, order_id: str) -> dict[str, int]:
    """Look an order up."""
    return {"cents": 25000}


@tool(effect="keyed", key_window="24h", timeout="4s")
async def pay(call: Call, order_id: str, cents: int) -> dict[str, int]:
    """Pay; the provider answers a known key with what it saved."""
    seen = (FOLDER / "paid.txt")
    known = seen.read_text().split() if seen.exists() else []
    with (FOLDER / "requests.txt").open("a") as asked:
        asked.write(call.key + "\\n")
    if call.key not in known:
        with seen.open("a") as file:
            file.write(call.key + "\\n")
            file.flush()
            os.fsync(file.fileno())
        while (FOLDER / "slow").exists():
            await asyncio.sleep(0.05)
    return {"cents": cents}


@tool(effect="unrepeatable", timeout="4s")
async def tell(call: Call, text: str) -> str:
    """Tell somebody; nobody can be asked whether it happened."""
    with (FOLDER / "told.txt").open("a") as file:
        file.write(call.key + "\\n")
    while (FOLDER / "slow_tell").exists():
        await asyncio.sleep(0.05)
    return text
'''


class Desk:
    """One agent in a folder of its own, and the processes round it."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.ports = (free_port(), free_port())
        self.agent = folder / "agents" / "desk"
        self.agent.mkdir(parents=True)
        (self.agent / "tools.py").write_text(TOOLS)
        (self.agent / "instructions.md").write_text("Pay.")
        self._configure(asks=False)
        reply = plan(
            step("s1", "look_up", order_id="1"),
            step("s2", "pay", order_id="1", cents=ref("s1", "/cents")),
            step("s3", "tell", text="paid {{s2/cents}}"),
            answer="paid {{s2/cents}}",
        )
        (self.agent / "script.json").write_text(json.dumps({"replies": [{"plan": reply}]}))
        (folder / "lastmile.toml").write_text(f'[temporal]\naddress = "127.0.0.1:{self.ports[0]}"\n')

    def _configure(self, *, asks: bool) -> None:
        rules = "".join(
            f'[[policy]]\ntool = "{tool}"\ndo = "{"ask" if asks and tool == "pay" else "allow"}"\n'
            for tool in ("pay", "tell")
        )
        text = 'owner = "lead"\nmodels = ["scripted:script.json"]\n' + rules
        (self.agent / "agent.toml").write_text(text)

    def ask_for_approval(self) -> None:
        self._configure(asks=True)

    def lines(self, name: str) -> list[str]:
        path = self.agent / name
        return path.read_text().split() if path.exists() else []

    def slow(self, name: str, *, on: bool) -> None:
        path = self.agent / name
        path.touch() if on else path.unlink()

    async def worker(self) -> asyncio.subprocess.Process:
        """Start `python worker.py`; it ends with the test at the latest."""
        log = self.stack.enter_context((self.folder / "worker.log").open("a"))
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(ROOT / "worker.py"), cwd=self.folder, stdout=log, stderr=log
        )
        self.stack.push_async_callback(end, process)
        return process

    @asynccontextmanager
    async def server(self) -> AsyncIterator[DevServer]:
        port, ui_port = self.ports
        async with dev_server(self.folder / "var", port=port, ui_port=ui_port, headless=True) as server:
            yield server

    async def client(self) -> Client:
        return await Client.connect(f"127.0.0.1:{self.ports[0]}", data_converter=pydantic_data_converter)

    async def start(self, task_id: str) -> WorkflowHandle[Any, Any]:
        wish = {"agent": "desk", "goal": "pay order 1", "requested_by": "kim"}
        client = await self.client()
        return await client.start_workflow("AgentTask", wish, id=task_id, task_queue="lastmile")


async def end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()


async def fact(holds: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.02)


def is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with AsyncExitStack() as stack:
        yield Desk(tmp_path, stack)


async def test_task_survives_the_kill_of_worker_and_server_while_it_waits_for_approval(desk: Desk) -> None:
    desk.ask_for_approval()
    async with desk.server() as server:
        worker = await desk.worker()
        handle = await desk.start("t-1")
        await until(handle, "AWAITING_APPROVAL")
        worker.kill()
        os.killpg(server.child.pid, signal.SIGKILL)  # its guard leads a group
        await worker.wait()
        await fact(lambda: is_free(desk.ports[0]))
    async with desk.server():
        await desk.worker()
        handle = (await desk.client()).get_workflow_handle("t-1")
        await until(handle, "AWAITING_APPROVAL")
        assert desk.lines("paid.txt") == []
        await handle.signal("approve", {"by": "ana"})
        result = await asyncio.wait_for(handle.result(), 60)
    assert result["status"] == "COMPLETED"
    assert [effect["approved_by"] for effect in result["effects"]] == [["ana"], []]
    assert len(desk.lines("requests.txt")) == len(desk.lines("told.txt")) == 1


async def test_worker_killed_after_the_provider_took_a_keyed_call_pays_once(desk: Desk) -> None:
    async with desk.server():
        worker = await desk.worker()
        desk.slow("slow", on=True)
        handle = await desk.start("t-2")
        await fact(lambda: len(desk.lines("paid.txt")) == 1)
        worker.kill()
        await worker.wait()
        desk.slow("slow", on=False)
        await desk.worker()
        result = await asyncio.wait_for(handle.result(), 60)
    assert result["status"] == "COMPLETED"
    assert len(desk.lines("paid.txt")) == 1
    assert len(desk.lines("requests.txt")) == 2  # the doubt was real: it was sent again, with the same key
    assert len(set(desk.lines("requests.txt"))) == 1


async def test_worker_killed_in_an_unrepeatable_call_asks_the_owner_and_never_sends_again(desk: Desk) -> None:
    async with desk.server():
        worker = await desk.worker()
        desk.slow("slow_tell", on=True)
        handle = await desk.start("t-3")
        await fact(lambda: len(desk.lines("told.txt")) == 1)
        worker.kill()
        await worker.wait()
        desk.slow("slow_tell", on=False)
        await desk.worker()
        view = await until(handle, "AWAITING_PERSON", seconds=60)
        assert view["waiting_for"] == ["lead"]
        await handle.signal("answer", {"by": "lead", "choice": "happened", "evidence": "they called back"})
        result = await asyncio.wait_for(handle.result(), 60)
    assert result["status"] == "COMPLETED"
    assert len(desk.lines("told.txt")) == 1


async def test_sigterm_in_mid_effect_finishes_the_effect_and_exits_0(desk: Desk) -> None:
    async with desk.server():
        worker = await desk.worker()
        desk.slow("slow_tell", on=True)
        handle = await desk.start("t-4")
        await fact(lambda: len(desk.lines("told.txt")) == 1)
        worker.terminate()
        await fact(lambda: "worker.draining" in (desk.folder / "worker.log").read_text())
        desk.slow("slow_tell", on=False)
        assert await asyncio.wait_for(worker.wait(), 60) == 0
        await desk.worker()
        result = await asyncio.wait_for(handle.result(), 60)
    assert result["status"] == "COMPLETED"
    assert len(desk.lines("told.txt")) == 1
