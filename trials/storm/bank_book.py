"""The bank's book in SQLite: every application that was made, durably, before anybody is answered or cut off."""

import json
import sqlite3
import time
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from trials.storm.bank_faults import Fault
from trials.storm.truth import Kind, Part

_SCHEMA = """
    create table if not exists applications (
        id integer primary key, memo text not null, account text not null, amount_cents integer not null,
        kind text not null, key text not null, at real not null
    );
    create index if not exists applications_by_memo on applications (memo);
    create index if not exists applications_by_key on applications (key);
    create table if not exists answers (key text primary key, asked text not null, answer text not null);
    create table if not exists limits (
        memo text primary key, account text not null, amount_cents integer not null, version integer not null
    );
    create table if not exists strikes (
        fault text not null, memo text not null, number integer not null, at real not null
    );
"""

_APPLY = "insert into applications (memo, account, amount_cents, kind, key, at) values (?, ?, ?, ?, ?, ?)"
_APPLIED = "select memo, account, amount_cents, kind, key, at from applications order by id"
_APPLIED_UNDER = "select memo, account, amount_cents, kind, key, at from applications where memo = ? order by id"


class Wish(Part):
    """What a client wants applied. `amount_cents` below 0 takes money back."""

    memo: str = Field(min_length=1, max_length=100)
    account: str = Field(min_length=1, max_length=100)
    amount_cents: int


class Saved(Part):
    """What was answered under a key, and to what."""

    asked: Wish
    answer: dict[str, Any]


class Book:
    """One writer: every method runs to its end in the caller's thread, and has committed when it returns."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("pragma journal_mode=wal")
        self._db.execute("pragma synchronous=normal")
        self._db.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def apply(self, wish: Wish, kind: Kind, key: str) -> dict[str, Any]:
        """Write an application down, whatever was applied before; return what the client is told."""
        row = (wish.memo, wish.account, wish.amount_cents, kind, key, time.time())
        return {"id": self._db.execute(_APPLY, row).lastrowid, **wish.model_dump()}

    def apply_keyed(self, wish: Wish, key: str) -> dict[str, Any]:
        """Apply, and keep the answer under its key, in one transaction."""
        self._db.execute("begin immediate")
        answer = self.apply(wish, Kind.KEYED, key)
        self._db.execute("insert into answers values (?, ?, ?)", (key, wish.model_dump_json(), json.dumps(answer)))
        self._db.execute("commit")
        return answer

    def saved(self, key: str) -> Saved | None:
        """Return what was answered under a key."""
        row = self._db.execute("select asked, answer from answers where key = ?", (key,)).fetchone()
        return None if row is None else Saved(asked=Wish.model_validate_json(row[0]), answer=json.loads(row[1]))

    def set_limit(self, wish: Wish, key: str, version: int) -> dict[str, Any] | None:
        """Set a value if it still has the version that the client saw (0 = there is none); None: it has another."""
        if self.limit(wish.memo)["version"] != version:
            return None
        self._db.execute("begin immediate")
        answer = self.apply(wish, Kind.IDEMPOTENT, key)
        new = (wish.memo, wish.account, wish.amount_cents, version + 1)
        self._db.execute("insert or replace into limits values (?, ?, ?, ?)", new)
        self._db.execute("commit")
        return {**answer, "version": version + 1}

    def limit(self, memo: str) -> dict[str, Any]:
        """Return the value set under a memo; version 0: none was."""
        found = self._db.execute("select account, amount_cents, version from limits where memo = ?", (memo,)).fetchone()
        account, amount_cents, version = found or ("", 0, 0)
        return {"memo": memo, "account": account, "amount_cents": amount_cents, "version": version}

    def applications(self, memo: str | None = None) -> list[dict[str, Any]]:
        """Return what was applied, in order; of one memo, or all of it."""
        found = self._db.execute(_APPLIED) if memo is None else self._db.execute(_APPLIED_UNDER, (memo,))
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found]

    def note(self, fault: Fault, memo: str, number: int) -> None:
        """Write down that a fault struck."""
        self._db.execute("insert into strikes values (?, ?, ?, ?)", (fault, memo, number, time.time()))

    def faults(self) -> dict[str, int]:
        """Count what struck so far, by fault."""
        return dict(self._db.execute("select fault, count(*) from strikes group by fault order by fault").fetchall())
