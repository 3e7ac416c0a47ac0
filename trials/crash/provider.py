"""The outside world of the crash matrix: an HTTP server on loopback with a SQLite file of its own, which counts.

It shares no code with the runtime. What it does with the next requests about a reference is scripted per reference::

    answer         take it and answer               hold_lost      take nothing, hold, then drop the connection
    no             a definite no (422)              hold_applied   take it, and hold the answer until it is released
    big            take it; the answer has 300 kB   odd            take it; the tool makes an object of the answer

    POST /do/KIND/REF     {"key", "value", "version"}      GET  /find/REF?key=K    was it taken? (probe)
    PUT  /script/REF      ["hold_lost", "answer"]          GET  /taken/REF         returns once a request is held
    POST /release/REF     {"how": "answer" | "drop"}       POST /foreign/REF       somebody else changes the value
    GET  /counts/REF      {"requests", "applied", "probes"}

Run as ``python -m trials.crash.provider FILE``; the first line on standard output is the port.
"""

import asyncio
import contextlib
import sqlite3
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from aiohttp import web

BIG_BYTES = 300_000

_TABLES = """
CREATE TABLE requests (ref TEXT, kind TEXT, key TEXT, behaviour TEXT);
CREATE TABLE applied (ref TEXT, key TEXT, who TEXT);
CREATE TABLE probes (ref TEXT, key TEXT);
CREATE TABLE saved (key TEXT PRIMARY KEY);
CREATE TABLE things (ref TEXT PRIMARY KEY, version INTEGER, value TEXT);
CREATE INDEX applied_ref ON applied (ref);
"""
_COUNTS = """
SELECT (SELECT count(*) FROM requests WHERE ref = :ref), (SELECT count(*) FROM applied WHERE ref = :ref AND who = 'us'),
       (SELECT count(*) FROM probes WHERE ref = :ref)
"""


class Books:
    """What was asked and what was done, in SQLite."""

    def __init__(self, file: Path) -> None:
        self._db = sqlite3.connect(file, isolation_level=None)
        self._db.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; {_TABLES}")

    def asked(self, ref: str, kind: str, key: str, behaviour: str) -> None:
        self._db.execute("INSERT INTO requests VALUES (?, ?, ?, ?)", (ref, kind, key, behaviour))

    def apply(self, ref: str, kind: str, wish: dict[str, Any]) -> bool:
        """Do what is asked, as a provider of this kind does; False: the precondition does not hold (412)."""
        match kind:
            case "keyed":
                return self._once(ref, wish["key"])
            case "idempotent":
                return self._set(ref, wish["key"], wish["value"], wish["version"])
            case "probed" | "unrepeatable" | "brief":
                self._count(ref, wish["key"])
        return True  # reads, and a transactional tool's look at the world, change nothing here

    def change(self, ref: str) -> None:
        """Let somebody else set the value."""
        version, _ = self._thing(ref)
        self._db.execute("INSERT OR REPLACE INTO things VALUES (?, ?, 'theirs')", (ref, version + 1))

    def found(self, ref: str, key: str) -> bool:
        self._db.execute("INSERT INTO probes VALUES (?, ?)", (ref, key))
        row = self._db.execute("SELECT 1 FROM applied WHERE ref = ? AND key = ?", (ref, key)).fetchone()
        return row is not None

    def counts(self, ref: str) -> dict[str, int]:
        requests, applied, probes = self._db.execute(_COUNTS, {"ref": ref}).fetchone()
        return {"requests": requests, "applied": applied, "probes": probes}

    def _once(self, ref: str, key: str) -> bool:
        if self._db.execute("INSERT OR IGNORE INTO saved VALUES (?)", (key,)).rowcount:
            self._count(ref, key)
        return True

    def _set(self, ref: str, key: str, value: str, version: int) -> bool:
        """Set a value under If-Match. A server may answer 2xx when it is as asked for already (RFC 9110, 13.1.1)."""
        found, now = self._thing(ref)
        if found != version:
            return now == value
        self._db.execute("INSERT OR REPLACE INTO things VALUES (?, ?, ?)", (ref, version + 1, value))
        self._count(ref, key)
        return True

    def _thing(self, ref: str) -> tuple[int, str]:
        row = self._db.execute("SELECT version, value FROM things WHERE ref = ?", (ref,)).fetchone()
        return (row[0], row[1]) if row else (0, "")

    def _count(self, ref: str, key: str) -> None:
        self._db.execute("INSERT INTO applied VALUES (?, ?, 'us')", (ref, key))


class Provider:
    """The handlers. A held request waits in memory; a script is used up from its front, then everything is answered."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._scripts: dict[str, list[str]] = defaultdict(list)
        self._taken: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._released: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._how: dict[str, str] = {}

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/do/{kind}/{ref}", self.do)
        app.router.add_get("/find/{ref}", self.find)
        app.router.add_put("/script/{ref}", self.script)
        app.router.add_get("/taken/{ref}", self.taken)
        app.router.add_post("/release/{ref}", self.release)
        app.router.add_post("/foreign/{ref}", self.foreign)
        app.router.add_get("/counts/{ref}", self.counts)
        return app

    async def do(self, request: web.Request) -> web.StreamResponse:
        ref, kind, wish = request.match_info["ref"], request.match_info["kind"], await request.json()
        script = self._scripts[ref]
        behaviour = script.pop(0) if script else "answer"
        self._books.asked(ref, kind, wish["key"], behaviour)
        match behaviour:
            case "no":
                return web.json_response({"error": "not possible"}, status=422)
            case "hold_lost":
                await self._hold(ref)
                return _dropped(request)
        if not self._books.apply(ref, kind, wish):
            return web.json_response({"error": "changed meanwhile"}, status=412)
        if behaviour == "hold_applied" and await self._hold(ref) == "drop":
            return _dropped(request)
        return web.json_response(_answer(behaviour, wish["key"]))

    async def _hold(self, ref: str) -> str:
        self._taken[ref].set()
        await self._released[ref].wait()
        return self._how[ref]

    async def find(self, request: web.Request) -> web.Response:
        return web.json_response({"found": self._books.found(request.match_info["ref"], request.query["key"])})

    async def script(self, request: web.Request) -> web.Response:
        self._scripts[request.match_info["ref"]] = await request.json()
        return web.Response()

    async def taken(self, request: web.Request) -> web.Response:
        await self._taken[request.match_info["ref"]].wait()
        return web.Response()

    async def release(self, request: web.Request) -> web.Response:
        ref = request.match_info["ref"]
        self._how[ref] = (await request.json())["how"]
        self._released[ref].set()
        return web.Response()

    async def foreign(self, request: web.Request) -> web.Response:
        self._books.change(request.match_info["ref"])
        return web.Response()

    async def counts(self, request: web.Request) -> web.Response:
        return web.json_response(self._books.counts(request.match_info["ref"]))


def _answer(behaviour: str, key: str) -> dict[str, Any]:
    match behaviour:
        case "big":
            return {"id": key, "text": "x" * BIG_BYTES}
        case "odd":
            return {"id": key, "odd": True}
    return {"id": key}


def _dropped(request: web.Request) -> web.StreamResponse:
    """Close the connection without a word."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def serve(file: Path) -> None:
    """Serve until standard input ends, which is when whoever started us is gone."""
    runner = web.AppRunner(Provider(Books(file)).application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    with contextlib.suppress(asyncio.CancelledError):
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
