"""A reverse proxy before the payment provider that can hold back the answer to a refund which was already taken.

So the doubt in the demo is real: the money has moved, and whoever asked for it will never hear of it.
"""

import asyncio
import json
from datetime import timedelta
from typing import Self

import aiohttp
from aiohttp import web

from core.errors import LastmileError
from core.record import Json

_PER_CONNECTION = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding"})
"""Headers that belong to one connection (RFC 9110, 7.6.1), and those that no longer fit a body which was decoded."""


class NothingTaken(LastmileError):
    """No refund reached the provider in time."""


class Hold:
    """One refund to be held: wait until the provider has taken it, then drop the answer."""

    def __init__(self) -> None:
        self._taken: asyncio.Future[dict[str, Json]] = asyncio.get_running_loop().create_future()
        self._dropped = asyncio.Event()

    async def taken(self, within: timedelta) -> dict[str, Json]:
        """Wait until the provider has taken the refund; return it as it answered. Raises NothingTaken."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._taken), within.total_seconds())
        except TimeoutError as error:
            raise NothingTaken(f"no refund reached the payment provider within {within}") from error

    def drop(self) -> None:
        """Close the connection that waits for the answer, without an answer."""
        self._dropped.set()

    async def keep(self, refund: dict[str, Json]) -> None:
        """Hold the answer until it is to be dropped (the proxy's side)."""
        self._taken.set_result(refund)
        await self._dropped.wait()


class HoldingProxy:
    """Forward everything from `url` to `upstream`; the first successful refund after `hold_next_refund` is held."""

    def __init__(self, upstream: str) -> None:
        self.upstream, self.url = upstream, ""
        self._waiting: Hold | None = None
        self._holding: Hold | None = None

    async def start(self) -> Self:
        """Listen on a free port of 127.0.0.1."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._forward)
        self._session = aiohttp.ClientSession(auto_decompress=True)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    def hold_next_refund(self) -> Hold:
        """Hold the answer to the next refund that the provider takes; only that one."""
        self._waiting = Hold()
        return self._waiting

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _PER_CONNECTION}
        body = await request.read()
        async with self._session.request(
            request.method, f"{self.upstream}{request.rel_url}", headers=headers, data=body, allow_redirects=False
        ) as answer:
            payload = await answer.read()
        if request.path == "/v1/refunds" and request.method == "POST" and answer.ok:
            await self._hold_back(request, payload)
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _PER_CONNECTION}
        return web.Response(status=answer.status, headers=kept, body=payload)

    async def _hold_back(self, request: web.Request, payload: bytes) -> None:
        hold, self._waiting = self._waiting, None
        if hold is None:
            return
        self._holding = hold
        await hold.keep(json.loads(payload))
        if request.transport is not None:
            request.transport.abort()

    async def stop(self) -> None:
        """Drop what is held and stop listening."""
        if self._holding is not None:
            self._holding.drop()
        await self._runner.cleanup()
        await self._session.close()
