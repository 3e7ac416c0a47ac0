"""The model calls and breakers of a ledger in memory."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from core.spending import (
    MICRO,
    Admission,
    Admitted,
    Breaker,
    CallEnd,
    CallState,
    Cap,
    Grouping,
    ModelCall,
    Scope,
    UsageLine,
    day_of,
    holds,
    over,
)
from ledger.breakers import refusal
from ledger.calls import in_order, spent_by
from ledger.columns import legible


@dataclass(frozen=True, slots=True)
class _Kept:
    call: ModelCall
    day: str
    reserved_at: datetime
    state: CallState = CallState.OPEN
    figures: dict[str, int] = field(default_factory=dict)


class MemoryCalls:
    """Reserves and settles by the rules of `ledger.calls`."""

    def __init__(self) -> None:
        self._calls: dict[str, _Kept] = {}
        self._breakers: dict[str, Breaker] = {}

    def reserve(self, call: ModelCall, caps: Sequence[Cap], now: datetime) -> Admission:
        """Reserve a call, unless its provider is spared or a budget does not hold it."""
        known = self._breaker(call.provider)
        spared = refusal(known, now) or refusal(self._breaker(call.model), now)
        if spared is not None and call.provider:
            return spared
        for cap in caps:
            if holds(cap, now) and (found := over(cap, call, self._used(cap.scope, call, now), now)) is not None:
                return found
        self._put(known.tried(now))
        kept = call.model_copy(update={"tenant": legible(call.tenant)})
        figures = {"tokens": call.tokens, "micro_usd": call.micro_usd}
        self._calls.setdefault(call.id, _Kept(kept, day_of(now), now, figures=figures))
        return Admitted()

    def settle(self, call_id: str, end: CallEnd, now: datetime) -> None:
        """Put the true cost in the place of the reserved one, once."""
        kept = self._calls.get(call_id)
        if kept is None or kept.state is not CallState.OPEN:
            return
        figures = kept.figures if end.state is CallState.LOST else spent_by(end)
        self._calls[call_id] = replace(kept, state=end.state, figures=figures)
        if kept.call.provider:
            self._put(self._breaker(kept.call.provider).after(end, now))
            self._put(self._breaker(kept.call.model).limited(end, now))

    def breakers(self) -> list[Breaker]:
        """Return what is known of the providers that failed last time."""
        return sorted(self._breakers.values(), key=lambda each: each.provider)

    def usage(self, by: Grouping, since: datetime | None) -> list[UsageLine]:
        """Sum calls up by group."""
        groups: dict[str, list[_Kept]] = defaultdict(list)
        for kept in self._calls.values():
            if since is None or kept.reserved_at >= since:
                groups[_group(kept, by)].append(kept)
        return in_order([_line(name, members) for name, members in groups.items()], by)

    def _used(self, scope: Scope, call: ModelCall, now: datetime) -> tuple[int, int]:
        same = [each.figures for each in self._calls.values() if _is_counted(each, scope, call, now)]
        return _sum(same, "tokens"), _sum(same, "micro_usd")

    def _breaker(self, provider: str) -> Breaker:
        return self._breakers.get(provider, Breaker(provider=provider))

    def _put(self, breaker: Breaker) -> None:
        if breaker.provider and (breaker.failures or breaker.open_until is not None):
            self._breakers[breaker.provider] = breaker.model_copy(update={"reason": legible(breaker.reason)})
        else:
            self._breakers.pop(breaker.provider, None)


def _is_counted(each: _Kept, scope: Scope, call: ModelCall, now: datetime) -> bool:
    match scope:
        case Scope.TASK:
            return (each.call.task_id, each.call.chain) == (call.task_id, call.chain)
        case Scope.AGENT:
            return (each.day, each.call.agent) == (day_of(now), call.agent)
        case Scope.TENANT:
            return (each.day, each.call.tenant) == (day_of(now), legible(call.tenant))


def _group(kept: _Kept, by: Grouping) -> str:
    match by:
        case Grouping.DAY:
            return kept.day
        case Grouping.TASK:
            return kept.call.task_id
        case _:
            return str(getattr(kept.call, by.value))


def _line(group: str, members: Sequence[_Kept]) -> UsageLine:
    answered = [each.figures for each in members if each.state is CallState.ANSWERED]
    unsettled = [each.figures for each in members if each.state in (CallState.OPEN, CallState.LOST)]
    return UsageLine(
        group=group,
        calls=len(members),
        answered=len(answered),
        cache_hits=sum(each["cached_tokens"] > 0 for each in answered),
        input_tokens=_sum(answered, "input_tokens"),
        cached_tokens=_sum(answered, "cached_tokens"),
        output_tokens=_sum(answered, "output_tokens"),
        cost_usd=_sum(answered, "micro_usd") / MICRO,
        unsettled_tokens=_sum(unsettled, "tokens"),
        unsettled_usd=_sum(unsettled, "micro_usd") / MICRO,
    )


def _sum(figures: Iterable[dict[str, int]], name: str) -> int:
    return sum(each[name] for each in figures)
