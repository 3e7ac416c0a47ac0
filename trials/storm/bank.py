"""The bank: the world that the storm's effects go to. A process of its own, with its own book and its own faults.

``python -m trials.storm.bank --port P --db FILE --seed S --faults RATE`` serves on 127.0.0.1 until SIGTERM::

    POST /keyed               honours Idempotency-Key: the saved answer again, 422 for another body, 409 while under way
    POST /probed              knows no keys            GET /probed?memo=M       {"found": {...}} or {"found": null}
    PUT  /idempotent/M        If-Match: VERSION, 412   GET /idempotent/M        the value and its version (0 = none)
    POST /plain               knows no keys, cannot be asked
    GET  /keyed?key=K         {"found": {...}} or {"found": null}
    GET  /accounts/A          {"account", "fee_cents", "open"}
    GET  /admin/ready         200
    GET  /admin/applications  the whole book, or ?memo=M of it     GET /admin/faults  how often each fault struck

Writes carry {"memo", "account", "amount_cents"}; a closed account is a 422. /probed and /plain keep a promise: where a
client says until when it waits (header Deadline, seconds since 1970), nothing is applied later than SETTLE_S after it.
"""

import argparse
import asyncio
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from trials.storm.bank_answers import SETTLE_S, afterwards, deadline_of, instead, lateness_s, no, wish_of
from trials.storm.bank_book import Book, Wish
from trials.storm.bank_faults import Fault, Strike, Weather
from trials.storm.truth import CLOSED_PREFIX, Kind, fee_cents

Apply = Callable[[], web.Response]


