"""Circuit breakers: what all workers know of the providers that failed last time. The rules are in core.spending."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert  # ON CONFLICT DO UPDATE reads the same in SQLite

from core.spending import Breaker, CallEnd, ModelCall, ProviderOpen
from ledger.tables import breakers

_c = breakers.c
_ALL = select(breakers).order_by(_c.provider)
_FIND = select(breakers).where(_c.provider == bindparam("the_provider"))
_NEW = insert(breakers)
_PUT = _NEW.on_conflict_do_update(
    index_elements=[_c.provider],
    set_={name: _NEW.excluded[name] for name in ("failures", "open_until", "reason")},
)
_FORGET = delete(breakers).where(_c.provider == bindparam("the_provider"))


def check(db: Connection, call: ModelCall, now: datetime) -> ProviderOpen | None:
    """Say that the provider of a call, or its model, is spared now; the caller holds the lock of the provider."""
    if not call.provider:
        return None
    return refusal(_find(db, call.provider), now) or refusal(_find(db, call.model), now)


def refusal(known: Breaker, now: datetime) -> ProviderOpen | None:
    """Say that a breaker is open."""
    if known.open_until is None or not known.is_open(now):
        return None
    return ProviderOpen(provider=known.provider, until=known.open_until, reason=known.reason)


def note_try(db: Connection, provider: str, now: datetime) -> None:
    """Note that a call is made: after a pause, it is the only one."""
    if provider:
        known = _find(db, provider)
        _put(db, known, known.tried(now))


def note_end(db: Connection, provider: str, model: str, end: CallEnd, now: datetime) -> None:
    """Note what a call said of its provider and of its model; the caller holds the lock of the provider."""
    known = _find(db, provider)
    _put(db, known, known.after(end, now))
    known = _find(db, model)
    _put(db, known, known.limited(end, now))


def all_breakers(db: Connection) -> list[Breaker]:
    """Read what is known of the providers that failed last time."""
    return [_read(found) for found in db.execute(_ALL).mappings()]


def _find(db: Connection, provider: str) -> Breaker:
    found = db.execute(_FIND, {"the_provider": provider}).mappings().first()
    return Breaker(provider=provider) if found is None else _read(found)


def _read(found: Mapping[Any, Any]) -> Breaker:
    return Breaker.model_validate(dict(found))


def _put(db: Connection, known: Breaker, wanted: Breaker) -> None:
    """Write only what changed: nearly every call of a provider that is well changes nothing."""
    if wanted == known:
        return
    if wanted.failures or wanted.open_until is not None:
        db.execute(_PUT, wanted.model_dump())
    else:
        db.execute(_FORGET, {"the_provider": wanted.provider})
