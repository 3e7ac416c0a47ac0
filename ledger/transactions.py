"""Databases of transactional tools: effect and receipt commit there together, in one transaction (3-effects).

The receipt is put in first, without its result: so a second attempt waits for the first one, and no clean exit can
commit the effect without it.

Before anybody says "it was not applied", a tombstone takes the place of the receipt (`rule_out`). Whoever sent it may
merely have been stopped, and finds the tombstone then. It is a row like a receipt's, whose fingerprint says up to which
send; a later send takes its place, and nothing ever takes that of a receipt.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import assert_never

from sqlalchemy import Column, Connection, MetaData, RowMapping, String, Table, bindparam, event, select, update
from sqlalchemy.dialects.postgresql import insert  # ON CONFLICT DO NOTHING reads the same in SQLite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from core.errors import ConfigError, LedgerDown, NotSent
from core.ports import TransactionReceipt
from core.record import Json
from ledger.address import PostgresServer, SqliteFile, parse_address
from ledger.columns import JsonText
from ledger.failures import as_ledger_down
from ledger.locks import lock
from ledger.postgres import connect_postgres
from ledger.sqlite import prepare_file

_metadata = MetaData()
_receipts = Table(
    "lastmile_receipts",
    _metadata,
    Column("effect_key", String(64), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("result", JsonText),
)
_TAKE = insert(_receipts).on_conflict_do_nothing().returning(_receipts.c.effect_key)
_FIND = select(_receipts).where(_receipts.c.effect_key == bindparam("the_key"))
_HOLD = _FIND.with_for_update()  # SQLite, which has no such clause, lets one transaction in at a time
_KEEP = update(_receipts).where(_receipts.c.effect_key == bindparam("the_key"))
_TOMBSTONE = "not applied up to send "  # no fingerprint begins so: they are hexadecimal


class ToolTransaction:
    """``core.ports.Transaction``: `existing` is the receipt of an attempt that committed; then nothing is to be run."""

    def __init__(self, connection: AsyncConnection, key: str, existing: TransactionReceipt | None) -> None:
        self.connection = connection
        self.existing = existing
        self._key = key

    async def keep(self, result: Json) -> None:
        await self.connection.execute(_KEEP, {"the_key": self._key, "result": result})


class ToolDatabases:
    """``core.ports.Transactions``: a database is the name of the variable in `environ` that holds its URL.

    ``patience``: how long to wait for a connection or a lock before it is LedgerDown. Raises ConfigError for a variable
    that is not set or is no URL of a database. The table ``lastmile_receipts`` is made on first use.
    """

    def __init__(self, environ: Mapping[str, str], patience: timedelta = timedelta(seconds=5)) -> None:
        self._environ = environ
        self._patience = patience
        self._engines: dict[str, AsyncEngine] = {}
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def open(self, database: str, key: str, fingerprint: str, send: int) -> AsyncIterator[ToolTransaction]:
        engine = await self._engine(database)
        with as_ledger_down(_named(database)):
            connection = await engine.connect()
        try:
            with as_ledger_down(_named(database)):
                await connection.begin()
                existing = await _take(connection, key, fingerprint, send)
            yield ToolTransaction(connection, key, existing)
            # an error of the commit is no LedgerDown: it may have been applied, so it leaves the outcome unknown
            await connection.commit()
        finally:
            await connection.close()

    async def receipt(self, database: str, key: str) -> TransactionReceipt | None:
        engine = await self._engine(database)
        with as_ledger_down(_named(database)):
            async with engine.connect() as connection:
                return await _find(connection, key)

    async def rule_out(self, database: str, key: str, send: int) -> TransactionReceipt | None:
        engine = await self._engine(database)
        with as_ledger_down(_named(database)):
            async with engine.begin() as connection:
                return await _bury(connection, key, send)

    async def close(self) -> None:
        """Give all connections back."""
        for engine in self._engines.values():
            await engine.dispose()

    async def _engine(self, database: str) -> AsyncEngine:
        if database not in self._engines:
            async with self._opening:
                self._engines[database] = self._engines.get(database) or await self._first_use(database)
        return self._engines[database]

    async def _first_use(self, database: str) -> AsyncEngine:
        engine = await self._connect(database)
        try:
            with as_ledger_down(_named(database)):
                async with engine.begin() as connection:
                    await connection.run_sync(_create_table)
        except BaseException:
            await engine.dispose()
            raise
        return engine

    async def _connect(self, database: str) -> AsyncEngine:
        match parse_address(self._url(database)):
            case SqliteFile() as address:
                await asyncio.to_thread(prepare_file, address.path, self._patience)
                return _sqlite(address, self._patience)
            case PostgresServer() as address:
                return connect_postgres(address, self._patience)
            case never:
                assert_never(never)

    def _url(self, database: str) -> str:
        url = self._environ.get(database)
        if not url:
            raise ConfigError(
                f"a tool keeps its data in the database {database}: set the environment variable {database} to its URL"
            )
        return url


def _named(database: str) -> str:
    return f"the tool's database {database}"


def _create_table(db: Connection) -> None:
    lock(db, "receipts")
    _metadata.create_all(db)


async def _take(connection: AsyncConnection, key: str, fingerprint: str, send: int) -> TransactionReceipt | None:
    """Take the key for a send, or return the receipt that has it. Raises NotSent for a send that was ruled out."""
    if await _is_put_in(connection, key, fingerprint):
        return None
    held = await _hold(connection, key)
    if (last := _last_ruled_out(held)) is None:
        return held
    if send <= last:
        raise NotSent(f"send {send} comes too late: somebody found that nothing was applied up to send {last}")
    await connection.execute(_KEEP, {"the_key": key, "fingerprint": fingerprint})
    return None


async def _bury(connection: AsyncConnection, key: str, send: int) -> TransactionReceipt | None:
    """Put a tombstone in, or return the receipt that is there."""
    if await _is_put_in(connection, key, f"{_TOMBSTONE}{send}"):
        return None
    held = await _hold(connection, key)
    if (last := _last_ruled_out(held)) is None:
        return held
    if last < send:
        await connection.execute(_KEEP, {"the_key": key, "fingerprint": f"{_TOMBSTONE}{send}"})
    return None


async def _is_put_in(connection: AsyncConnection, key: str, fingerprint: str) -> bool:
    """Put a row in unless there is one; waits for a transaction that is putting in one of this key."""
    put_in = await connection.execute(_TAKE, {"effect_key": key, "fingerprint": fingerprint})
    return put_in.first() is not None


async def _hold(connection: AsyncConnection, key: str) -> TransactionReceipt:
    """Read the row of a key, and keep others from it until this transaction ends."""
    held = _read((await connection.execute(_HOLD, {"the_key": key})).mappings().first())
    if held is None:
        raise LedgerDown(f"somebody removed the receipt of {key} in this moment; keep hands off {_receipts.name}")
    return held


async def _find(connection: AsyncConnection, key: str) -> TransactionReceipt | None:
    found = _read((await connection.execute(_FIND, {"the_key": key})).mappings().first())
    return None if found is None or _last_ruled_out(found) is not None else found


def _read(row: RowMapping | None) -> TransactionReceipt | None:
    if row is None:
        return None
    return TransactionReceipt(key=row["effect_key"], fingerprint=row["fingerprint"], result=row["result"])


def _last_ruled_out(held: TransactionReceipt) -> int | None:
    """Return the send up to which a tombstone counts; None for a receipt."""
    if not held.fingerprint.startswith(_TOMBSTONE):
        return None
    return int(held.fingerprint.removeprefix(_TOMBSTONE))


def _sqlite(address: SqliteFile, patience: timedelta) -> AsyncEngine:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{address.path}",
        connect_args={"timeout": patience.total_seconds(), "isolation_level": None},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
