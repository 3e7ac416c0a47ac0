"""The kill switch: what is stopped, for a tool, an agent, or all."""

from sqlalchemy import Connection, Label, bindparam, delete, exists, select
from sqlalchemy.dialects.postgresql import insert  # ON CONFLICT DO UPDATE reads the same in SQLite

from core.errors import Stopped
from core.receipts import Row, Stop
from ledger.tables import effects, stops

_c = stops.c
_NEW = insert(stops)
_STOP = _NEW.on_conflict_do_update(
    index_elements=[_c.tool, _c.agent],
    set_={"by": _NEW.excluded.by, "reason": _NEW.excluded.reason, "at": _NEW.excluded.at},
)
_START = delete(stops).where(_c.tool == bindparam("the_tool"), _c.agent == bindparam("the_agent")).returning(stops)
_ALL = select(stops).order_by(_c.at, _c.tool, _c.agent)
_WAIT_FOR_MARKS = "LOCK TABLE lastmile_stops IN ACCESS EXCLUSIVE MODE"

# under other names, or SQLite takes the `tool` of an effect for that of a switch: in what a statement returns, columns
# are written without their table's name
_on = select(_c.tool.label("stopped_tool"), _c.agent.label("stopped_agent")).subquery("stopped")
IS_STOPPED: Label[bool] = (
    exists()
    .where(_on.c.stopped_tool.in_(["", effects.c.tool]), _on.c.stopped_agent.in_(["", effects.c.agent]))
    .correlate(effects)
    .label("is_stopped")
)
"""Returned by a statement that sends an effect: whether a switch is on for it. Costs nothing while none is."""


def stop(db: Connection, wanted: Stop) -> None:
    """Turn a switch on. Once this has committed, nothing more is marked that it covers: marks under way are waited for.

    (A mark reads the table in its own transaction; SQLite runs those one after the other anyway.)
    """
    if db.dialect.name == "postgresql":
        db.exec_driver_sql(_WAIT_FOR_MARKS)
    db.execute(_STOP, wanted.model_dump())


def start(db: Connection, tool: str, agent: str) -> Stop | None:
    """Turn a switch off, and return what it was."""
    found = db.execute(_START, {"the_tool": tool, "the_agent": agent}).mappings().first()
    return None if found is None else Stop.model_validate(dict(found))


def all_stops(db: Connection) -> list[Stop]:
    """Read every switch that is on, oldest first."""
    return [Stop.model_validate(dict(found)) for found in db.execute(_ALL).mappings()]


def stopped(row: Row, switches: list[Stop]) -> Stopped:
    """Say which switch stops an effect: the oldest one that covers it (none, when it was lifted a moment ago)."""
    found = next((switch for switch in switches if switch.covers(row.tool, row.agent)), None)
    return Stopped(f"{row.tool} was stopped until a moment ago" if found is None else str(found))
