"""The same suite runs on three ledgers: in memory, in a SQLite file, and (``-m postgres``) on a private server."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ledger import MemoryLedger, open_ledger
from tests.ledger.calls import AnyLedger, Clock
from tests.postgres import PostgresProcess, running_postgres

SQL = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresProcess]:
    with running_postgres() as server:
        server.create_database("ledger")
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresProcess) -> str:
    """The address of a database on the private server, emptied."""
    postgres.execute("ledger", "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return postgres.url("ledger")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/var/ledger.db"


@pytest.fixture(params=SQL)
def url(request: pytest.FixtureRequest, sqlite_url: str) -> str:
    """The address of an empty SQL database."""
    return sqlite_url if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))


@pytest.fixture(params=["memory", *SQL])
async def ledger(request: pytest.FixtureRequest, clock: Clock, sqlite_url: str) -> AsyncIterator[AnyLedger]:
    if request.param == "memory":
        yield MemoryLedger(clock)
        return
    address = sqlite_url if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))
    async with open_ledger(address, clock=clock) as found:
        yield found
