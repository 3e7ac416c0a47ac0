"""Model calls: reserved against every budget in one transaction with its sum, settled at what they did cost."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, case, func, select, update
from sqlalchemy.dialects.postgresql import insert  # ON CONFLICT DO NOTHING reads the same in SQLite

from core.receipts import Line
from core.spending import (
    MICRO,
    Admission,
    Admitted,
    CallEnd,
    CallState,
    Cap,
    Grouping,
    ModelCall,
    OverBudget,
    Scope,
    UsageLine,
    day_of,
    holds,
    over,
)
from ledger import audit, breakers
from ledger.locks import lock
from ledger.tables import calls

_c = calls.c
_INSERT = insert(calls).on_conflict_do_nothing()
_FIELDS = set(ModelCall.model_fields)
_sums = select(func.coalesce(func.sum(_c.tokens), 0), func.coalesce(func.sum(_c.micro_usd), 0))
_SUM: Mapping[Scope, Select[tuple[Any, Any]]] = {
    Scope.TASK: _sums.where(_c.task_id == bindparam("the_task"), _c.chain == bindparam("the_chain")),
    Scope.AGENT: _sums.where(_c.day == bindparam("the_day"), _c.agent == bindparam("the_agent")),
    Scope.TENANT: _sums.where(_c.day == bindparam("the_day"), _c.tenant == bindparam("the_tenant")),
}
_SETTLE = (
    update(calls).where(_c.id == bindparam("the_id"), _c.state == CallState.OPEN.value).returning(_c.provider, _c.model)
)


def reserve(db: Connection, call: ModelCall, caps: Sequence[Cap], now: datetime) -> Admission:
    """Reserve a call, unless its provider is spared or a budget does not hold it."""
    lock_all(db, call, caps, now)
    refusal = breakers.check(db, call, now) or _first_over(db, call, caps, now)
    if refusal is not None:
        return refusal
    breakers.note_try(db, call.provider, now)
    values = call.model_dump(include=_FIELDS)
    db.execute(_INSERT, {**values, "state": CallState.OPEN.value, "day": day_of(now), "reserved_at": now})
    return Admitted()


def lock_all(db: Connection, call: ModelCall, caps: Sequence[Cap], now: datetime) -> None:
    """Take the locks of provider and budgets, always in one order, so that nobody waits in a circle."""
    if call.provider:
        lock(db, "provider", call.provider)
    for cap in sorted(caps, key=lambda each: each.scope):
        if holds(cap, now):
            lock(db, "budget", cap.scope.value, *_key(cap.scope, call, now).values())


def settle(db: Connection, call_id: str, end: CallEnd, line: Line, now: datetime) -> None:
    """Put the true cost in the place of the reserved one; a call that is settled already stays as it is."""
    values: dict[str, Any] = {"state": end.state.value, "settled_at": now, "latency_ms": end.latency_ms}
    if end.state is not CallState.LOST:
        values |= spent_by(end)
    settled = db.execute(_SETTLE.values(**values), {"the_id": call_id}).first()
    if settled is not None and settled.provider:
        lock(db, "provider", settled.provider)
        breakers.note_end(db, settled.provider, settled.model, end, now)
    audit.record(db, line)


def spent_by(end: CallEnd) -> dict[str, int]:
    """Name what a call is counted with from now on."""
    usage = end.usage
    return {
        "tokens": usage.input_tokens + usage.output_tokens,
        "micro_usd": end.micro_usd,
        "input_tokens": usage.input_tokens,
        "cached_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }


def _first_over(db: Connection, call: ModelCall, caps: Sequence[Cap], now: datetime) -> OverBudget | None:
    for cap in caps:
        if holds(cap, now):
            tokens, micro_usd = db.execute(_SUM[cap.scope], _key(cap.scope, call, now)).one()
            if (refusal := over(cap, call, (int(tokens), int(micro_usd)), now)) is not None:
                return refusal
    return None


def _key(scope: Scope, call: ModelCall, now: datetime) -> dict[str, str]:
    match scope:
        case Scope.TASK:
            return {"the_task": call.task_id, "the_chain": call.chain}
        case Scope.AGENT:
            return {"the_day": day_of(now), "the_agent": call.agent}
        case Scope.TENANT:
            return {"the_day": day_of(now), "the_tenant": call.tenant}


_GROUPS = {
    Grouping.TASK: _c.task_id,
    Grouping.AGENT: _c.agent,
    Grouping.TENANT: _c.tenant,
    Grouping.MODEL: _c.model,
    Grouping.DAY: _c.day,
}
_is_answered = _c.state == CallState.ANSWERED.value
_is_counted_as_reserved = _c.state.in_([CallState.OPEN.value, CallState.LOST.value])


def usage(db: Connection, by: Grouping, since: datetime | None) -> list[UsageLine]:
    """Sum calls up by group."""
    group = _GROUPS[by]
    wanted = select(
        group.label("group"),
        func.count().label("calls"),
        func.sum(case((_is_answered, 1), else_=0)).label("answered"),
        func.sum(case((_c.cached_tokens > 0, 1), else_=0)).label("cache_hits"),
        func.sum(_c.input_tokens).label("input_tokens"),
        func.sum(_c.cached_tokens).label("cached_tokens"),
        func.sum(_c.output_tokens).label("output_tokens"),
        func.sum(case((_is_answered, _c.micro_usd), else_=0)).label("micro_usd"),
        func.sum(case((_is_counted_as_reserved, _c.tokens), else_=0)).label("unsettled_tokens"),
        func.sum(case((_is_counted_as_reserved, _c.micro_usd), else_=0)).label("unsettled_micro_usd"),
    ).group_by(group)
    if since is not None:
        wanted = wanted.where(_c.reserved_at >= since)
    return in_order([_line(found) for found in db.execute(wanted)], by)


def in_order(lines: list[UsageLine], by: Grouping) -> list[UsageLine]:
    """Sort days by time, and everything else by what it took."""
    if by is Grouping.DAY:
        return sorted(lines, key=lambda line: line.group)
    return sorted(lines, key=lambda line: (-line.input_tokens - line.output_tokens, line.group))


def _line(found: Row[Any]) -> UsageLine:
    values = {name: value if name == "group" else int(value) for name, value in found._mapping.items()}  # noqa: SLF001 - its public name
    spent, unsettled = values.pop("micro_usd"), values.pop("unsettled_micro_usd")
    return UsageLine(**values, cost_usd=spent / MICRO, unsettled_usd=unsettled / MICRO)
