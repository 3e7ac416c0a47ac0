"""A listener before the model's processes: hands each question to one that is free, and keeps what is answered.

So the naive way is judged by the very answers that the runtime got, and no answer is missed by either.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from aiohttp import web

_PATH = "/v1/chat/completions"
_MOST_S = 600.0


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer. `question`: the variable part of the prompt; `seconds`: of work; `is_cut`: whether at its limit."""

    question: str
    answer: str
    tokens: int
    seconds: float
    is_cut: bool


@dataclass(slots=True)
class Listener:
    """The listener at `url`. ``free``: addresses of processes that answer nobody now.

    `heard`: all complete answers, in their order.
    """

    free: asyncio.Queue[str]
    http: httpx.AsyncClient
    url: str = ""
    heard: list[Heard] = field(default_factory=list)

    def first(self, goal: str) -> str:
        """Return the first answer about a goal; "" when there was none."""
        wanted = json.dumps(goal)
        return next((one.answer for one in self.heard if wanted in one.question), "")

    async def pass_on(self, request: web.Request) -> web.Response:
        """Hand one request on, and keep its answer when it is one."""
        body = await request.read()
        model = await self.free.get()
        try:
            answer = await self.http.post(f"{model}{_PATH}", content=body, headers={"content-type": "application/json"})
        finally:
            self.free.put_nowait(model)
        if answer.is_success:
            self.heard.append(heard(json.loads(body), answer.json()))
        return web.Response(body=answer.content, status=answer.status_code, content_type="application/json")


def heard(asked: Mapping[str, Any], answered: Mapping[str, Any]) -> Heard:
    """Read a question and its answer, as llama.cpp writes it."""
    choice, timings = answered["choices"][0], answered["timings"]
    return Heard(
        question=asked["messages"][-1]["content"],
        answer=choice["message"].get("content") or "",
        tokens=timings["predicted_n"],
        seconds=(timings["prompt_ms"] + timings["predicted_ms"]) / 1000,
        is_cut=choice["finish_reason"] == "length",
    )


@asynccontextmanager
async def listening(models: Sequence[str]) -> AsyncIterator[Listener]:
    """Listen on a free port of 127.0.0.1 before processes at these addresses, for as long as the block lasts."""
    free: asyncio.Queue[str] = asyncio.Queue()
    for model in models:
        free.put_nowait(model)
    async with httpx.AsyncClient(timeout=_MOST_S) as http:
        listener = Listener(free, http)
        app = web.Application()
        app.add_routes([web.post(_PATH, listener.pass_on)])
        # whoever asks and leaves must not keep the model busy
        runner = web.AppRunner(app, shutdown_timeout=0.5, access_log=None, handler_cancellation=True)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            listener.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield listener
        finally:
            await runner.cleanup()
