"""The two moves that send an effect: only for the run that its task is bound to, and only while no switch stops it.

Both fences are part of the one statement of the move, so they cost no round trip. The task's row is held FOR SHARE on
the way: an epoch that opens at the same time is waited for and then seen, or waits itself. A task that has no row (in
tests of effects alone) fences nobody off.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, String, bindparam, exists, select

from core.receipts import Move, Row
from ledger.rows import read_row, statement_of
from ledger.switches import IS_STOPPED, all_stops, stopped
from ledger.tables import effects, tasks

_by_run = bindparam("by_run", type_=String)
_one = effects.alias("the_effect")
_bound = (
    select(tasks.c.run_id)
    .where(tasks.c.task_id == select(_one.c.task_id).where(_one.c.key == bindparam("the_key")).scalar_subquery())
    .with_for_update(read=True)
    .cte("bound")
)


def _is_bound_to(run: ColumnElement[str]) -> ColumnElement[bool]:
    return ~exists().where(_bound.c.run_id != run).correlate(effects)


_MARK = statement_of(Move.MARK, _is_bound_to(effects.c.run_id)).returning(IS_STOPPED)
_RESEND = statement_of(Move.RESEND, _is_bound_to(_by_run), run_id=_by_run).returning(IS_STOPPED)
_RESEND_FOR_ALL = statement_of(Move.RESEND).returning(IS_STOPPED)


def mark_row(db: Connection, key: str, fence: int, now: datetime, **values: Any) -> Row | None:
    """RESERVED -> IN_FLIGHT; None also when the task is bound to another run than the row's. Raises Stopped."""
    return _send(db, _MARK, {"the_key": key, "the_fence": fence, "now": now, **values})


def resend_row(db: Connection, key: str, fence: int, now: datetime, *, run_id: str | None, **values: Any) -> Row | None:
    """Mark again, for a run that the task is bound to, or (None) for the completer. Raises Stopped."""
    given = {"the_key": key, "the_fence": fence, "now": now, **values}
    if run_id is None:
        return _send(db, _RESEND_FOR_ALL, given)
    return _send(db, _RESEND, {**given, "by_run": run_id})


def _send(db: Connection, statement: Any, given: dict[str, Any]) -> Row | None:
    found = db.execute(statement, given).mappings().first()
    row = read_row(found)
    if found is not None and row is not None and found["is_stopped"]:
        raise stopped(row, all_stops(db))  # rolls the move back
    return row
