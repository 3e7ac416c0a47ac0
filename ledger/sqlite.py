"""A ledger in one SQLite file: one thread with one connection writes, another one reads.

A whole transaction is one hop to the writer's thread: the three writes of an effect took 2.0 ms so, and 7.4 ms through
a driver that hops for each statement (measured). The writer's queue is also the lock within the process; between
processes BEGIN IMMEDIATE is (a deferred one fails at once, whatever the busy time-out; measured).
"""

import asyncio
import errno
import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Connection, Engine, NullPool, create_engine, event

from core.errors import ConfigError, LedgerDown
from core.failpoints import reach
from ledger.address import SqliteFile
from ledger.failures import as_ledger_down
from ledger.schema import create_tables
from ledger.store import Job, T


class SqliteStore:
    """The ``Store`` of a SQLite file. `patience`: how long a write may wait for its turn before it is LedgerDown."""

    def __init__(self, address: SqliteFile, patience: timedelta = timedelta(seconds=5)) -> None:
        self._path = address.path
        self._patience = patience
        self._writer = _Lane(address, _writing(self._path, patience), patience)
        self._reader = _Lane(address, _reading(self._path, patience), patience)

    async def write(self, job: Job[T]) -> T:
        await reach("ledger.write")
        done = await self._writer.run(job)
        await reach("ledger.wrote")
        return done

    async def read(self, job: Job[T]) -> T:
        await reach("ledger.read")
        return await self._reader.run(job)

    async def create(self) -> None:
        await asyncio.to_thread(prepare_file, self._path, self._patience)
        await self.write(lambda db: create_tables(db, str(self._path)))

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.close()
        self._reader.close()


class _Lane:
    """One thread with a connection of its own; jobs run one after the other, each as a transaction in a single hop."""

    def __init__(self, address: SqliteFile, engine: Engine, patience: timedelta) -> None:
        self._what = f"the ledger {address}"
        self._path = address.path.absolute()
        self._engine = engine
        self._patience = patience.total_seconds()
        self._connection: Connection | None = None
        self._file: tuple[int, int] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")

    async def run(self, job: Job[T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._perform, job, time.monotonic() + self._patience)

    def close(self) -> None:
        self._thread.submit(self._drop)
        self._thread.shutdown()

    def _perform(self, job: Job[T], start_by: float) -> T:
        # behind a file that is locked for long, each job would else wait its turn for the patience of all before it
        if time.monotonic() > start_by:
            raise LedgerDown(f"{self._what} is busy: no turn within {self._patience:g} s")
        try:
            with as_ledger_down(self._what):
                return self._transact(job)
        except LedgerDown:
            self._drop()
            raise

    def _transact(self, job: Job[T]) -> T:
        connection = self._connected()
        with connection.begin():
            return job(connection)

    def _connected(self) -> Connection:
        # to a file that was removed one can write on, and all of it is lost when the process ends
        if self._connection is None or self._file != _identity(self._path):
            self._drop()
            self._connection = self._engine.connect()
            self._file = _identity(self._path)
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def prepare_file(path: Path, patience: timedelta) -> None:
    """Create the file and its folder, and switch it to WAL. Raises ConfigError when that is not permitted."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _make_or_check(path)
    except OSError as error:
        raise ConfigError(
            f"cannot write the database file {path} ({error.strerror}): make its folder writable or choose another"
        ) from error
    with as_ledger_down(f"the database {path}"):
        _switch_to_wal(path, time.monotonic() + patience.total_seconds())


def _make_or_check(path: Path) -> None:
    """Never open a database file past SQLite: closing it drops all locks that this process has on it.

    Another process may then take itself for the only one, and delete the WAL that we go on writing: a storm lost three
    committed transactions so. See "How To Corrupt An SQLite Database File", 2.2.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not path.exists():
        path.touch()
    elif not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _switch_to_wal(path: Path, give_up_at: float) -> None:
    # SQLite's busy time-out does not cover the switch, so processes that start at once have to take turns here
    while True:
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if time.monotonic() > give_up_at:
                raise LedgerDown(f"the database {path} is locked: {error}") from error
            time.sleep(0.01)
        except sqlite3.DatabaseError as error:
            raise ConfigError(f"{path} is not a SQLite database ({error}): choose another path") from error
        else:
            return
        finally:
            connection.close()


def _engine(path: Path, patience: timedelta, pragmas: tuple[str, ...]) -> Engine:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",  # a file that vanished is an error, not an empty ledger
            uri=True,
            timeout=patience.total_seconds(),
            isolation_level=None,
            check_same_thread=False,
        )
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        return connection

    return create_engine("sqlite+pysqlite://", creator=connect, poolclass=NullPool)


def _writing(path: Path, patience: timedelta) -> Engine:
    engine = _engine(path, patience, ("synchronous=FULL",))

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _reading(path: Path, patience: timedelta) -> Engine:
    return _engine(path, patience, ("query_only=ON",))
