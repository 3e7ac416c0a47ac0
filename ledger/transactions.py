"""Databases of transactional tools: effect and receipt commit there together, in one transaction (3-effects).

The receipt is put in first, without its result: so a second attempt waits for the first one, and no clean exit can
commit the effect without it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import assert_never

from sqlalchemy import Column, Connection, MetaData, String, Table, bindparam, event, select, update
from sqlalchemy.dialects.postgresql import insert  # ON CONFLICT DO NOTHING reads the same in SQLite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from core.errors import ConfigError
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
_KEEP = update(_receipts).where(_receipts.c.effect_key == bindparam("the_key"))


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
    async def open(self, database: str, key: str, fingerprint: str) -> AsyncIterator[ToolTransaction]:
        engine = await self._engine(database)
        with as_ledger_down(_named(database)):
            connection = await engine.connect()
        try:
            with as_ledger_down(_named(database)):
                await connection.begin()
                existing = await _take(connection, key, fingerprint)
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
        with as_ledger_down(_named(database)):
            async with engine.begin() as connection:
                await connection.run_sync(_create_table)
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


async def _take(connection: AsyncConnection, key: str, fingerprint: str) -> TransactionReceipt | None:
    taken = await connection.execute(_TAKE, {"effect_key": key, "fingerprint": fingerprint})
    return await _find(connection, key) if taken.first() is None else None


async def _find(connection: AsyncConnection, key: str) -> TransactionReceipt | None:
    found = (await connection.execute(_FIND, {"the_key": key})).mappings().first()
    if found is None:
        return None
    return TransactionReceipt(key=found["effect_key"], fingerprint=found["fingerprint"], result=found["result"])


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
