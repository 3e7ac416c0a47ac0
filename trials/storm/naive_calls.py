"""What the naive baselines do in an activity: the storm's bank calls, straight or behind a table with one state.

The table is how idempotency is often built: an entry is made before the call ("in progress") and marked after it
("done"). What is found in progress may have been applied or not; when it is old enough it is simply made again.
"""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from temporalio import activity
from temporalio.exceptions import ApplicationError

from trials.storm.truth import EffectTruth, Kind

STALE_S = 2.5
"""Seconds after which an entry in progress is taken for abandoned."""

_REQUEST_S = 1.3
_WORTH_TRYING_AGAIN = (408, 409, 425, 429)
_LOCKED_S = 10.0


@dataclass(frozen=True)
class Bank:
    """Makes effects. ``url``: of the bank; ``database``: the file of the tools' own database."""

    url: str
    database: Path

    @activity.defn(name="transfer")
    async def transfer(self, effect: EffectTruth) -> str:
        """Make an effect, and say what was answered. A definite no is not tried again, anything else is."""
        key = f"{activity.info().workflow_id}/{effect.memo}"
        if effect.kind is Kind.TRANSACTIONAL:
            await asyncio.to_thread(self._book, effect)
            return "booked"
        return await self._send(effect, key)

    def _book(self, effect: EffectTruth) -> None:
        with closing(sqlite3.connect(self.database, timeout=_LOCKED_S)) as db, db:
            row = (effect.memo, effect.account, effect.amount_cents, time.time())
            db.execute("insert into transfers (memo, account, amount_cents, at) values (?, ?, ?, ?)", row)

    async def _send(self, effect: EffectTruth, key: str) -> str:
        method, path = _place(effect)
        wish = {"memo": effect.memo, "account": effect.account, "amount_cents": effect.amount_cents}
        headers = {"Idempotency-Key": key, "If-Match": '"0"'}
        session = aiohttp.ClientSession(self.url, timeout=aiohttp.ClientTimeout(total=_REQUEST_S))
        async with session, session.request(method, path, json=wish, headers=headers) as answer:
            if 400 <= answer.status < 500 and answer.status not in _WORTH_TRYING_AGAIN:
                raise ApplicationError(f"HTTP {answer.status}", type="refused", non_retryable=True)
            answer.raise_for_status()
            await answer.json()
            return str(answer.status)


@dataclass(frozen=True)
class Table:
    """Makes effects behind a table in a file: what is done is not made again."""

    bank: Bank
    file: Path

    @activity.defn(name="transfer")
    async def transfer(self, effect: EffectTruth) -> str:
        """Make an effect unless it is done; one in progress is left alone until it is stale."""
        if (done := await asyncio.to_thread(self._enter, effect.memo)) is not None:
            return done
        answer = await self.bank.transfer(effect)
        await asyncio.to_thread(self._finish, effect.memo, answer)
        return answer

    def prepare(self) -> None:
        """Make the table."""
        with closing(sqlite3.connect(self.file)) as db, db:
            db.execute("pragma journal_mode=wal")
            db.execute("create table if not exists calls (memo text primary key, state text, answer text, at real)")

    def _enter(self, memo: str) -> str | None:
        """Make or take over an entry; return the answer of one that is done. Raises while it is in progress."""
        now = time.time()
        with closing(sqlite3.connect(self.file, timeout=_LOCKED_S, isolation_level=None)) as db:
            db.execute("begin immediate")
            state, answer, at = db.execute(
                "select state, answer, at from calls where memo = ?", (memo,)
            ).fetchone() or (
                "new",
                None,
                0.0,
            )
            if state == "in progress" and now < at + STALE_S:
                raise ApplicationError(f"{memo} is in progress", type="in_progress")
            if state != "done":
                db.execute("insert or replace into calls values (?, 'in progress', null, ?)", (memo, now))
            db.execute("commit")
            return str(answer) if state == "done" else None

    def _finish(self, memo: str, answer: str) -> None:
        with closing(sqlite3.connect(self.file, timeout=_LOCKED_S)) as db, db:
            db.execute("update calls set state = 'done', answer = ? where memo = ?", (answer, memo))


Transfer = Callable[[EffectTruth], Awaitable[str]]


def _place(effect: EffectTruth) -> tuple[str, str]:
    match effect.kind:
        case Kind.KEYED:
            return "POST", "/keyed"
        case Kind.PROBED:
            return "POST", "/probed"
        case Kind.UNREPEATABLE:
            return "POST", "/plain"
        case Kind.IDEMPOTENT:
            return "PUT", f"/idempotent/{effect.memo}"
        case Kind.TRANSACTIONAL:
            raise AssertionError("not at the bank")
