"""A ledger on a PostgreSQL server, shared by many workers. READ COMMITTED is enough: every move compares and sets.

Clocks: times come from the workers, not from the server, since a lease ends with the deadline that the worker set its
own timer to. So a worker whose clock is ahead by S looks at the calls of others S too early; one that is behind, S too
late. Too early is harmless to a call that is only RESERVED (the fence goes up, the first mark fails) and to one that
may be sent again (the provider sees one key); of an unrepeatable one a person is asked too early, and a later receipt
is still taken. Only a probe's "it is not there" is believed too early: so keep the clocks of workers closer
together than the shortest `settle_time` of a probed tool (NTP: some milliseconds).
"""

from datetime import timedelta

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from core.failpoints import reach
from ledger.address import PostgresServer
from ledger.failures import as_ledger_down
from ledger.locks import lock
from ledger.schema import create_tables
from ledger.store import Job, T

_CONNECTIONS = 10


class PostgresStore:
    """The ``Store`` of a PostgreSQL database. `patience`: how long to wait to connect, for a connection, for a lock."""

    def __init__(self, address: PostgresServer, patience: timedelta = timedelta(seconds=5)) -> None:
        self._where = str(address)
        self._what = f"the ledger {address}"
        self._engine = connect_postgres(address, patience)
        self._reader = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    async def write(self, job: Job[T]) -> T:
        await reach("ledger.write")
        with as_ledger_down(self._what):
            async with self._engine.begin() as connection:
                done = await connection.run_sync(job)
        await reach("ledger.wrote")
        return done

    async def read(self, job: Job[T]) -> T:
        await reach("ledger.read")
        with as_ledger_down(self._what):
            async with self._reader.connect() as connection:
                return await connection.run_sync(job)

    async def create(self) -> None:
        def job(db: Connection) -> None:
            lock(db, "schema")
            create_tables(db, self._where)

        await self.write(job)

    async def close(self) -> None:
        await self._engine.dispose()


def connect_postgres(address: PostgresServer, patience: timedelta) -> AsyncEngine:
    """Make an engine that connects when it is used, and that never waits much longer than `patience`."""
    seconds = patience.total_seconds()
    return create_async_engine(
        address.url,
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pool_timeout=seconds,
        connect_args={
            "timeout": seconds,
            "command_timeout": 2 * seconds,  # longer than a lock may take, so that the server says which lock it was
            "server_settings": {"lock_timeout": str(int(seconds * 1000)), "application_name": "lastmile"},
        },
    )
