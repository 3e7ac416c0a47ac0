"""Writing the receipt; and keeping, as evidence, an answer that comes after somebody else has decided."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from core.receipts import Line, Move, Row, Settlement
from ledger.audit import record
from ledger.blobs import Stored, keep, split
from ledger.rows import find, move_row

ARRIVED_LATE = "receipt.arrived_late"


def settle(db: Connection, key: str, fence: int, settlement: Settlement, now: datetime) -> Row | None:
    """Move the row to its end with what is known of it, or record the late answer and return None."""
    stored = split(settlement)
    row = move_row(db, key, fence, settlement.move, now, settled_at=now, **receipt(settlement, stored))
    if row is None:
        _record_late(db, late_line(find(db, key), key, fence, settlement, now=now), stored)
    elif stored.body is not None:
        keep(db, row.task_id, stored.body, now)
    return row


def receipt(settlement: Settlement, stored: Stored) -> dict[str, Any]:
    """What a settlement leaves in the row."""
    return {
        "code": settlement.code,
        "message": settlement.message,
        "result": stored.inline,
        "blob": stored.digest,
        "size": stored.size,
        "verified": settlement.verified,
        "evidence": settlement.evidence.value,
        "written_off": settlement.move is Move.WRITE_OFF,
    }


def late_line(row: Row | None, key: str, fence: int, settlement: Settlement, *, now: datetime) -> Line:
    """Write down an answer that can change nothing any more; `fence` is the one it came under."""
    stands = {} if row is None else {"state": row.state.value, "row_fence": row.fence}
    return Line(
        task_id=row.task_id if row else "",
        at=now,
        event=ARRIVED_LATE,
        step=row.step if row else "",
        tool=row.tool if row else "",
        key=key,
        attempt=row.sends if row else 0,
        fields={"move": settlement.move.value, "fence": fence, **stands, **receipt(settlement, split(settlement))},
    )


def _record_late(db: Connection, line: Line, stored: Stored) -> None:
    if stored.body is not None:
        keep(db, line.task_id, stored.body, line.at)
    record(db, line)
