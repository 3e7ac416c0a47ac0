"""What the ledger knows of a task: the run that it is bound to, every run that ever was, and what is wanted of it now.

Whoever binds a task holds its row for itself (FOR UPDATE); whoever claims or sends a call shares it (FOR SHARE) and
takes it before the row of the call. So either a call is claimed and marked before an epoch opens, and whoever opened
it sees that, or it comes too late. SQLite needs none of this: its transactions that write run one after the other.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert  # ON CONFLICT DO NOTHING reads the same in SQLite

from core.errors import Superseded
from core.receipts import TaskRow
from core.record import Json
from ledger.rows import cancel_reserved
from ledger.tables import runs, tasks

ABANDONED = "a later run of the task has taken the place of the one that reserved this"
"""Why a call that was RESERVED when an epoch opened is CANCELLED."""

_c = tasks.c
_FIND = select(tasks).where(_c.task_id == bindparam("the_task"))
_HOLD = _FIND.with_for_update()
_SHARE = _FIND.with_for_update(read=True)
_OPEN = insert(tasks).on_conflict_do_nothing().returning(tasks)
_REBIND = update(tasks).where(_c.task_id == bindparam("the_task")).returning(tasks)
_AMEND = update(tasks).where(_c.task_id == bindparam("the_task"), _c.amendments < bindparam("number"))
_KNOW = insert(runs)
_KNOWN = select(runs.c.run_id).where(runs.c.task_id == bindparam("the_task"))


def open_task(db: Connection, task: TaskRow, now: datetime) -> TaskRow | None:
    """Bind a task to the run that opens it; None when another one has it and this one was not asked for."""
    first = task.model_copy(update={"epoch": 0})
    opened = _read(db.execute(_OPEN, first.model_dump()).mappings().first())
    if opened is not None:
        return _noted(db, opened, now)
    known = _held(db, task.task_id)
    wanted = rebinding(known, task, _runs_of(db, task.task_id))
    return _rebind(db, known, wanted, now)


def rebinding(known: TaskRow, task: TaskRow, was_bound: Collection[str]) -> TaskRow | None:
    """Say what a task that is `known` is to be after a run opens it: the same, a new epoch, or (None) not this run's.

    ``was_bound``: every run that the task was ever bound to.
    """
    if known.run_id == task.run_id:
        return known
    is_reset_or_again = known.first_run_id == task.first_run_id or task.again
    if task.run_id in was_bound or not is_reset_or_again:
        return None
    return task.model_copy(update={"epoch": known.epoch + 1})


def bind_run(db: Connection, task_id: str, run_id: str, ancestors: Sequence[str], now: datetime) -> TaskRow | None:
    """Bind a task to a run that continues its own. Raises LookupError and Superseded."""
    known = _held(db, task_id)
    return _rebind(db, known, succession(known, run_id, ancestors, _runs_of(db, task_id)), now)


def succession(known: TaskRow, run_id: str, ancestors: Sequence[str], was_bound: Collection[str]) -> TaskRow | None:
    """Say what a task is to be for a run that may continue its own; None when nobody announced it.

    Raises Superseded for a run that was bound before and is not any more.
    """
    if known.run_id == run_id:
        return known
    check_not_superseded(known, run_id, was_bound)
    return known.model_copy(update={"run_id": run_id}) if known.run_id in ancestors else None


def check_not_superseded(known: TaskRow, run_id: str, was_bound: Collection[str]) -> None:
    """Raise Superseded for a run that the task was bound to before."""
    if run_id in was_bound:
        raise Superseded(
            f"run {known.run_id} of task {known.task_id} has taken the place of run {run_id}: it may send nothing more"
        )


def open_epoch(db: Connection, task_id: str, run_id: str, instead_of: str, now: datetime) -> TaskRow | None:
    """Bind a task to a reset; None when it is not bound to `instead_of` any more. Raises LookupError, Superseded."""
    known = _held(db, task_id)
    if known.run_id != instead_of:
        return None
    check_not_superseded(known, run_id, _runs_of(db, task_id))
    return _rebind(db, known, known.model_copy(update={"run_id": run_id, "epoch": known.epoch + 1}), now)


def unknown_task(task_id: str) -> LookupError:
    """Say that the ledger has no such task."""
    return LookupError(f"the ledger knows no task {task_id}: it was opened in another ledger, or never")


def find_task(db: Connection, task_id: str) -> TaskRow | None:
    """Read one task."""
    return _read(db.execute(_FIND, {"the_task": task_id}).mappings().first())


def share_task(db: Connection, task_id: str) -> TaskRow | None:
    """Read one task and keep others from binding it anew until this transaction ends."""
    return _read(db.execute(_SHARE, {"the_task": task_id}).mappings().first())


def amend_task(db: Connection, task_id: str, goal: str, inputs: dict[str, Json], amendments: int) -> None:
    """Write what is wanted now, unless a later amendment is there already."""
    wish = {"goal": goal, "inputs": inputs, "amendments": amendments}
    db.execute(_AMEND, {"the_task": task_id, "number": amendments, **wish})


def _held(db: Connection, task_id: str) -> TaskRow:
    known = _read(db.execute(_HOLD, {"the_task": task_id}).mappings().first())
    if known is None:
        raise unknown_task(task_id)
    return known


def _runs_of(db: Connection, task_id: str) -> set[str]:
    return set(db.execute(_KNOWN, {"the_task": task_id}).scalars())


def _rebind(db: Connection, known: TaskRow, wanted: TaskRow | None, now: datetime) -> TaskRow | None:
    if wanted is None or wanted == known:
        return wanted
    if wanted.epoch > known.epoch:
        cancel_reserved(db, known.task_id, now, ABANDONED)
    bound = _read(db.execute(_REBIND, {"the_task": known.task_id, **wanted.model_dump()}).mappings().one())
    return bound and _noted(db, bound, now)


def _noted(db: Connection, task: TaskRow, now: datetime) -> TaskRow:
    db.execute(_KNOW, {"task_id": task.task_id, "run_id": task.run_id, "epoch": task.epoch, "opened_at": now})
    return task


def _read(found: Mapping[Any, Any] | None) -> TaskRow | None:
    return None if found is None else TaskRow.model_validate(dict(found))
