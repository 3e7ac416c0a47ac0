"""A small billing service on loopback, as `agents/billing_desk/billing.yaml` describes it: ``python -m demo.billing``.

Refunds are made once per Idempotency-Key, notes are written against a version, and credits know neither.
"""

import argparse
import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

PORT = 8310
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Invoice:
    """What was paid, and what of it went back. `version` counts changes."""

    id: str
    customer: str
    paid_cents: int
    refunded_cents: int = 0
    note: str = ""
    version: int = 1

    def shown(self) -> dict[str, Any]:
        """Write it as the document says."""
        return {**vars(self), "version": f'"{self.version}"'}


@dataclass
class Book:
    """Everything that the service knows, in memory. `answered`: what was answered to each idempotency key."""

    token: str = ""
    invoices: dict[str, Invoice] = field(default_factory=dict)
    refunds: list[dict[str, Any]] = field(default_factory=list)
    credits: list[dict[str, Any]] = field(default_factory=list)
    answered: dict[str, tuple[Any, dict[str, Any]]] = field(default_factory=dict)


def example(token: str = "") -> Book:
    """Make a book with two invoices."""
    invoices = [Invoice("INV-7", "ana", 12_000), Invoice("INV-8", "ben", 4_500)]
    return Book(token=token, invoices={one.id: one for one in invoices})


def application(book: Book, *middlewares: Any) -> web.Application:
    """Serve a book; `middlewares` stand before everything."""
    service = _Service(book)
    app = web.Application(middlewares=[*middlewares, service.authenticate])
    app.add_routes(
        [
            web.get("/invoices/{invoice_id}", service.get_invoice),
            web.put("/invoices/{invoice_id}/note", service.set_note),
            web.post("/refunds", service.create_refund),
            web.get("/credits", service.list_credits),
            web.post("/credits", service.create_credit),
            web.delete("/credits/{credit_id}", service.withdraw_credit),
        ]
    )
    return app


class _Service:
    """The handlers."""

    def __init__(self, book: Book) -> None:
        self._book = book

    @web.middleware
    async def authenticate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._book.token and request.headers.get("Authorization") != f"Bearer {self._book.token}":
            return _problem(401, "who is asking?")
        return await handler(request)

    async def get_invoice(self, request: web.Request) -> web.Response:
        return web.json_response(self._invoice(request.match_info["invoice_id"]).shown())

    async def set_note(self, request: web.Request) -> web.Response:
        invoice, body = self._invoice(request.match_info["invoice_id"]), await request.json()
        if request.headers.get("If-Match") != f'"{invoice.version}"':
            return _problem(412, "the invoice was changed meanwhile")
        invoice.note, invoice.version = str(body["note"]), invoice.version + 1
        return web.json_response(invoice.shown())

    async def create_refund(self, request: web.Request) -> web.Response:
        body, key = await request.json(), request.headers.get("Idempotency-Key", "")
        if key in self._book.answered:
            said, answer = self._book.answered[key]
            return (
                web.json_response(answer, status=201) if said == body else _problem(422, "another body under this key")
            )
        invoice = self._invoice(body["invoice_id"])
        if invoice.refunded_cents + body["amount_cents"] > invoice.paid_cents:
            return _problem(422, "more than was paid")
        invoice.refunded_cents, invoice.version = invoice.refunded_cents + body["amount_cents"], invoice.version + 1
        refund = {"id": f"re_{len(self._book.refunds) + 1}", **body}
        self._book.refunds.append(refund)
        if key:
            self._book.answered[key] = body, refund
        return web.json_response(refund, status=201)

    async def list_credits(self, request: web.Request) -> web.Response:
        found = [one for one in self._book.credits if one["customer"] == request.query["customer"]]
        return web.json_response({"data": found, "has_more": False})

    async def create_credit(self, request: web.Request) -> web.Response:
        credit = {"id": f"cr_{len(self._book.credits) + 1}", **await request.json()}
        self._book.credits.append(credit)
        return web.json_response(credit, status=201)

    async def withdraw_credit(self, request: web.Request) -> web.Response:
        credit_id = request.match_info["credit_id"]
        self._book.credits = [one for one in self._book.credits if one["id"] != credit_id]
        return web.Response(status=204)

    def _invoice(self, invoice_id: str) -> Invoice:
        if (invoice := self._book.invoices.get(invoice_id)) is None:
            raise web.HTTPNotFound(text=json.dumps({"error": f"there is no invoice {invoice_id}"}))
        return invoice


def _problem(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)


async def serve(token: str, port: int) -> None:
    """Serve the example's book on loopback until it is ended."""
    runner = web.AppRunner(application(example(token)))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(f"billing service at http://127.0.0.1:{port}; end it with Ctrl-C", flush=True)  # noqa: T201 - what people wait for
    await asyncio.Event().wait()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m demo.billing", description="A small billing service on loopback.")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument(
        "--token",
        default=os.environ.get("BILLING_TOKEN", ""),
        help="what callers have to send as bearer token (default: what BILLING_TOKEN says, else anything)",
    )
    given = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(given.token, given.port))


if __name__ == "__main__":
    main()
