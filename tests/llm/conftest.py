"""A real llmock process and a real socket server that answers whatever a test says."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from core.briefing import Briefing, Prompt
from core.contract import Contract, Effect
from core.record import Json
from llm.planners import ModelAccess, Planners

PLAN: dict[str, Json] = {
    "steps": [
        {"id": "s1", "tool": "get_order", "args": '{"order_id": "1042"}', "after": [], "why": "", "repeat_of": None}
    ],
    "finish": {"answer": "It is {{s1/status}}."},
    "ask": None,
    "confidence": 0.9,
}
DECODED = {**PLAN, "steps": [{**PLAN["steps"][0], "args": {"order_id": "1042"}}]}
MODELS = ("openai:responses-model", "openai:chat-model", "anthropic:messages-model")
KEYS = {"OPENAI_API_KEY": "sk-of-openai", "ANTHROPIC_API_KEY": "sk-of-anthropic"}


def contract(name: str = "get_order", description: str = "Look an order up.") -> Contract:
    return Contract(
        name=name,
        description=description,
        effect=Effect.READ,
        args_schema={"type": "object", "properties": {"order_id": {"type": "string"}}},
        result_schema={"type": "object"},
    )


def prompt(briefing: Briefing | None = None, *, attempt: int = 1, catalogue: tuple[Contract, ...] = ()) -> Prompt:
    return Prompt(
        instructions="Be kind.",
        catalogue=catalogue or (contract(),),
        briefing=briefing or Briefing(task_id="refund-1", agent="support_desk", goal="Where is order 1042?"),
        max_output_tokens=512,
        attempt=attempt,
    )


def planners_at(origin: str, tmp_path: Path, timeout: timedelta = timedelta(seconds=20)) -> Planners:
    """Reach every model of MODELS at one server; Anthropic's dialect is under /anthropic there, as llmock has it."""
    openai = f"{origin}/v1"
    return Planners(
        models={
            "openai:responses-model": ModelAccess(base_url=openai),
            "openai:chat-model": ModelAccess(base_url=openai, api="chat"),
            "anthropic:messages-model": ModelAccess(base_url=f"{origin}/anthropic"),
        },
        environ=KEYS,
        folder=tmp_path,
        timeout=timeout,
    )


@dataclass(frozen=True)
class MockServer:
    """A running `llmock serve`, scripted and read over HTTP."""

    origin: str

    def script(self, *behaviors: dict[str, Json]) -> None:
        answer = httpx.post(f"{self.origin}/_llmock/scenario", json={"behaviors": list(behaviors)})
        assert answer.status_code == 201, answer.text

    def reset(self) -> None:
        httpx.post(f"{self.origin}/_llmock/reset").raise_for_status()

    def journal(self) -> list[dict[str, Json]]:
        requests: list[dict[str, Json]] = httpx.get(f"{self.origin}/_llmock/requests").json()["requests"]
        return requests


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_healthy(origin: str, process: "subprocess.Popen[bytes]") -> None:
    limit = time.monotonic() + 30
    while time.monotonic() < limit:
        assert process.poll() is None, "llmock ended"
        try:
            if httpx.get(f"{origin}/health").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    pytest.fail("llmock did not answer within 30 s")


@pytest.fixture(scope="session")
def llmock_process() -> Iterator[MockServer]:
    port = _free_port()
    command = [str(Path(sys.executable).with_name("llmock")), "serve", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            origin = f"http://127.0.0.1:{port}"
            _wait_until_healthy(origin, process)
            yield MockServer(origin)
        finally:
            process.terminate()


@pytest.fixture
def provider(llmock_process: MockServer) -> MockServer:
    llmock_process.reset()
    return llmock_process


@pytest.fixture
async def planners(provider: MockServer, tmp_path: Path) -> AsyncIterator[Planners]:
    made = planners_at(provider.origin, tmp_path)
    yield made
    await made.aclose()


Answerer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RawServer:
    """A socket server that reads one request and writes what it is told, to the byte."""

    origin: str = ""
    requests: list[bytes] = field(default_factory=list)
    answer: Answerer | None = None

    def says(self, status: int, body: bytes, *headers: str) -> None:
        lines = [f"HTTP/1.1 {status} X", "content-type: application/json", f"content-length: {len(body)}", *headers]
        self.sends("\r\n".join([*lines, "connection: close", "", ""]).encode() + body)

    def sends(self, raw: bytes) -> None:
        async def answer(writer: asyncio.StreamWriter) -> None:
            writer.write(raw)
            await writer.drain()

        self.answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
            )
            self.requests.append(head + await reader.readexactly(length))
            if self.answer is not None:
                await self.answer(writer)
        finally:
            writer.close()


@pytest.fixture
async def raw_server() -> AsyncIterator[RawServer]:
    server = RawServer()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.origin = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener:
        yield server


@pytest.fixture
async def raw_planners(raw_server: RawServer, tmp_path: Path) -> AsyncIterator[Planners]:
    made = planners_at(raw_server.origin, tmp_path)
    yield made
    await made.aclose()
