"""Lines of the audit: written once, never changed."""

from sqlalchemy import Connection, bindparam, insert, select

from core.receipts import Line
from ledger.tables import lines

PAGE = 500
"""How many lines one read takes."""

_RECORD = insert(lines)
_PAGE = (
    select(lines)
    .where(lines.c.task_id == bindparam("the_task"), lines.c.seq > bindparam("after"))
    .order_by(lines.c.seq)
    .limit(PAGE)
)


def record(db: Connection, line: Line) -> None:
    """Add a line."""
    db.execute(_RECORD, line.model_dump())


def page(db: Connection, task_id: str, after: int) -> list[tuple[int, Line]]:
    """Return the lines of a task after a position, each with its own, oldest first; at most `PAGE`."""
    found = db.execute(_PAGE, {"the_task": task_id, "after": after}).mappings()
    return [(each["seq"], Line.model_validate(dict(each))) for each in found]
