"""From the address in the configuration to a ledger."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import assert_never

from ledger.address import PostgresServer, SqliteFile, parse_address
from ledger.postgres import PostgresStore
from ledger.sql import SqlLedger
from ledger.sqlite import SqliteStore
from ledger.store import Store


def utc_now() -> datetime:
    """Tell the time, aware and in UTC."""
    return datetime.now(UTC)


def open_ledger(
    url: str, *, clock: Callable[[], datetime] = utc_now, patience: timedelta = timedelta(seconds=5)
) -> SqlLedger:
    """Make a ledger at ``sqlite:///PATH`` or ``postgresql://USER@HOST/DB``; it connects when it is first used.

    ``patience``: how long a method may wait for a lock, a turn or a connection before it raises LedgerDown.
    Raises ConfigError for an address of another kind and for a driver that is not installed.
    """
    return SqlLedger(_store(url, patience), clock)


def _store(url: str, patience: timedelta) -> Store:
    match parse_address(url):
        case SqliteFile() as address:
            return SqliteStore(address, patience)
        case PostgresServer() as address:
            return PostgresStore(address, patience)
        case never:
            assert_never(never)
