"""Errors of databases, as SQLAlchemy wraps them and as drivers raise them, for tools that write in one transaction."""

import sqlite3
from typing import Any

from core.ports import Sorted
from tools.sorting.network import sort_network
from tools.sorting.words import lineage, not_sent, refused, unknown

_REFUSALS = ("IntegrityError", "DataError", "ProgrammingError", "NotSupportedError")
_ROLLED_BACK = ("40001", "40P01", "55P03")
"""SQLSTATE: serialization failure, deadlock, lock not available: the server undid the transaction."""
_NEVER_CONNECTED = ("08001", "08004", "53300", "57P03")
"""SQLSTATE: cannot connect, connection rejected, too many connections, starting up."""
_SQLITE_NOTHING_WRITTEN = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN", "SQLITE_READONLY")


def sort_database(error: BaseException) -> Sorted | None:
    """Sort an error of a database; None for another kind."""
    names = set(lineage(error))
    if "sqlalchemy.TimeoutError" in names:
        return not_sent("no_connection_free", error)
    if "sqlalchemy.DBAPIError" in names:
        return _wrapped(error)
    if isinstance(error, sqlite3.Error) or _sqlstate(error):
        return _driver(error, {name.partition(".")[2] for name in names})
    return None


def _wrapped(error: Any) -> Sorted:
    original = error.orig
    kinds = {name.partition(".")[2] for name in lineage(error)}
    network = sort_network(original) if isinstance(original, OSError) else None
    return network or _driver(original, kinds).model_copy(
        update={"message": f"{type(error).__name__}: {original}"[:500]}
    )


def _driver(error: BaseException, kinds: set[str]) -> Sorted:
    state = _sqlstate(error)
    if state in _NEVER_CONNECTED:
        return not_sent("connect_failed", error)
    if state in _ROLLED_BACK or str(getattr(error, "sqlite_errorname", "")).startswith(_SQLITE_NOTHING_WRITTEN):
        return not_sent("rolled_back", error)
    if kinds.intersection(_REFUSALS) or (state or "").startswith(("22", "23", "28", "42")):
        return refused("integrity" if "IntegrityError" in kinds or state[:2] == "23" else "database_refused", error)
    return unknown("database_error", error)


def _sqlstate(error: object) -> str:
    """Return the five characters of SQLSTATE that PostgreSQL drivers carry, or nothing."""
    while error is not None:
        for name in ("sqlstate", "pgcode"):
            if isinstance(state := getattr(error, name, None), str):
                return state
        error = getattr(error, "__cause__", None)
    return ""
