"""Locks by name, for what no row exists yet to lock."""

from sqlalchemy import Connection, bindparam, func, select

_LOCK = select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("name"), 0)))


def lock(db: Connection, *name: str) -> None:
    """Let one transaction at a time past here; two names of one hash merely wait for each other.

    SQLite needs nothing: its transactions that write run one after the other.
    """
    if db.dialect.name == "postgresql":
        db.execute(_LOCK, {"name": "\x1f".join(("lastmile", *name))})
