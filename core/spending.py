"""Model calls as the ledger keeps them, and the budgets they count against. Money is in millionths of a dollar.

A call is reserved at the most that it may cost before it is made, and settled at what it did cost::

    OPEN       reserved and under way; or its worker was lost, so nobody knows what it cost: counts as reserved
    ANSWERED   the provider said what it used, and that counts
    UNPAID     no answer, and certainly nothing to pay (connection refused, 429, 503 ...): counts nothing
    LOST       no answer that could be read, though one may have been made and paid for: counts as reserved

Money that may have been spent stays counted: a budget is never overshot by what nobody knows.
"""

from datetime import UTC, datetime, time, timedelta
from enum import StrEnum

from pydantic import NonNegativeFloat, PositiveInt

from core.record import Input, Json, Record
from core.references import MISSING, look_up

MICRO = 1_000_000
"""Millionths of a dollar in a dollar; a price per million tokens is this many millionths a token."""


class Usage(Record):
    """What one model call took, in tokens.

    ``cached_tokens`` of the input were read from the provider's cache, ``written_tokens`` of it were put there.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    written_tokens: int = 0


class DayBudget(Input):
    """What may be spent in one day (UTC); None = no bound."""

    tokens_per_day: PositiveInt | None = None
    usd_per_day: NonNegativeFloat | None = None


class TenantBudgets(Record):
    """Budgets of tenants. ``pointer``: JSON pointer into a task's inputs; None = there are none. ``of``: exceptions."""

    pointer: str | None = None
    each: DayBudget = DayBudget()
    of: dict[str, DayBudget] = {}

    def tenant(self, inputs: dict[str, Json]) -> str:
        """Read the tenant of a task; tasks that name none share the tenant ""."""
        found = MISSING if self.pointer is None else look_up(inputs, self.pointer)
        return str(found)[:200] if isinstance(found, str | int) and not isinstance(found, bool) else ""

    def budget(self, tenant: str) -> DayBudget:
        """Return the budget of a tenant."""
        return DayBudget() if self.pointer is None else self.of.get(tenant, self.each)


class Scope(StrEnum):
    """What a budget is of: a task (for good), or an agent or a tenant (in one day, UTC)."""

    TASK = "task"
    AGENT = "agent"
    TENANT = "tenant"


class Cap(Record):
    """The most that a scope may spend. ``waived_on``: a day (ISO) on which the owner lets this task go beyond it."""

    scope: Scope
    tokens: int | None = None
    micro_usd: int | None = None
    waived_on: str = ""


class ModelCall(Record):
    """One attempt at one planning call. ``tokens`` and ``micro_usd``: the most that it may take, reserved before it.

    ``chain``: first run id of the chain of runs, which a reset keeps and a run under the same id does not.
    ``provider``: whose circuit breaker it heeds; "" = none. ``purpose``: plan, replan or conclude.
    """

    id: str
    task_id: str
    chain: str = ""
    agent: str
    tenant: str = ""
    model: str
    provider: str = ""
    purpose: str = ""
    call: int = 0
    attempt: int = 1
    tokens: int = 0
    micro_usd: int = 0


class CallState(StrEnum):
    """Where a call stands; the module says what counts."""

    OPEN = "OPEN"
    ANSWERED = "ANSWERED"
    UNPAID = "UNPAID"
    LOST = "LOST"


class CallEnd(Record):
    """How a call ended. ``is_outage``: whether its provider was down, None = it says nothing of that. ``retry_after``:
    seconds that the provider wants this model spared, None = it did not say.
    """

    state: CallState
    usage: Usage = Usage()
    micro_usd: int = 0
    latency_ms: int = 0
    is_outage: bool | None = None
    retry_after: float | None = None
    reason: str = ""


class Admitted(Record):
    """The call is reserved and may be made."""


class OverBudget(Record):
    """The call does not fit. ``unit``: tokens or cost_usd; the figures are in tokens or in millionths of a dollar."""

    scope: Scope
    name: str
    unit: str
    limit: int
    used: int
    wanted: int
    until: datetime | None = None

    def __str__(self) -> str:
        period = "" if self.scope is Scope.TASK else " today"
        whose = f"{self.scope.value} {self.name or '(none named)'}"
        return (
            f"the budget of {whose}{period} is {self._write(self.limit)}; {self._write(self.used)} are spent or "
            f"reserved, and the next call may take {self._write(self.wanted)}"
        )

    def _write(self, amount: int) -> str:
        return f"{amount} tokens" if self.unit == "tokens" else f"${amount / MICRO:.4f}"


class ProviderOpen(Record):
    """The provider, or one of its models, is spared: it is not asked before `until`."""

    provider: str
    until: datetime
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.provider} is not asked before {self.until:%H:%M:%S} UTC: {self.reason}"


