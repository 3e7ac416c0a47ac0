"""A reverse proxy that lets a request be carried out and then loses its answer."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from yarl import URL

_PER_CONNECTION = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host"})
"""Headers that belong to one connection (RFC 9110, 7.6.1), or to the server that is asked."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A write that was carried out. `number`: from 1; `port`: from which port of 127.0.0.1 it came."""

    number: int
    port: int


Watcher = Callable[[Committed], Awaitable[None]]


async def nobody(_write: Committed) -> None:
    """Watch nothing."""


@dataclass(slots=True)
class LosingProxy:
    """Forwards from `url` to `upstream`. ``share``: of all answers that are lost, as the dice fall.

    ``watcher`` is told of every successful write before its answer goes back.
    """

    upstream: str
    share: float
    dice: random.Random
    watcher: Watcher = nobody
    url: str = ""
    answers: int = 0
    writes: int = 0
    lost: int = 0
    lost_writes: int = 0
    _session: aiohttp.ClientSession = field(init=False)

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """Have a request carried out, and answer it, or not."""
        port = _port_of(request)  # asked for now: a client that is killed meanwhile has none any more
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _PER_CONNECTION}
        address = URL(f"{self.upstream}{request.raw_path}", encoded=True)
        async with self._session.request(request.method, address, headers=headers, data=await request.read()) as answer:
            body = await answer.read()
        await self._count(request, port, is_write=answer.ok and request.method != "GET")
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _PER_CONNECTION}
        return web.Response(status=answer.status, headers=kept, body=body)

    async def _count(self, request: web.Request, port: int, *, is_write: bool) -> None:
        self.answers += 1
        is_lost = self.dice.random() < self.share
        self.lost += is_lost
        if is_write:
            self.writes += 1
            self.lost_writes += is_lost
            await self.watcher(Committed(self.writes, port))
        if is_lost and request.transport is not None:
            request.transport.abort()

    async def serve(self, runner: web.AppRunner) -> None:
        """Listen on a free port of 127.0.0.1."""
        # a connection for each request: on one that broke, aiohttp would send a PUT a second time by itself
        plain = aiohttp.TCPConnector(force_close=True)
        self._session = aiohttp.ClientSession(connector=plain, auto_decompress=False)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def close(self) -> None:
        """Let go of the connections to the server."""
        await self._session.close()


def _port_of(request: web.Request) -> int:
    return int(request.transport.get_extra_info("peername")[1]) if request.transport is not None else 0


@asynccontextmanager
async def losing(upstream: str, share: float, seed: int) -> AsyncIterator[LosingProxy]:
    """Serve a proxy for as long as the block lasts."""
    proxy = LosingProxy(upstream, share, random.Random(seed))  # noqa: S311 - to be repeated, not to be secret
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", proxy.forward)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await proxy.serve(runner)
    try:
        yield proxy
    finally:
        await runner.cleanup()
        await proxy.close()
