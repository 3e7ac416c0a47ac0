"""Budgets and circuit breakers: reserved before a call, settled after it, never overshot."""

import asyncio
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect, text

from core.spending import (
    Admitted,
    CallEnd,
    CallState,
    Cap,
    Grouping,
    OverBudget,
    ProviderOpen,
    Scope,
    UsageLine,
)
from ledger import open_ledger
from tests.ledger.calls import AnyLedger, Clock
from tests.ledger.spent import TRIES, model_call, said, took

_ROOT = Path(__file__).parents[2]
AGENT = Cap(scope=Scope.AGENT, tokens=250)
OUTAGE = CallEnd(state=CallState.UNPAID, is_outage=True, reason="503")


async def test_calls_are_reserved_until_the_budget_is_full(ledger: AnyLedger) -> None:
    assert await ledger.reserve_call(model_call("c1"), [AGENT]) == Admitted()
    assert await ledger.reserve_call(model_call("c2"), [AGENT]) == Admitted()
    refusal = await ledger.reserve_call(model_call("c3"), [AGENT])
    assert isinstance(refusal, OverBudget)
    assert (refusal.scope, refusal.name, refusal.unit) == (Scope.AGENT, "support_desk", "tokens")
    assert (refusal.limit, refusal.used, refusal.wanted) == (250, 200, 100)
    assert "250 tokens; 200 tokens are spent or reserved" in str(refusal)
    assert await ledger.reserve_call(model_call("c4", agent="other"), [AGENT]) == Admitted()


async def test_what_was_reserved_too_much_is_free_again_once_settled(ledger: AnyLedger) -> None:
    for number in range(3):
        assert await ledger.reserve_call(model_call(f"c{number}"), [AGENT]) == Admitted()
        await ledger.settle_call(f"c{number}", took(40, 10), said())
    assert isinstance(await ledger.reserve_call(model_call("c9", tokens=101), [AGENT]), OverBudget)
    assert await ledger.reserve_call(model_call("c9"), [AGENT]) == Admitted()


@pytest.mark.parametrize(("state", "counts"), [(CallState.LOST, True), (CallState.UNPAID, False)])
async def test_only_a_call_that_certainly_cost_nothing_is_given_back(
    ledger: AnyLedger, state: CallState, counts: bool
) -> None:
    await ledger.reserve_call(model_call("c1", tokens=200), [AGENT])
    await ledger.settle_call("c1", CallEnd(state=state), said())
    admission = await ledger.reserve_call(model_call("c2"), [AGENT])
    assert isinstance(admission, OverBudget) is counts


async def test_call_whose_worker_was_lost_stays_counted_as_reserved(ledger: AnyLedger, clock: Clock) -> None:
    await ledger.reserve_call(model_call("c1", tokens=200), [AGENT])
    clock.pass_by(timedelta(hours=3))
    assert isinstance(await ledger.reserve_call(model_call("c2"), [AGENT]), OverBudget)


async def test_call_that_took_more_than_was_reserved_counts_in_full(ledger: AnyLedger) -> None:
    await ledger.reserve_call(model_call("c1"), [AGENT])
    await ledger.settle_call("c1", took(240, 5), said())
    assert isinstance(await ledger.reserve_call(model_call("c2", tokens=6), [AGENT]), OverBudget)


async def test_next_day_begins_anew_in_utc(ledger: AnyLedger, clock: Clock) -> None:
    await ledger.reserve_call(model_call("c1", tokens=250), [AGENT])
    refusal = await ledger.reserve_call(model_call("c2"), [AGENT])
    assert isinstance(refusal, OverBudget)
    assert refusal.until is not None
    clock.now = refusal.until - timedelta(microseconds=1)
    assert isinstance(await ledger.reserve_call(model_call("c2"), [AGENT]), OverBudget)
    clock.now = refusal.until
    assert await ledger.reserve_call(model_call("c2"), [AGENT]) == Admitted()


async def test_day_that_the_owner_waived_is_not_bounded_and_still_counted(ledger: AnyLedger, clock: Clock) -> None:
    waived = AGENT.model_copy(update={"waived_on": "2026-03-01"})
    assert await ledger.reserve_call(model_call("c1", tokens=900), [waived]) == Admitted()
    refusal = await ledger.reserve_call(model_call("c2"), [AGENT])
    assert isinstance(refusal, OverBudget)
    assert refusal.used == 900
    clock.pass_by(timedelta(days=1))
    assert isinstance(await ledger.reserve_call(model_call("c3", tokens=900), [waived]), OverBudget)


async def test_budget_of_a_task_counts_its_chain_of_runs_for_good(ledger: AnyLedger, clock: Clock) -> None:
    cap = Cap(scope=Scope.TASK, micro_usd=1_500)
    await ledger.reserve_call(model_call("c1"), [cap])
    clock.pass_by(timedelta(days=2))
    refusal = await ledger.reserve_call(model_call("c2"), [cap])
    assert isinstance(refusal, OverBudget)
    assert (refusal.unit, refusal.until) == ("cost_usd", None)
    assert "$0.0015; $0.0010 are spent or reserved" in str(refusal)
    again = model_call("c3", chain="run-of-run-again")
    assert await ledger.reserve_call(again, [cap]) == Admitted()


