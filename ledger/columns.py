"""Column types that keep on every database what Python holds: aware UTC instants, JSON, names in order, any text."""

import json
import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, String, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from core.record import Json

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def legible(text: str) -> str:
    """Replace what a database cannot hold (NUL, lone surrogates) by U+FFFD, so that no receipt is lost to a message."""
    return _UNSTORABLE.sub("\ufffd", text)


def utc(at: datetime) -> datetime:
    """Convert an instant to UTC. Raises ValueError for a naive one."""
    if at.tzinfo is None:
        raise ValueError(f"{at.isoformat()} has no time zone; the ledger takes aware times only")
    return at.astimezone(UTC)


def plain(value: Json) -> str:
    """Write JSON in ASCII: a NUL or a lone surrogate inside a string stays an escape, which every database holds."""
    return json.dumps(value, separators=(",", ":"))


def copied(value: Json) -> Any:
    """Copy JSON, as writing and reading it would."""
    return json.loads(plain(value))


class Words(TypeDecorator[str]):
    """Free text from anywhere."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else legible(value)


class JsonText(TypeDecorator[Any]):
    """JSON as text, since PostgreSQL's own type refuses NUL; None is NULL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else plain(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002
        return None if value is None else json.loads(value)


class Instant(TypeDecorator[datetime]):
    """An aware instant: TIMESTAMPTZ, or (SQLite) text of one width in UTC, whose order is the order of time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(String(32) if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value and utc(value)
        return utc(value).isoformat(timespec="microseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return utc(datetime.fromisoformat(value) if isinstance(value, str) else value) if value else None