class Bank:
    """All that the bank does. ``book``: where it is written down; ``weather``: what goes wrong."""

    def __init__(self, book: Book, weather: Weather) -> None:
        self._book = book
        self._weather = weather
        self._under_way: set[str] = set()

    def app(self) -> web.Application:
        """Return the bank as an application."""
        app = web.Application(client_max_size=64_000)
        app.router.add_post("/keyed", self.keyed)
        app.router.add_get("/keyed", self.find_key)
        app.router.add_post("/probed", self.probed)
        app.router.add_get("/probed", self.find_memo)
        app.router.add_put("/idempotent/{memo}", self.idempotent)
        app.router.add_get("/idempotent/{memo}", self.find_limit)
        app.router.add_post("/plain", self.plain)
        app.router.add_get("/accounts/{account}", self.account)
        app.router.add_get("/admin/ready", self.ready)
        app.router.add_get("/admin/applications", self.applications)
        app.router.add_get("/admin/faults", self.faults)
        return app

    # ------------------------------------------------------------------------------------------------- writes

    async def keyed(self, request: web.Request) -> web.Response:
        """Apply once per key."""
        wish, key = await wish_of(request), _key(request)
        if not key:
            return no(400, "no_key", "send an Idempotency-Key")
        if key in self._under_way:
            return no(409, "key_under_way", "a request with this key is being processed")
        self._under_way.add(key)
        try:
            return await self._serve(request, wish, lambda: self._apply_keyed(wish, key))
        finally:
            self._under_way.discard(key)

    async def probed(self, request: web.Request) -> web.Response:
        """Apply; whoever sends twice has it twice, but may ask before."""
        return await self._unguarded(request, Kind.PROBED)

    async def plain(self, request: web.Request) -> web.Response:
        """Apply; whoever sends twice has it twice."""
        return await self._unguarded(request, Kind.UNREPEATABLE)

    async def idempotent(self, request: web.Request) -> web.Response:
        """Set a value whose version the client knows."""
        wish, key = await wish_of(request), _key(request)
        version = request.headers.get("If-Match", "").strip('"')
        if not version.isdecimal() or wish.memo != request.match_info["memo"]:
            return no(400, "bad_request", "send If-Match with the version, and the same memo in path and body")
        return await self._serve(request, wish, lambda: self._set_limit(wish, key, int(version)))

    async def _unguarded(self, request: web.Request, kind: Kind) -> web.Response:
        wish, key = await wish_of(request), _key(request)

        def apply() -> web.Response:
            if time.time() > deadline_of(request) + SETTLE_S:
                return no(503, "too_late", "the client has long stopped waiting; nothing was applied")
            return web.json_response(self._book.apply(wish, kind, key))

        return await self._serve(request, wish, apply)

    def _apply_keyed(self, wish: Wish, key: str) -> web.Response:
        if (saved := self._book.saved(key)) is None:
            return web.json_response(self._book.apply_keyed(wish, key))
        if saved.asked != wish:
            return no(422, "key_reused", "this key was used for another request")
        return web.json_response(saved.answer)

    def _set_limit(self, wish: Wish, key: str, version: int) -> web.Response:
        done = self._book.set_limit(wish, key, version)
        return no(412, "precondition_failed", "it has another version") if done is None else web.json_response(done)

    async def _serve(self, request: web.Request, wish: Wish, apply: Apply) -> web.Response:
        """Apply a write, or not, and answer, or not: as the weather wants it."""
        strike = self._weather.on_write(wish.memo)
        self._note(strike, wish.memo)
        if (answer := instead(request, strike)) is not None:
            return answer
        if strike.fault is Fault.LATE:
            await asyncio.sleep(lateness_s(request, strike))
        if wish.account.startswith(CLOSED_PREFIX):
            answer = no(422, "account_closed", f"account {wish.account} is closed")
        else:
            answer = apply()
        return await afterwards(request, strike, answer)

    # -------------------------------------------------------------------------------------------------- reads

    async def find_key(self, request: web.Request) -> web.Response:
        """Tell what was answered under a key."""
        key = request.query.get("key", "")

        def found() -> Any:
            saved = self._book.saved(key)
            return {"found": None if saved is None else saved.answer}

        return await self._read(request, f"key {key}", found)

    async def find_memo(self, request: web.Request) -> web.Response:
        """Tell what was applied under a memo, the first one if there are several."""
        memo = request.query.get("memo", "")

        def found() -> Any:
            return {"found": next(iter(self._book.applications(memo)), None)}

        return await self._read(request, f"memo {memo}", found)

    async def find_limit(self, request: web.Request) -> web.Response:
        """Tell what is set under a memo."""
        memo = request.match_info["memo"]

        def found() -> Any:
            return self._book.limit(memo)

        return await self._read(request, f"limit {memo}", found)

    async def account(self, request: web.Request) -> web.Response:
        """Tell what is known of an account."""
        name = request.match_info["account"]

        def found() -> Any:
            return {"account": name, "fee_cents": fee_cents(name), "open": not name.startswith(CLOSED_PREFIX)}

        return await self._read(request, f"account {name}", found)

    async def _read(self, request: web.Request, what: str, find: Callable[[], Any]) -> web.Response:
        strike = self._weather.on_read(what)
        self._note(strike, what)
        if (answer := instead(request, strike)) is not None:
            return answer
        return await afterwards(request, strike, web.json_response(find()))

    def _note(self, strike: Strike, what: str) -> None:
        if strike.fault is not None:
            self._book.note(strike.fault, what, strike.number)

    # -------------------------------------------------------------------------------------------------- admin

    async def ready(self, _: web.Request) -> web.Response:
        """Say that the bank is open."""
        return web.json_response({"ready": True})

    async def applications(self, request: web.Request) -> web.Response:
        """Show the book, to those who may look into it."""
        return web.json_response(self._book.applications(request.query.get("memo")))

    async def faults(self, _: web.Request) -> web.Response:
        """Count the faults that struck."""
        return web.json_response(self._book.faults())


def _key(request: web.Request) -> str:
    return request.headers.get("Idempotency-Key", "")[:200]


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; 2 when the arguments cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m trials.storm.bank", description="A bank that misbehaves.")
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1")
    parser.add_argument("--db", type=Path, required=True, help="the book: an SQLite file")
    parser.add_argument("--seed", type=int, default=0, help="decides which request is struck by which fault")
    parser.add_argument("--faults", type=float, default=0.0, help="how likely a write is struck, 0 to 1 (default: 0)")
    given = parser.parse_args(argv)
    if not 0.0 <= given.faults <= 1.0:
        parser.error(f"--faults is a probability from 0 to 1, found {given.faults:g}")
    try:
        with Book(given.db) as book:
            app = Bank(book, Weather(given.seed, given.faults)).app()
            web.run_app(
                app,
                host="127.0.0.1",
                port=given.port,
                access_log=None,
                print=None,
                shutdown_timeout=1.0,
                handler_cancellation=False,  # what is late is applied though its client has gone
            )
    except (OSError, sqlite3.Error, OverflowError) as error:
        sys.stderr.write(f"error: the bank cannot serve on port {given.port} with {given.db}: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