async def test_every_budget_holds_and_a_refusal_reserves_in_none(ledger: AnyLedger) -> None:
    tenant = Cap(scope=Scope.TENANT, tokens=50)
    for _ in range(5):
        assert isinstance(await ledger.reserve_call(model_call("c1"), [AGENT, tenant]), OverBudget)
    assert await ledger.reserve_call(model_call("c1", tokens=250), [AGENT]) == Admitted()


async def test_free_call_fits_a_budget_that_is_spent(ledger: AnyLedger) -> None:
    cap = Cap(scope=Scope.AGENT, micro_usd=0)
    assert await ledger.reserve_call(model_call("c1", micro_usd=0), [cap]) == Admitted()
    assert isinstance(await ledger.reserve_call(model_call("c2", micro_usd=1), [cap]), OverBudget)


async def test_a_call_is_settled_once(ledger: AnyLedger) -> None:
    await ledger.reserve_call(model_call("c1"), [])
    await ledger.settle_call("c1", took(40, 10), said())
    await ledger.settle_call("c1", took(9_000, 10), said())
    await ledger.settle_call("never-reserved", took(), said())
    [line] = await ledger.usage(Grouping.TASK)
    assert (line.input_tokens, line.output_tokens) == (40, 10)
    assert len([each async for each in ledger.lines("refund-1")]) == 3


async def test_usage_is_summed_up_by_any_group(ledger: AnyLedger, clock: Clock) -> None:
    await ledger.reserve_call(model_call("c1"), [])
    await ledger.settle_call("c1", took(60, 10, cached=50), said())
    await ledger.reserve_call(model_call("c2", tenant="", model="anthropic:m"), [])
    await ledger.settle_call("c2", CallEnd(state=CallState.LOST), said())
    clock.pass_by(timedelta(days=1))
    await ledger.reserve_call(model_call("c3", task_id="refund-2"), [])
    await ledger.settle_call("c3", CallEnd(state=CallState.UNPAID), said())
    by_task = await ledger.usage(Grouping.TASK)
    assert by_task[0] == UsageLine(
        group="refund-1",
        calls=2,
        answered=1,
        cache_hits=1,
        input_tokens=60,
        cached_tokens=50,
        output_tokens=10,
        cost_usd=0.0007,
        unsettled_tokens=100,
        unsettled_usd=0.001,
    )
    assert by_task[1] == UsageLine(group="refund-2", calls=1)
    assert [line.group for line in await ledger.usage(Grouping.DAY)] == ["2026-03-01", "2026-03-02"]
    assert {line.group for line in await ledger.usage(Grouping.MODEL)} == {"openai:m", "anthropic:m"}
    assert {line.group for line in await ledger.usage(Grouping.TENANT)} == {"acme", ""}
    assert [line.calls for line in await ledger.usage(Grouping.AGENT)] == [3]
    assert [line.calls for line in await ledger.usage(Grouping.AGENT, clock.now)] == [1]
    assert await ledger.usage(Grouping.AGENT, clock.now + timedelta(seconds=1)) == []


async def fail(ledger: AnyLedger, name: str, end: CallEnd = OUTAGE) -> None:
    assert await ledger.reserve_call(model_call(name), []) == Admitted()
    await ledger.settle_call(name, end, said())


async def test_provider_that_failed_three_times_in_a_row_is_spared(ledger: AnyLedger, clock: Clock) -> None:
    await fail(ledger, "c1")
    await fail(ledger, "c2")
    await fail(ledger, "c3")
    spared = await ledger.reserve_call(model_call("c4"), [])
    assert isinstance(spared, ProviderOpen)
    assert (spared.provider, spared.until, spared.reason) == ("openai", clock.now + timedelta(seconds=5), "503")
    assert await ledger.reserve_call(model_call("c5", provider="anthropic"), []) == Admitted()
    assert await ledger.reserve_call(model_call("c6", provider=""), []) == Admitted()
    assert [each.failures for each in await ledger.breakers()] == [3]


async def test_after_the_pause_one_call_finds_out_and_the_others_wait_for_it(ledger: AnyLedger, clock: Clock) -> None:
    for name in ("c1", "c2", "c3"):
        await fail(ledger, name)
    clock.pass_by(timedelta(seconds=5))
    assert await ledger.reserve_call(model_call("trial"), []) == Admitted()
    assert isinstance(await ledger.reserve_call(model_call("c5"), []), ProviderOpen)
    await ledger.settle_call("trial", OUTAGE, said())
    spared = await ledger.reserve_call(model_call("c5"), [])
    assert isinstance(spared, ProviderOpen)
    assert spared.until == clock.now + timedelta(seconds=10), "twice as long"
    clock.pass_by(timedelta(seconds=10))
    await fail(ledger, "c6", took())
    assert await ledger.breakers() == []
    assert await ledger.reserve_call(model_call("c7"), []) == Admitted()