Admission = Admitted | OverBudget | ProviderOpen


class Breaker(Record):
    """What is known of a provider that failed (or of a model that asked for a pause: then `provider` names it).

    ``failures``: in a row; ``open_until``: not asked before.
    """

    provider: str
    failures: int = 0
    open_until: datetime | None = None
    reason: str = ""

    def is_open(self, now: datetime) -> bool:
        """Whether calls are to be spared now."""
        return self.open_until is not None and now < self.open_until

    def tried(self, now: datetime) -> "Breaker":
        """Let one call through after a pause, and nobody else until it has ended or its time is over."""
        return self.model_copy(update={"open_until": now + _TRIAL}) if self.failures >= _FAILURES else self

    def after(self, end: CallEnd, now: datetime) -> "Breaker":
        """Say what is known after a call."""
        match end.is_outage:
            case None:
                return self
            case False:
                return Breaker(provider=self.provider)
        failures = self.failures + 1
        pause = min(_PAUSE * 2 ** min(max(failures - _FAILURES, 0), _MOST_DOUBLINGS), _LONGEST_PAUSE)
        until = now + pause if failures >= _FAILURES else None
        return Breaker(provider=self.provider, failures=failures, open_until=until, reason=end.reason[:300])

    def limited(self, end: CallEnd, now: datetime) -> "Breaker":
        """Say when the model of a call may be asked again, by the provider's own word (Retry-After)."""
        if end.retry_after is None:
            return self if self.is_open(now) else Breaker(provider=self.provider)
        until = now + min(timedelta(seconds=max(end.retry_after, 0.0)), _LONGEST_WISH)
        return Breaker(provider=self.provider, open_until=max(until, self.open_until or until), reason=end.reason[:300])


_FAILURES = 3
"""In a row, over all tasks and workers, until a provider counts as down."""
_PAUSE, _LONGEST_PAUSE, _MOST_DOUBLINGS = timedelta(seconds=5), timedelta(minutes=2), 10
_LONGEST_WISH = timedelta(minutes=10)
"""What a Retry-After beyond this is cut to, so that nobody's mistake puts a model out of use for a day."""
_TRIAL = timedelta(seconds=30)
"""How long the one call that finds out whether a provider is back keeps the others waiting, if it does not end."""


class Grouping(StrEnum):
    """What usage is summed up by."""

    TASK = "task"
    AGENT = "agent"
    TENANT = "tenant"
    MODEL = "model"
    DAY = "day"


class UsageLine(Record):
    """The calls of one group, summed up. ``answered``: those that brought an answer, of `calls` that were made.

    ``unsettled_tokens`` and ``unsettled_usd``: what is counted of calls whose true cost is not known (on their way, or
    lost); it is not part of the other figures.
    """

    group: str
    calls: int = 0
    answered: int = 0
    cache_hits: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    unsettled_tokens: int = 0
    unsettled_usd: float = 0.0


def day_of(now: datetime) -> str:
    """Name a day (UTC) as budgets do."""
    return now.astimezone(UTC).date().isoformat()


def next_day(now: datetime) -> datetime:
    """Return when the next day begins (UTC)."""
    return datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(), UTC)


def cap_of(scope: Scope, budget: DayBudget, waived_on: str = "") -> Cap | None:
    """Make the cap of a day's budget; None when it bounds nothing."""
    if budget.tokens_per_day is None and budget.usd_per_day is None:
        return None
    dollars = None if budget.usd_per_day is None else int(budget.usd_per_day * MICRO)
    return Cap(scope=scope, tokens=budget.tokens_per_day, micro_usd=dollars, waived_on=waived_on)


def over(cap: Cap, call: ModelCall, used: tuple[int, int], now: datetime) -> OverBudget | None:
    """Say whether a call does not fit on top of what is used (tokens, millionths of a dollar)."""
    name = {Scope.TASK: call.task_id, Scope.AGENT: call.agent, Scope.TENANT: call.tenant}[cap.scope]
    until = None if cap.scope is Scope.TASK else next_day(now)
    figures = (
        ("tokens", cap.tokens, used[0], call.tokens),
        ("cost_usd", cap.micro_usd, used[1], call.micro_usd),
    )
    for unit, limit, spent, wanted in figures:
        if limit is not None and spent + wanted > limit and wanted > 0:
            return OverBudget(
                scope=cap.scope, name=name, unit=unit, limit=limit, used=spent, wanted=wanted, until=until
            )
    return None


def holds(cap: Cap, now: datetime) -> bool:
    """Whether a cap is to be kept today."""
    return cap.scope is Scope.TASK or cap.waived_on != day_of(now)
