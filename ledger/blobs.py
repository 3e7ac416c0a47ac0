"""Results too large for a row, stored once under their digest; and the rule of what is too large."""

import json
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects.postgresql import insert  # ON CONFLICT DO NOTHING reads the same in SQLite

from core.names import blob_digest
from core.receipts import Settlement
from core.record import Json
from ledger.columns import plain
from ledger.tables import blobs

INLINE_BYTES = 16 * 1024
"""A result whose JSON is longer leaves the row."""

_KEEP = insert(blobs).on_conflict_do_nothing()
_FETCH = select(blobs.c.body).where(blobs.c.digest == bindparam("the_digest"))


@dataclass(frozen=True, slots=True)
class Stored:
    """How a result is kept: `inline` in the row, or as `body` beside it. `size` is that of its JSON in bytes."""

    inline: Json = None
    body: bytes | None = None
    size: int = 0

    @property
    def digest(self) -> str | None:
        """Name of the body; None when there is none beside the row."""
        return None if self.body is None else blob_digest(self.body)


def split(settlement: Settlement) -> Stored:
    """Decide where a result goes: `body` counts (or, without one, the JSON of `result`); up to 16 kB stay inline."""
    body = settlement.body
    if body is None:
        body = None if settlement.result is None else plain(settlement.result).encode()
    if body is None:
        return Stored()
    if len(body) > INLINE_BYTES:
        return Stored(body=body, size=len(body))
    return Stored(inline=json.loads(body) if settlement.result is None else settlement.result, size=len(body))


def keep(db: Connection, task_id: str, body: bytes, now: datetime) -> str:
    """Store bytes unless they are there already, and return their digest."""
    digest = blob_digest(body)
    db.execute(_KEEP, {"digest": digest, "task_id": task_id, "body": body, "kept_at": now})
    return digest


def fetch(db: Connection, digest: str) -> bytes | None:
    """Return stored bytes."""
    return db.execute(_FETCH, {"the_digest": digest}).scalar()
