"""The other side of a trial: an HTTP server on loopback that counts every request apart from the runtime.

It honours no key unless asked to, so a call that is sent twice is seen twice. A gate that is closed holds answers.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

LIMIT_S = 60.0
"""Seconds that a fact may take to come true before a trial gives up."""

MODEL_PATH = "/v1/chat/completions"


class Missed(Exception):
    """A fact that a trial waited for did not come true in time; the text says which."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request that arrived. `at`: seconds of the monotonic clock; `what`: the kind of call; `pid`: who sent it."""

    at: float
    what: str
    task: str
    key: str
    pid: int


@dataclass(slots=True)
class Counter:
    """What arrived, in order. ``plan``: what the model answers; ``keyed``: kinds whose key is honoured.

    A kind in ``gates`` is not answered before its event is set. ``denials``: how often a kind is answered "no" for each
    task before it says yes.
    """

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    keyed: frozenset[str] = frozenset()
    denials: dict[str, int] = field(default_factory=dict)
    plan: str = "{}"
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def arrived(self, what: str, task: str | None = None) -> list[Request]:
        """Return the requests of a kind (of a task)."""
        return [one for one in self.requests if one.what == what and task in (None, one.task)]

    def applied(self, what: str, task: str | None = None) -> int:
        """Count applications: one for each key of a kind that honours it, else one for each request."""
        arrived = self.arrived(what, task)
        return len({one.key for one in arrived}) if what in self.keyed else len(arrived)

    async def until(self, holds: Callable[[], bool], what: str, limit_s: float = LIMIT_S) -> None:
        """Wait until a fact about the requests is true. Raises Missed."""
        try:
            async with asyncio.timeout(limit_s):
                while not holds():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise Missed(f"{what}: not within {limit_s:g} s") from None

    async def nth(self, what: str, task: str, number: int, limit_s: float = LIMIT_S) -> Request:
        """Wait for the `number`-th request (from 1) of a kind and task. Raises Missed."""
        await self.until(
            lambda: len(self.arrived(what, task)) >= number, f"request {number} of {what}, {task}", limit_s
        )
        return self.arrived(what, task)[number - 1]

    async def take(self, request: web.Request) -> web.Response:
        """Count a tool's request, and answer when the gate is open."""
        body = await request.json()
        one = Request(time.monotonic(), body["what"], body["task"], body["key"], body["pid"])
        self._count(one)
        await self._gate(one.what)
        number = len(self.arrived(one.what, one.task))
        return web.json_response({"number": number, "ok": number > self.denials.get(one.what, 0)})

    async def propose(self, _request: web.Request) -> web.Response:
        """Count a planning call, and answer as OpenAI's chat API does when the gate is open."""
        self._count(Request(time.monotonic(), "plan", "", "", 0))
        await self._gate("plan")
        message = {"role": "assistant", "content": self.plan}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        body = {"id": "chat-1", "object": "chat.completion", "created": 0, "model": "trial", "choices": [choice]}
        return web.json_response(body)

    def _count(self, one: Request) -> None:
        self.requests.append(one)
        self._news.set()

    async def _gate(self, what: str) -> None:
        if gate := self.gates.get(what):
            await gate.wait()


@asynccontextmanager
async def counting(**options: Any) -> AsyncIterator[Counter]:
    """Serve a counter on a free port of 127.0.0.1 for as long as the block lasts."""
    counter = Counter(**options)
    app = web.Application(client_max_size=128 * 1024 * 1024)
    app.add_routes([web.post("/count", counter.take), web.post(MODEL_PATH, counter.propose)])
    runner = web.AppRunner(app, shutdown_timeout=0.5, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=2048)
        await site.start()
        counter.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield counter
    finally:
        for gate in counter.gates.values():
            gate.set()
        await runner.cleanup()