async def test_trial_that_never_ends_is_followed_by_another(ledger: AnyLedger, clock: Clock) -> None:
    for name in ("c1", "c2", "c3"):
        await fail(ledger, name)
    clock.pass_by(timedelta(seconds=5))
    assert await ledger.reserve_call(model_call("lost"), []) == Admitted()
    clock.pass_by(timedelta(seconds=30))
    assert await ledger.reserve_call(model_call("next"), []) == Admitted()


async def test_answer_ends_the_row_of_failures_and_a_rate_limit_says_nothing(ledger: AnyLedger) -> None:
    limited = CallEnd(state=CallState.UNPAID, reason="429")
    for name, end in (("c1", OUTAGE), ("c2", OUTAGE), ("c3", took()), ("c4", OUTAGE), ("c5", OUTAGE), ("c6", limited)):
        await fail(ledger, name, end)
    assert await ledger.reserve_call(model_call("c7"), []) == Admitted()


async def test_model_is_spared_as_long_as_its_provider_asked_and_no_other(ledger: AnyLedger, clock: Clock) -> None:
    await fail(ledger, "c1", CallEnd(state=CallState.UNPAID, reason="429", retry_after=7.5))
    spared = await ledger.reserve_call(model_call("c2"), [])
    assert isinstance(spared, ProviderOpen)
    assert (spared.provider, spared.until) == ("openai:m", clock.now + timedelta(seconds=7.5))
    assert await ledger.reserve_call(model_call("c3", model="openai:other"), []) == Admitted()
    await ledger.settle_call("c3", took(), said())
    assert isinstance(await ledger.reserve_call(model_call("c2"), []), ProviderOpen)
    clock.pass_by(timedelta(seconds=7.5))
    await fail(ledger, "c4", took())
    assert await ledger.breakers() == []


async def test_wish_for_a_pause_of_a_day_is_cut(ledger: AnyLedger, clock: Clock) -> None:
    await fail(ledger, "c1", CallEnd(state=CallState.UNPAID, reason="429", retry_after=86_400))
    [known] = await ledger.breakers()
    assert known.open_until == clock.now + timedelta(minutes=10)


async def test_pauses_grow_up_to_two_minutes(ledger: AnyLedger, clock: Clock) -> None:
    pauses = []
    for number in range(30):
        await fail(ledger, f"c{number}")
        [known] = await ledger.breakers()
        pauses.append((known.open_until or clock.now) - clock.now)
        clock.now = known.open_until or clock.now
    assert [pause.total_seconds() for pause in pauses[:8]] == [0, 0, 5, 10, 20, 40, 80, 120]
    assert pauses[-1] == timedelta(minutes=2)


async def test_processes_that_spend_at_once_never_overshoot_together(url: str) -> None:
    async with open_ledger(url):
        pass
    ended = await asyncio.gather(*(_spend(url, f"p{number}") for number in range(3)))
    counts: Counter[str] = Counter()
    for out in ended:
        counts.update({kind: int(count) for kind, count in (word.split("=") for word in out.split())})
    assert counts.total() == 3 * TRIES
    assert counts["OverBudget"] > 0, "else nothing was raced for"
    async with open_ledger(url) as ledger:
        lines = await ledger.usage(Grouping.AGENT)
        assert max(line.input_tokens + line.output_tokens + line.unsettled_tokens for line in lines) <= 1_000
        [tenant] = await ledger.usage(Grouping.TENANT)
        assert tenant.cost_usd + tenant.unsettled_usd <= 0.015
        assert tenant.calls == counts["Admitted"]
        caps = [Cap(scope=Scope.TENANT, micro_usd=15_000)]
        more = [await ledger.reserve_call(model_call(f"more-{number}", provider=""), caps) for number in range(16)]
        fitted = sum(isinstance(each, Admitted) for each in more)
        assert fitted == int((0.015 - tenant.cost_usd - tenant.unsettled_usd) / 0.001 + 1e-6), "what fits is let in"


async def _spend(url: str, name: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.ledger.spent", url, name, cwd=_ROOT, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


def _tables(db: Connection) -> list[str]:
    return inspect(db).get_table_names()


def _drop(db: Connection) -> None:
    for table in ("lastmile_calls", "lastmile_breakers"):
        db.execute(text(f"DROP TABLE {table}"))


async def test_ledger_that_was_made_before_there_were_budgets_gets_their_tables(url: str) -> None:
    async with open_ledger(url) as ledger:
        await ledger._store.write(_drop)
    async with open_ledger(url) as ledger:
        assert {"lastmile_calls", "lastmile_breakers"} <= set(await ledger._store.read(_tables))
        assert await ledger.reserve_call(model_call(), [AGENT]) == Admitted()
