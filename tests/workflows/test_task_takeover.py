"""Processes that are killed: the worker in the middle of an effect, and worker and server while a person is asked."""

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from tests.workflows.doomed import Till, kill, kill_in_mid_effect, spawn, world_in
from tests.workflows.stories import assert_never_failed, events_of, outcome_of, requests_of
from tests.worlds import ATTRIBUTES, BIN, FAST, until


async def connected(address: str) -> Client:
    return await Client.connect(address, data_converter=pydantic_data_converter)


async def test_a_worker_killed_in_mid_effect_is_taken_over_and_pays_once(server: str, tmp_path: Path) -> None:
    till, doomed = Till(tmp_path), spawn(server, "mid-effect", tmp_path)
    async with world_in(await connected(server), "mid-effect", tmp_path) as world:
        try:
            handle = await world.start("t")
            await kill_in_mid_effect(doomed, till)
        finally:
            kill(doomed)
        async with world.worker():
            result = await outcome_of(handle)
        assert (result["status"], result["answer"]) == ("COMPLETED", "paid 5")
        [row] = await world.ledger.rows(handle.id)
        assert till.paid == [row.key]
        assert till.asked == [row.key] * 2
        assert_never_failed(await events_of(handle))


@dataclass
class Server:
    """A dev server that keeps everything in a file, on a port that it keeps too."""

    folder: Path
    address: str
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        where = ["--ip", "127.0.0.1", "--port", self.address.rpartition(":")[2], "--headless", "--log-level", "never"]
        kinds = [f"{key.name}={key.indexed_value_type.name.title().replace('_', '')}" for key in ATTRIBUTES]
        attributes = [part for kind in kinds for part in ("--search-attribute", kind)]
        kept = ["--db-filename", str(self.folder / "temporal.db")]
        self.process = subprocess.Popen([BIN / "temporal", "server", "start-dev", *where, *kept, *attributes, *FAST])

    def kill(self) -> None:
        if self.process is not None:
            kill(self.process)

    async def connected(self, seconds: float = 60) -> Client:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    return await connected(self.address)
                except RuntimeError:  # not listening yet
                    await asyncio.sleep(0.05)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = Server(tmp_path, f"127.0.0.1:{free.getsockname()[1]}")
    server.start()
    yield server
    server.kill()


async def test_worker_and_server_killed_while_a_person_is_asked(kept: Server, tmp_path: Path) -> None:
    (tmp_path / "ask").touch()
    till, client = Till(tmp_path), await kept.connected()
    doomed = spawn(kept.address, "killed", tmp_path)
    async with world_in(client, "killed", tmp_path) as world:
        try:
            handle = await world.start("t")
            await until(handle, "AWAITING_APPROVAL", seconds=30)
            [before] = await requests_of(handle)
        finally:
            kill(doomed)
            kept.kill()
        kept.start()
        world.client = await kept.connected()
        handle = world.client.get_workflow_handle(handle.id)
        async with world.worker():
            await until(handle, "AWAITING_APPROVAL", seconds=30)
            assert await requests_of(handle) == [before]
            await handle.signal("approve", {"by": "ana", "digest": before["digest"]})
            result = await outcome_of(handle)
    assert (result["status"], result["effects"][0]["approved_by"]) == ("COMPLETED", ["ana"])
    assert len(till.paid) == len(till.asked) == 1
