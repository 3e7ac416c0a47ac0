"""Reading effects, and the one way to move them: compare state and fence, set, return the row, all in one statement.

States before and after come from `core.receipts.TRANSITIONS` alone; `_ALSO_IF` and `_ALSO_SET` add what else a move
asks for and changes. A move that does not hold on to the row ends its lease. The two moves that send are in `sending`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    String,
    Update,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    true,
    update,
)

from core.receipts import TRANSITIONS, Move, Row, RowState
from ledger.columns import Instant
from ledger.tables import effects

_c = effects.c
_key, _fence = bindparam("the_key", type_=String), bindparam("the_fence", type_=Integer)
_now = bindparam("now", type_=Instant)
_is_ours = (_c.key == _key) & (_c.fence == _fence)
_lease_is_over = _c.lease_until <= _now


def state_is(*states: RowState) -> ColumnElement[bool]:
    """Compare the state with constants, in the text of the statement: partial indexes match, nothing is bound."""
    return _c.state.in_([literal_column(f"'{state}'") for state in states])


def origins(move: Move) -> tuple[RowState, ...]:
    """Return the states from which a move may be made."""
    return tuple(state for state, made in TRANSITIONS if made is move)


def target(move: Move) -> RowState:
    """Return the state to which a move leads; there is one for each move."""
    (state,) = {after for (_, made), after in TRANSITIONS.items() if made is move}
    return state


_ALSO_IF: dict[Move, ColumnElement[bool]] = {
    Move.TAKE_OVER: _lease_is_over,
    Move.RESEND: or_(state_is(RowState.IN_DOUBT), _lease_is_over),
    Move.RELEASE: _c.doubtful.is_(False),
    Move.CANCEL: _c.doubtful.is_(False),
}
_SENT = {"sends": _c.sends + 1, "marked_at": _now, "first_marked_at": func.coalesce(_c.first_marked_at, _now)}
_ALSO_SET: dict[Move, Mapping[str, Any]] = {
    Move.TAKE_OVER: {"fence": _c.fence + 1},
    Move.MARK: _SENT,
    Move.RESEND: {"fence": _c.fence + 1, "doubtful": True, **_SENT},
    Move.DOUBT: {"doubtful": True},
    Move.ABSENT: {"doubtful": False},
}
_HOLDING = frozenset({Move.TAKE_OVER, Move.MARK, Move.RESEND})


def statement_of(move: Move, also_if: ColumnElement[bool] | None = None, **also_set: Any) -> Update:
    """Write the statement of a move: compare, set, return the row."""
    changes = {"state": target(move).value, **({} if move in _HOLDING else {"lease_until": _now})}
    return (
        update(effects)
        .where(_is_ours, state_is(*origins(move)), _ALSO_IF.get(move, true()), true() if also_if is None else also_if)
        .values(**changes, **_ALSO_SET.get(move, {}), **also_set)
        .returning(effects)
    )


_MOVES: dict[Move, Update] = {move: statement_of(move) for move in Move if move not in (Move.MARK, Move.RESEND)}
_GIVE_BACK = update(effects).where(_is_ours, state_is(RowState.RESERVED)).values(lease_until=_now).returning(effects)
_VERIFIED = update(effects).where(_c.key == _key, state_is(RowState.SUCCEEDED))
_FIND = select(effects).where(_c.key == _key)
_HOLD = _FIND.with_for_update()
_OF_TASK = select(effects).where(_c.task_id == bindparam("task_id")).order_by(_c.seq)
_is_sent = state_is(RowState.IN_FLIGHT, RowState.IN_DOUBT)
_is_unsettled = state_is(
    RowState.IN_FLIGHT, RowState.IN_DOUBT, RowState.NEEDS_PERSON
)  # word for word that of its index
_OVERDUE = (
    select(effects)
    .where(_is_unsettled, _is_sent, _lease_is_over)
    .order_by(_c.lease_until, _c.seq)
    .limit(bindparam("how_many"))
)
_DOUBTS = (
    select(effects)
    .where(_is_unsettled, or_(_lease_is_over, state_is(RowState.NEEDS_PERSON)))
    .order_by(_c.opened_at, _c.seq)  # by `seq` alone SQLite reads the whole table in that order
    .limit(bindparam("how_many"))
)
_CANCEL_RESERVED = (
    update(effects)
    .where(_c.task_id == bindparam("the_task"), state_is(RowState.RESERVED))
    .values(state=RowState.CANCELLED.value, lease_until=_now, settled_at=_now)
)


def move_row(db: Connection, key: str, fence: int, move: Move, now: datetime, **values: Any) -> Row | None:
    """Make one move; None when the row is not there, not in a state for it, or under another fence."""
    return read_row(
        db.execute(_MOVES[move], {"the_key": key, "the_fence": fence, "now": now, **values}).mappings().first()
    )


def move_without_answer(db: Connection, key: str, fence: int, move: Move, now: datetime, *, why: str) -> Row | None:
    """Make a move that no answer of the other side brings: ABSENT, ASK, CANCEL."""
    values = {"settled_at": now} if target(move).is_final else {}
    return move_row(db, key, fence, move, now, message=why, **values)


def release(db: Connection, key: str, fence: int, now: datetime, why: str) -> Row | None:
    """Go back to RESERVED, or to IN_DOUBT when an earlier send is doubtful; or give back a lease that was not used."""
    return (
        move_row(db, key, fence, Move.RELEASE, now, message=why)
        or move_row(db, key, fence, Move.DOUBT, now, message=why)
        or _give_back(db, key, fence, now, why)
    )


def _give_back(db: Connection, key: str, fence: int, now: datetime, why: str) -> Row | None:
    given = db.execute(_GIVE_BACK, {"the_key": key, "the_fence": fence, "now": now, "message": why})
    return read_row(given.mappings().first())


def find(db: Connection, key: str) -> Row | None:
    """Read one row."""
    return read_row(db.execute(_FIND, {"the_key": key}).mappings().first())


def hold(db: Connection, key: str) -> Row | None:
    """Read one row and keep others from moving it until this transaction ends."""
    return read_row(db.execute(_HOLD, {"the_key": key}).mappings().first())


def rows_of(db: Connection, task_id: str) -> list[Row]:
    """Read all effects of a task, oldest first."""
    return [Row.model_validate(found) for found in db.execute(_OF_TASK, {"task_id": task_id}).mappings()]


def overdue(db: Connection, now: datetime, limit: int) -> list[Row]:
    """Read the effects that are marked or in doubt and whose lease is over, longest first."""
    return [Row.model_validate(found) for found in db.execute(_OVERDUE, {"now": now, "how_many": limit}).mappings()]


def doubts(db: Connection, now: datetime, limit: int) -> list[Row]:
    """Read the effects whose outcome nobody knows, also those that wait for a person, oldest first."""
    return [Row.model_validate(found) for found in db.execute(_DOUBTS, {"now": now, "how_many": limit}).mappings()]


def cancel_reserved(db: Connection, task_id: str, now: datetime, why: str) -> None:
    """Cancel every call of a task that was claimed and not sent."""
    db.execute(_CANCEL_RESERVED, {"the_task": task_id, "now": now, "message": why})


def set_verified(db: Connection, key: str, verified: bool) -> None:
    """Note what reading back said of an effect that succeeded."""
    db.execute(_VERIFIED, {"the_key": key, "verified": verified})


def read_row(found: Mapping[Any, Any] | None) -> Row | None:
    """Turn what a statement returned into a row."""
    return None if found is None else Row.model_validate(dict(found))
