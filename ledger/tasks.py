"""What the ledger knows of a task: the run that it is bound to, and what is wanted of it now."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert  # ON CONFLICT DO NOTHING reads the same in SQLite

from core.receipts import TaskRow
from core.record import Json
from ledger.tables import tasks

_c = tasks.c
_FIND = select(tasks).where(_c.task_id == bindparam("the_task"))
_HOLD = _FIND.with_for_update()
_OPEN = insert(tasks).on_conflict_do_nothing().returning(tasks)
_REBIND = update(tasks).where(_c.task_id == bindparam("the_task")).returning(tasks)
_AMEND = update(tasks).where(_c.task_id == bindparam("the_task"), _c.amendments < bindparam("number"))


def open_task(db: Connection, task: TaskRow, run_id: str) -> TaskRow | None:
    """Bind a task to its first run; None when it is bound to another one and this one was not asked for."""
    opened = _read(db.execute(_OPEN, task.model_dump()).mappings().first())
    if opened is not None:
        return opened
    known = _read(db.execute(_HOLD, {"the_task": task.task_id}).mappings().one())
    if known is not None and is_same_run(known, task, run_id):
        return known
    return _rebind(db, task) if task.again else None


def is_same_run(known: TaskRow, task: TaskRow, run_id: str) -> bool:
    """Whether a run is the one that the task is bound to, or a later one of its chain."""
    return known.first_run_id in (task.first_run_id, run_id)


def find_task(db: Connection, task_id: str) -> TaskRow | None:
    """Read one task."""
    return _read(db.execute(_FIND, {"the_task": task_id}).mappings().first())


def amend_task(db: Connection, task_id: str, goal: str, inputs: dict[str, Json], amendments: int) -> None:
    """Write what is wanted now, unless a later amendment is there already."""
    wish = {"goal": goal, "inputs": inputs, "amendments": amendments}
    db.execute(_AMEND, {"the_task": task_id, "number": amendments, **wish})


def _rebind(db: Connection, task: TaskRow) -> TaskRow | None:
    return _read(db.execute(_REBIND, {"the_task": task.task_id, **task.model_dump()}).mappings().first())


def _read(found: Mapping[Any, Any] | None) -> TaskRow | None:
    return None if found is None else TaskRow.model_validate(dict(found))
