"""Claiming a call, and the guard against a duplicate that a new plan brings (3-effects, step 3)."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, bindparam, exists, or_, select
from sqlalchemy.dialects.postgresql import insert  # ON CONFLICT DO NOTHING reads the same in SQLite

from core.receipts import Busy, Claim, Claimed, Conflict, Fenced, Move, Reservation, Row, RowState, Standing, Twin
from ledger.locks import lock
from ledger.rows import hold, move_row, read_row, state_is
from ledger.tables import effects
from ledger.tasks import share_task

_c = effects.c
_undo = effects.alias("undo")
_UNDONE = exists().where(_undo.c.undoes == _c.key, _undo.c.state == RowState.SUCCEEDED.value)
_OPEN = (RowState.RESERVED, RowState.IN_FLIGHT, RowState.IN_DOUBT, RowState.NEEDS_PERSON)
_TWIN = (
    select(effects)
    .where(
        _c.task_id == bindparam("the_task"),
        _c.similarity == bindparam("the_similarity"),
        _c.key != bindparam("the_key"),
        or_(state_is(*_OPEN), _c.written_off.is_(True), and_(state_is(RowState.SUCCEEDED), ~_UNDONE)),
    )
    .order_by(_c.seq.desc())
    .limit(1)
)
_FIELDS = set(Reservation.model_fields)
_INSERT = insert(effects).on_conflict_do_nothing().returning(effects)


def claim(db: Connection, call: Reservation, now: datetime, lease: timedelta) -> Claim:
    """Take the row of a call, or say who or what stands in the way."""
    task = share_task(db, call.task_id)
    if task is not None and task.run_id != call.run_id:
        return Fenced(task=task)
    row = hold(db, call.key)
    return _reserve(db, call, now, lease) if row is None else _reclaim(db, call, row, now, lease)


def twin(db: Connection, task_id: str, similarity: str, key: str) -> Row | None:
    """Return the last call of the task that a similar one would duplicate."""
    wanted = {"the_task": task_id, "the_similarity": similarity, "the_key": key}
    return read_row(db.execute(_TWIN, wanted).mappings().first())


def _reserve(db: Connection, call: Reservation, now: datetime, lease: timedelta) -> Claim:
    # without it, two similar calls that are claimed at once would not see each other
    lock(db, "similar", call.task_id, call.similarity)
    other = twin(db, call.task_id, call.similarity, call.key)
    if other is not None and not other.may_be_repeated(call.repeat_of):
        return Twin(row=other)
    row = read_row(db.execute(_INSERT, _new(call, now, lease)).mappings().first())
    # no row: another process inserted the same key after we looked
    return claim(db, call, now, lease) if row is None else Claimed(row=row)


def _new(call: Reservation, now: datetime, lease: timedelta) -> dict[str, Any]:
    held = {"state": RowState.RESERVED.value, "fence": 1, "lease_until": now + lease, "opened_at": now}
    return {**call.model_dump(include=_FIELDS), "effect": call.effect.value, **held}


def _reclaim(db: Connection, call: Reservation, row: Row, now: datetime, lease: timedelta) -> Claim:
    if row.fingerprint != call.fingerprint:
        return Conflict(row=row)
    if row.state in (RowState.RESERVED, RowState.IN_FLIGHT) and row.lease_until > now:
        return Busy(row=row, until=row.lease_until)
    if row.state is not RowState.RESERVED:
        return Standing(row=row)
    return _take_over(db, call, row, now, lease)


def _take_over(db: Connection, call: Reservation, row: Row, now: datetime, lease: timedelta) -> Claim:
    until = now + lease
    taken = move_row(db, row.key, row.fence, Move.TAKE_OVER, now, lease_until=until, run_id=call.run_id)
    # the row is held by this transaction, so nobody can have moved it since it was read
    return Claimed(row=taken) if taken is not None else Busy(row=row, until=until)
