"""The shop over streamable HTTP, on loopback: one JSON answer per request, sessions, and faults before and after."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.tools.mcp.shop import Shop


class HttpShop:
    """`tokens`: who may call. Sessions are forgotten by `forget`."""

    def __init__(self, folder: Path, token: str = "") -> None:
        self.shop = Shop(folder)
        self.token = token
        self.sessions: set[str] = set()
        self.url = ""

    def forget(self) -> None:
        self.sessions.clear()

    async def post(self, request: web.Request) -> web.StreamResponse:
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return web.Response(status=401, text="who are you?")
        message: dict[str, Any] = await request.json()
        if message.get("method") == "initialize":
            self.sessions.add(session := f"s{len(self.sessions)}")
            return web.json_response(self.shop.answer(message), headers={"mcp-session-id": session})
        if request.headers.get("mcp-session-id") not in self.sessions:
            return web.Response(status=404, text="no such session")
        match self.shop.answer(message):
            case None:
                return web.Response(status=202)
            case {"fate": fate}:
                return await self._carry_out(request, fate)
            case {"instead": line}:
                return web.Response(text=line, content_type="application/json")
            case answer:
                return web.json_response(answer)

    async def _carry_out(self, request: web.Request, fate: str) -> web.StreamResponse:
        if fate.startswith("http_"):
            return web.Response(status=int(fate.removeprefix("http_")), text="so it is", headers={"retry-after": "2"})
        if fate == "events_cut":
            response = web.StreamResponse(headers={"content-type": "text/event-stream"})
            await response.prepare(request)
            await response.write(b": here it comes\n\n")
        assert request.transport is not None
        request.transport.abort()
        return web.Response()


@asynccontextmanager
async def http_shop(folder: Path, token: str = "", port: int = 0) -> AsyncIterator[HttpShop]:
    folder.mkdir(exist_ok=True)
    shop = HttpShop(folder, token)
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/mcp", shop.post)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    shop.url = f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"
    try:
        yield shop
    finally:
        await runner.cleanup()
