"""Bounds: what a task may still use, and what a planning call would take at the most. Checked before it is spent."""

import math

from core.briefing import Budget
from core.profile import Limits, Model, Profile
from core.spending import MICRO, Usage
from core.task import Spent, TaskState

GRANTABLE = ("rounds", "steps", "tokens", "cost_usd")
"""Limits of a task that the owner raises by letting it go on, by as much again."""
MIN_OUTPUT_TOKENS = 256
BYTES_PER_TOKEN = 4
"""A rough mean for English and JSON; only used to reserve, never to account."""
ROUNDING_USD = 0.0001
"""What is left unused of a task's dollars, since the ledger rounds each call up to a millionth."""
DENSE_BYTES_PER_TOKEN = 2
"""What digits, identifiers and scripts other than Latin come to; so that what is reserved is seldom too little."""


def cost_usd(model: Model | None, usage: Usage) -> float:
    """Price one call; 0 where no price is known."""
    return _millionths(model, usage) / MICRO


def cost_micro_usd(model: Model | None, usage: Usage) -> int:
    """Price one call in millionths of a dollar, rounded up."""
    return math.ceil(_millionths(model, usage))


def reserved_micro_usd(model: Model, input_tokens: int, output_tokens: int) -> int:
    """Price a call at the most that it may cost: with nothing out of the cache, and all of its input put there."""
    dearest = max(model.input_usd_per_mtok or 0, model.cache_write_usd_per_mtok or 0)
    return math.ceil(input_tokens * dearest + output_tokens * (model.output_usd_per_mtok or 0))


def _millionths(model: Model | None, usage: Usage) -> float:
    if model is None:
        return 0.0
    price = model.input_usd_per_mtok or 0
    cached = price if model.cached_input_usd_per_mtok is None else model.cached_input_usd_per_mtok
    written = price if model.cache_write_usd_per_mtok is None else model.cache_write_usd_per_mtok
    plain = max(usage.input_tokens - usage.cached_tokens - usage.written_tokens, 0)
    read = plain * price + usage.cached_tokens * cached + usage.written_tokens * written
    return read + usage.output_tokens * (model.output_usd_per_mtok or 0)


def charge(spent: Spent, model: Model | None, usage: Usage) -> Spent:
    """Add one planning call to what was spent."""
    return Spent(
        planning_calls=spent.planning_calls + 1,
        input_tokens=spent.input_tokens + usage.input_tokens,
        output_tokens=spent.output_tokens + usage.output_tokens,
        cached_tokens=spent.cached_tokens + usage.cached_tokens,
        cost_usd=round(spent.cost_usd + cost_usd(model, usage), 6),
    )


def allowance(state: TaskState, bound: str) -> float:
    """Return a limit with what the owner granted beyond it."""
    limits = state.profile.limits if state.profile else Limits()
    return float(getattr(limits, bound)) + state.extra.get(bound, 0.0)


def left(state: TaskState) -> Budget:
    """Say what is left of the bounds."""
    used = state.spent.input_tokens + state.spent.output_tokens
    return Budget(
        rounds=int(allowance(state, "rounds")) - state.round,
        steps=int(allowance(state, "steps")) - state.steps_taken,
        tokens=int(allowance(state, "tokens")) - used,
        cost_usd=round(allowance(state, "cost_usd") - state.spent.cost_usd, 6),
    )


def expected_input(profile: Profile, model: Model, last_input: int, briefing_bytes: int) -> int:
    """Estimate the tokens of the next prompt; a script has none."""
    if model.name.startswith("scripted:"):
        return 0
    each = DENSE_BYTES_PER_TOKEN if profile.routed else BYTES_PER_TOKEN
    return max(last_input, profile.prompt_tokens + briefing_bytes // each)


def output_cap(profile: Profile, model: Model, budget: Budget, input_tokens: int) -> int:
    """Return how many tokens the next call may produce so that neither tokens nor dollars are overshot; 0 = no call."""
    cap = min(model.max_output_tokens or profile.max_output_tokens, budget.tokens - input_tokens)
    if model.output_usd_per_mtok:
        margin = ROUNDING_USD if profile.routed else 0.0
        dollars = budget.cost_usd - margin - reserved_micro_usd(model, input_tokens, 0) / MICRO
        cap = min(cap, int(dollars * 1_000_000 / model.output_usd_per_mtok))
    return cap if cap >= MIN_OUTPUT_TOKENS else 0


def exhausted(state: TaskState, model: Model, briefing_bytes: int) -> str:
    """Name the bound that forbids another planning call ("" = none does)."""
    profile, budget = state.profile, left(state)
    if profile is None or budget.rounds <= 0:
        return "rounds"
    if budget.steps <= 0:
        return "steps"
    wanted = expected_input(profile, model, state.planning.last_input, briefing_bytes)
    if output_cap(profile, model, budget, wanted):
        return ""
    return "tokens" if budget.tokens - wanted < MIN_OUTPUT_TOKENS else "cost_usd"
