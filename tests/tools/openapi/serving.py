"""Real HTTP servers on loopback: the billing service with faults, and services that answer as a test says."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from core.ports import Tool
from demo.billing import Book, application, example
from tools.openapi.loading import LoadedSource, load_source
from tools.openapi.tables import Source

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
BILLING = Path(__file__).parent.parent.parent.parent / "agents" / "billing_desk"
TOKEN = "t0ken-of-the-billing-desk"
CONTRACTS: dict[str, Any] = {
    "createRefund": {"effect": "keyed", "key_window": "24h", "timeout": "5s"},
    "createCredit": {
        "effect": "probed",
        "key": "reference",
        "settle_time": "2s",
        "timeout": "5s",
        "probe": {
            "operation": "listCredits",
            "args": {"customer": "$args/customer"},
            "found": "/data",
            "where": {"/reference": "$key"},
            "more": "/has_more",
        },
        "undo": {"operation": "withdrawCredit", "args": {"credit_id": "$result/id"}},
    },
    "withdrawCredit": {"effect": "idempotent", "timeout": "5s"},
    "setNote": {
        "timeout": "5s",
        "verify": {
            "operation": "getInvoice",
            "args": {"invoice_id": "$args/invoice_id"},
            "where": {"/note": "$args/note"},
        },
    },
}


@dataclass
class Faults:
    """What happens to the next writes: ``lost`` and ``busy`` before it is applied, else after it."""

    script: list[str] = field(default_factory=list)
    requests: list[web.Request] = field(default_factory=list)

    @web.middleware
    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.requests.append(request)
        fate = self.script.pop(0) if self.script and request.method != "GET" else "ok"
        match fate:
            case "lost":
                return _hang_up(request)
            case "busy":
                return web.Response(status=429, headers={"Retry-After": "1"})
        response = await handler(request)
        match fate:
            case "answer_lost":
                return _hang_up(request)
            case "broken":
                return web.Response(status=500, text="something broke")
        return response


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """Serve until the end of the block; yields the address."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@dataclass
class Billing:
    """The billing service, and the tools that its document makes."""

    book: Book
    faults: Faults
    source: LoadedSource

    @property
    def tools(self) -> dict[str, Tool]:
        return {**self.source.tools, **self.source.undos}

    @property
    def writes(self) -> int:
        return sum(request.method != "GET" for request in self.faults.requests)


@asynccontextmanager
async def billing(**changes: Any) -> AsyncIterator[Billing]:
    """Serve the example's service and load its document; `changes` go into the table."""
    book, faults = example(TOKEN), Faults()
    async with serving(application(book, faults.__call__)) as address:
        source = loaded(address, BILLING, **{"spec": "billing.yaml", "contracts": CONTRACTS, **changes})
        try:
            yield Billing(book, faults, source)
        finally:
            await source.aclose()


def loaded(address: str, folder: Path, **changes: Any) -> LoadedSource:
    table = {
        "name": "billing",
        "spec": "api.json",
        "base_url": address,
        "private_addresses": ["127.0.0.1"],
        "auth": {"bearer_env": "BILLING_TOKEN"},
        "idempotency_header": "Idempotency-Key",
    }
    return load_source(Source.model_validate(table | changes), folder, {"BILLING_TOKEN": TOKEN})
