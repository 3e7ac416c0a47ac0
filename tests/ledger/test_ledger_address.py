"""Addresses as people write them, and the set-ups that are refused with a way out."""

import asyncio
import sqlite3
import sys
from pathlib import Path

import pytest
from sqlalchemy import update

from core.errors import ConfigError
from ledger import open_ledger
from ledger.address import PostgresServer, SqliteFile, parse_address
from ledger.tables import VERSION, schema
from tests.ledger.calls import claimed


def test_a_relative_and_an_absolute_file_are_read() -> None:
    assert parse_address("sqlite:///var/ledger.db") == SqliteFile(Path("var/ledger.db"))
    assert parse_address("sqlite:////srv/ledger.db") == SqliteFile(Path("/srv/ledger.db"))


def test_a_server_is_reached_by_the_async_driver_with_the_options_of_libpq() -> None:
    address = parse_address("postgresql://ana:secret@db.example/lastmile?sslmode=require")
    assert isinstance(address, PostgresServer)
    assert address.url.drivername == "postgresql+asyncpg"
    assert address.url.query == {"ssl": "require"}
    assert "secret" not in str(address)


@pytest.mark.parametrize("driver", ["aiosqlite", "pysqlite"])
def test_a_driver_in_the_address_of_a_file_is_left_out(driver: str) -> None:
    assert parse_address(f"sqlite+{driver}:////srv/ledger.db") == SqliteFile(Path("/srv/ledger.db"))


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg", "psycopg2"])
def test_a_driver_in_the_address_of_a_server_is_replaced_by_ours(driver: str) -> None:
    address = parse_address(f"postgresql+{driver}://ana:secret@db.example/lastmile?ssl=require")
    assert address == parse_address("postgresql://ana:secret@db.example/lastmile?sslmode=require")


async def test_a_ledger_named_with_a_driver_is_opened(tmp_path: Path) -> None:
    async with open_ledger(f"sqlite+aiosqlite:///{tmp_path}/ledger.db") as ledger:
        await claimed(ledger)
    assert (tmp_path / "ledger.db").is_file()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not a database address"),
        ("ledger.db", "not a database address"),
        ("mysql://ana@host/db", "'mysql' is not supported"),
        ("sqlite+pysqlcipher:///ledger.db", "is not supported; write sqlite:///var/ledger.db"),
        ("sqlite+asyncpg:///ledger.db", "is not supported"),
        ("postgresql+:///ledger.db", "is not supported"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite://var/ledger.db", "three slashes"),
        ("postgresql://ana:secret@host:port/db", "not a database address"),
        ("postgresql://ana:secret@host/db?pool=3", "'pool' of the database address is not known"),
    ],
)
def test_any_other_address_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as refused:
        open_ledger(text)
    assert "secret" not in str(refused.value)


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)  # as if it were not installed: it is, for the other tests
    with pytest.raises(ConfigError, match="pip install asyncpg"):
        open_ledger("postgresql://ana@host/db")


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file where a folder should be")
    with pytest.raises(ConfigError, match=r"cannot write the database file .*/var/ledger.db"):
        await open_ledger(f"sqlite:///{tmp_path}/var/ledger.db").create()


async def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    with pytest.raises(ConfigError, match="not a SQLite database"):
        await open_ledger(f"sqlite:///{path}").create()
    assert path.read_text() == "not a database " * 100


async def test_tables_of_a_later_release_are_refused(url: str) -> None:
    async with open_ledger(url) as ledger:
        await claimed(ledger)
        await ledger._store.write(lambda db: db.execute(update(schema).values(version=VERSION + 1)) and None)
        with pytest.raises(ConfigError, match=f"layout {VERSION + 1}, this one knows {VERSION}.*update Lastmile"):
            await ledger.create()


async def test_creating_again_keeps_what_is_there(url: str) -> None:
    async with open_ledger(url) as ledger:
        row = await claimed(ledger)
    async with open_ledger(url) as ledger:
        await asyncio.gather(*(ledger.create() for _ in range(5)))
        assert await ledger.find("k1") == row


async def test_a_sqlite_ledger_is_written_ahead_and_synced_in_full(tmp_path: Path) -> None:
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        sync = await ledger._store.write(lambda db: db.exec_driver_sql("PRAGMA synchronous").scalar())
        connection = sqlite3.connect(tmp_path / "ledger.db")
        mode = connection.execute("PRAGMA journal_mode").fetchone()
        connection.close()
    assert (sync, mode) == (2, ("wal",))
