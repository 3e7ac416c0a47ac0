"""Where a ledger (or a tool's own database) lives, as people write it: a file of SQLite, or a PostgreSQL server."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from core.errors import ConfigError

_FORMS = "write sqlite:///var/ledger.db or postgresql://user@host/db"
_OPTIONS = frozenset({"sslmode", "ssl", "host", "port"})
_DRIVERS = {
    "sqlite": frozenset({"pysqlite", "aiosqlite"}),
    "postgresql": frozenset({"asyncpg", "psycopg", "psycopg_async", "psycopg2", "pg8000"}),
}
"""Drivers that an address may name as SQLAlchemy's do; it is opened with ours all the same. Any other (one that
encrypts, say) may store things differently, and is not passed over."""


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """A database in one file; the path may be relative to the working directory."""

    path: Path

    def __str__(self) -> str:
        return f"sqlite:///{self.path}"


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A database on a server; `url` names the async driver."""

    url: URL

    def __str__(self) -> str:
        return self.url.set(drivername="postgresql").render_as_string(hide_password=True)


Address = SqliteFile | PostgresServer


def parse_address(text: str) -> Address:
    """Read ``sqlite:///PATH`` or ``postgresql://USER@HOST/DB``; a driver may be named (``sqlite+aiosqlite://``).

    Raises ConfigError, which never shows a password.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise ConfigError(f"not a database address; {_FORMS}") from error
    match _kind(url):
        case "sqlite":
            return _sqlite(url)
        case "postgresql":
            return PostgresServer(_postgres(url))
        case _:
            raise ConfigError(f"a database of kind {url.drivername!r} is not supported; {_FORMS}")


def _kind(url: URL) -> str:
    """Return the kind of database without its driver; "" for a driver that is not known."""
    kind, plus, driver = url.drivername.partition("+")
    return kind if not plus or driver in _DRIVERS.get(kind, ()) else ""


def _sqlite(url: URL) -> SqliteFile:
    if url.host:
        raise ConfigError(f"sqlite://{url.host}... needs three slashes before a relative path, four before /; {_FORMS}")
    if not url.database or url.database == ":memory:" or url.query:
        raise ConfigError(f"{url} names no file, and what is kept has to outlive the process; {_FORMS}")
    return SqliteFile(Path(url.database))


def _postgres(url: URL) -> URL:
    _require_driver()
    unknown = sorted(set(url.query) - _OPTIONS)
    if unknown:
        raise ConfigError(
            f"option {unknown[0]!r} of the database address is not known; {', '.join(sorted(_OPTIONS))} are"
        )
    options = {"ssl" if name == "sslmode" else name: value for name, value in url.query.items()}
    return url.set(drivername="postgresql+asyncpg", query=options)


def _require_driver() -> None:
    try:
        import asyncpg  # type: ignore[import-untyped]  # noqa: F401, PLC0415  an extra: only who uses PostgreSQL installs it
    except ImportError as error:
        raise ConfigError("PostgreSQL needs the driver asyncpg; install it with: pip install asyncpg") from error
