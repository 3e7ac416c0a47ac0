"""How often the attempts of a visit began and never ended: a call that ends its worker each time is found so."""

from sqlalchemy import Connection, bindparam, delete
from sqlalchemy.dialects.postgresql import insert  # ON CONFLICT DO UPDATE reads the same in SQLite

from ledger.tables import visits

_c = visits.c
_ENTER = (
    insert(visits)
    .values(begun=1)
    .on_conflict_do_update(index_elements=[_c.key, _c.visit], set_={"begun": _c.begun + 1})
    .returning(_c.begun)
)
_LEAVE = delete(visits).where(_c.key == bindparam("the_key"), _c.visit == bindparam("the_visit"))


def enter(db: Connection, key: str, visit: str) -> int:
    """Count an attempt that begins; return how many before it began and never left."""
    return int(db.execute(_ENTER, {"key": key, "visit": visit}).scalar_one()) - 1


def leave(db: Connection, key: str, visit: str) -> None:
    """Count anew."""
    db.execute(_LEAVE, {"the_key": key, "the_visit": visit})
