"""What a planning call is reserved as and settled at, whatever comes of it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from core.errors import LedgerDown, PlannerBusy, PlannerDown
from core.messages import BudgetExceeded, PlannerUnavailable, PlanProposed, PlanRefused
from core.ports import Reply
from core.profile import Model as Offer
from core.spending import DayBudget, Grouping, TenantBudgets, Usage, UsageLine
from tests.activities.bench import TASK, Bench
from tests.activities.test_planning import PLAN, Model, order, propose

OFFER = Offer(name="openai:x", input_usd_per_mtok=2.0, output_usd_per_mtok=10.0, provider="openai")
ANSWER = Reply(document=PLAN, usage=Usage(input_tokens=1_000, output_tokens=100), latency_ms=7)
OUTAGE = PlannerBusy("503", is_outage=True)


def offered(**changes: Any) -> Any:
    given: dict[str, Any] = {"offer": OFFER, "input_tokens": 2_000, "max_output_tokens": 500, "attempts": 1}
    return order(**(given | changes))


def use(bench: Bench, **changes: Any) -> None:
    bench.staff.agents["support_desk"] = replace(bench.agent, **changes)


async def spent(bench: Bench) -> UsageLine:
    [line] = await bench.ledger.usage(Grouping.TASK)
    assert isinstance(line, UsageLine)
    return line


async def test_call_is_reserved_before_it_is_made_and_settled_at_what_it_took(bench: Bench) -> None:
    seen: list[UsageLine] = []

    class Watching(Model):
        async def propose(self, prompt: Any) -> Reply:
            seen.append(await spent(bench))
            return await super().propose(prompt)

    assert isinstance(await propose(bench, Watching([ANSWER]), offered()), PlanProposed)
    assert (seen[0].unsettled_tokens, seen[0].unsettled_usd) == (2_500, 0.009)
    line = await spent(bench)
    assert (line.input_tokens, line.output_tokens, line.cost_usd, line.unsettled_tokens) == (1_000, 100, 0.003, 0)
    [audited] = [each async for each in bench.ledger.lines(TASK)]
    assert audited.fields["cost_usd"] == 0.003


@pytest.mark.parametrize(
    ("budget", "bound"), [(DayBudget(tokens_per_day=2_499), "tokens"), (DayBudget(usd_per_day=0.008), "cost_usd")]
)
async def test_call_that_does_not_fit_is_not_made(bench: Bench, budget: DayBudget, bound: str) -> None:
    use(bench, budget=budget)
    model = Model([ANSWER])
    report = await propose(bench, model, offered())
    assert isinstance(report, BudgetExceeded)
    assert (report.scope, report.bound, report.call) == ("agent", bound, 3)
    assert report.until is not None
    assert report.until.isoformat() == "2026-01-06T00:00:00+00:00"
    assert model.prompts == []
    assert await bench.events() == ["budget.found_exceeded"]


async def test_budget_of_the_task_is_the_ledgers_word(bench: Bench) -> None:
    await propose(bench, Model([PlannerBusy("cut", may_have_cost=True)]), offered(allowed_tokens=4_000))
    report = await propose(bench, Model([ANSWER]), offered(allowed_tokens=4_000), attempt=2)
    assert isinstance(report, BudgetExceeded)
    assert (report.scope, report.until) == ("task", None)


async def test_tenant_of_the_inputs_has_a_budget_of_its_own(bench: Bench) -> None:
    rich = {"rich": DayBudget()}
    use(bench, tenants=TenantBudgets(pointer="/tenant", each=DayBudget(tokens_per_day=2_600), of=rich))

    async def ask(tenant: Any, attempt: int) -> Any:
        inputs = {"inputs": {"tenant": tenant}} if tenant is not None else {}
        return await propose(bench, Model([ANSWER]), offered(briefing=inputs), attempt)

    assert isinstance(await ask("acme", 1), PlanProposed)
    report = await ask("acme", 2)
    assert isinstance(report, BudgetExceeded)
    assert (report.scope, "tenant acme" in report.reason) == ("tenant", True)
    assert isinstance(await ask("other", 3), PlanProposed)
    assert isinstance(await ask("rich", 4), PlanProposed)
    assert isinstance(await ask("rich", 5), PlanProposed)
    assert isinstance(await ask(None, 6), PlanProposed)
    assert isinstance(await ask({"no": "name"}, 7), BudgetExceeded), "tasks that name none share one budget"


async def test_waived_budget_lets_the_call_pass_today(bench: Bench) -> None:
    use(bench, budget=DayBudget(tokens_per_day=1))
    assert isinstance(await propose(bench, Model([ANSWER]), offered(waived_on="2026-01-05")), PlanProposed)
    bench.clock.advance(days=1)
    report = await propose(bench, Model([ANSWER]), offered(waived_on="2026-01-05"), attempt=2)
    assert isinstance(report, BudgetExceeded)


LOST, UNPAID = 2_500, 0


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (PlannerBusy("connection refused", is_outage=True), UNPAID),
        (PlannerBusy("no answer in time", may_have_cost=True), LOST),
        (PlannerDown("bad key"), UNPAID),
        (ZeroDivisionError("a bug in the adapter"), LOST),
    ],
)
async def test_what_may_have_to_be_paid_stays_counted(bench: Bench, error: Exception, counted: int) -> None:
    assert isinstance(await propose(bench, Model([error]), offered()), PlannerUnavailable)
    assert (await spent(bench)).unsettled_tokens == counted


async def test_answer_without_figures_stays_counted_as_reserved(bench: Bench) -> None:
    await propose(bench, Model([Reply(fault="no plan")]), offered())
    assert (await spent(bench)).unsettled_tokens == LOST


async def test_each_attempt_is_reserved_by_itself_and_seen_in_the_audit(bench: Bench) -> None:
    model = Model([PlannerBusy("429", 1.0), Reply(fault="not JSON", usage=Usage(input_tokens=5))])
    with pytest.raises(ApplicationError):
        await propose(bench, model, offered(attempts=2))
    bench.clock.advance(seconds=1)
    assert isinstance(await propose(bench, model, offered(attempts=2), attempt=2), PlanRefused)
    line = await spent(bench)
    assert (line.calls, line.answered, line.input_tokens, line.unsettled_tokens) == (2, 1, 5, 0)
    assert await bench.events() == ["planner.found_busy", "plan.refused"]


async def test_provider_that_fails_is_spared_by_every_worker(bench: Bench) -> None:
    for attempt in range(1, 4):
        await propose(bench, Model([OUTAGE]), offered(), attempt)
    untouched = Model([ANSWER])
    report = await propose(bench, untouched, offered(), attempt=4)
    assert isinstance(report, PlannerUnavailable)
    assert (report.attempts, untouched.prompts) == (0, [])
    assert "openai is not asked before 09:00:05 UTC: 503" in report.reason
    bench.clock.advance(seconds=5)
    assert isinstance(await propose(bench, untouched, offered(), attempt=5), PlanProposed)
    assert await bench.ledger.breakers() == []


async def test_model_without_another_behind_it_waits_as_long_as_its_provider_asked(bench: Bench) -> None:
    with pytest.raises(ApplicationError) as raised:
        await propose(bench, Model([PlannerBusy("429", 7.0)]), offered(attempts=4))
    assert raised.value.next_retry_delay == timedelta(seconds=7)
    bench.clock.advance(seconds=2)
    other_task = Model([ANSWER])
    with pytest.raises(ApplicationError) as waits:
        await propose(bench, other_task, offered(attempts=4), attempt=2)
    assert (waits.value.next_retry_delay, other_task.prompts) == (timedelta(seconds=5), [])
    report = await propose(bench, other_task, offered(attempts=1), attempt=3)
    assert isinstance(report, PlannerUnavailable), "another model stands behind it, and is asked at once"
    bench.clock.advance(seconds=5)
    assert isinstance(await propose(bench, other_task, offered(attempts=4), attempt=4), PlanProposed)


async def test_no_call_is_made_while_nothing_can_be_reserved(bench: Bench) -> None:
    bench.ledger.faults["reserve_call"] = ["down"]
    model = Model([ANSWER])
    with pytest.raises(ApplicationError) as raised:
        await propose(bench, model, offered())
    assert (raised.value.type, raised.value.non_retryable, model.prompts) == (LedgerDown.__name__, False, [])


async def test_order_of_an_earlier_release_is_counted_without_a_price(bench: Bench) -> None:
    await propose(bench, Model([ANSWER]), order())
    line = await spent(bench)
    assert (line.input_tokens, line.cost_usd) == (1_000, 0.0)
