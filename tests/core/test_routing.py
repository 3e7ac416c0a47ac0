"""Which model is asked for what, and why; and what happens when a budget does not hold the next call."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core import orders
from core.budget import reserved_micro_usd
from core.card import card
from core.messages import (
    BudgetExceeded,
    GoalAmended,
    OutcomeNotVerified,
    PlannerUnavailable,
    PlanOrder,
    ProposePlan,
)
from core.profile import Model
from core.routing import Purpose, purpose_of
from core.spending import Usage
from core.views import request_views, result_view, status_view
from tests.core.story import DAY, HOUR, START, Story, step

CHEAP, STRONG, LAST = Model(name="a:cheap"), Model(name="b:strong"), Model(name="c:last")
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)


def routed(**fields: Any) -> Story:
    given: dict[str, Any] = {"route": (CHEAP, STRONG, LAST), "strong": "b:strong", "routed": True}
    return Story(**(given | fields)).opened()


def asked(story: Story) -> PlanOrder:
    [command] = [one for one in story.commands if isinstance(one, ProposePlan)]
    return orders.plan_order(story.state, command, "first-run")


def unaffordable(story: Story, **fields: Any) -> Story:
    given = {"scope": "agent", "bound": "tokens", "reason": "the budget is spent", "until": MIDNIGHT}
    return story.tell(BudgetExceeded(call=story.state.planning.call, **(given | fields)))


def test_the_first_call_is_to_plan_and_asks_the_first_of_the_route() -> None:
    order = asked(routed())
    assert (order.model, order.purpose, order.because, order.chain) == ("a:cheap", "plan", "", "first-run")
    assert order.attempts == 1, "others stand behind it"


def test_each_purpose_has_its_own_route() -> None:
    routes = {"replan": (STRONG,), "conclude": (LAST,)}
    story = routed(strong="", route=(CHEAP,), routes=routes)
    assert (asked(story).model, asked(story).attempts) == ("a:cheap", 4)
    story.plan(step("s1")).done("r1.s1")
    assert (asked(story).model, asked(story).purpose) == ("c:last", "conclude")
    story.plan(step("s2", "pay"), model="c:last").refused("r2.s2")
    assert (asked(story).model, asked(story).purpose) == ("b:strong", "replan")
    story.plan(step("s3"), model="b:strong").tell()
    assert story.state.spent.planning_calls == 3


def test_new_wish_is_planned_and_not_replanned() -> None:
    story = routed().plan(step("s1", "pay")).refused("r1.s1")
    assert purpose_of(story.state) is Purpose.REPLAN

    story.tell(GoalAmended(goal="something else"))
    assert purpose_of(story.state) is Purpose.PLAN


def test_outcome_that_does_not_hold_is_replanned() -> None:

    story = routed().plan(step("s1"), finish="ok").done("r1.s1").tell(OutcomeNotVerified(unmet=("no mail",)))
    assert asked(story).purpose == "replan"


def test_little_confidence_asks_the_strong_one_and_says_why() -> None:
    story = routed(limits={"confidence": 0.5}).plan(step("s1"), confidence=0.4)
    order = asked(story)
    assert (order.model, order.because) == ("b:strong", "the plan's confidence is 0.4")
    assert "b:strong to plan, because the plan's confidence is 0.4" in status_view(story.state).asked
    assert "because the plan's confidence is 0.4" in card(story.state)
    story.plan(step("s1"), confidence=0.4, model="b:strong")
    assert story.request.cause == "confidence", "nobody is stronger: its owner decides"


def test_plans_refused_twice_ask_the_strong_one_then_its_owner() -> None:
    story = routed(limits={"repairs": 3}).refuse_plan()
    assert asked(story).model == "a:cheap"
    assert asked(story.refuse_plan("not JSON")).model == "b:strong"
    assert asked(story.refuse_plan()).model == "b:strong"
    assert asked(story.refuse_plan()).model == "b:strong"
    assert story.refuse_plan().request.cause == "plans_refused"


def test_call_of_high_stakes_is_planned_by_the_strong_one_only() -> None:
    story = routed(high_stakes=("pay",)).plan(step("s1"), step("s2", "pay"))
    assert story.ids == ["plan:1"], "nothing of the cheap plan is carried out"
    assert (asked(story).model, asked(story).because) == ("b:strong", "the plan calls pay, whose stakes are high")
    story.plan(step("s2", "pay"), model="b:strong")
    assert story.ids == ["call:r1.s2:1:1"]
    story.refused("r1.s2")
    assert asked(story).model == "a:cheap", "cheap first again"


def test_without_a_strong_one_by_name_the_last_of_the_route_plans_what_is_of_high_stakes() -> None:
    story = routed(strong="", high_stakes=("pay",)).plan(step("s2", "pay"))
    assert asked(story).model == "c:last"
    alone = routed(strong="", route=(CHEAP,), high_stakes=("pay",)).plan(step("s2", "pay"))
    assert alone.ids == ["call:r1.s2:1:1"]


def test_strong_one_that_is_down_is_waited_for_and_not_replaced_by_a_weaker_one() -> None:
    story = routed(route=(CHEAP, STRONG), high_stakes=("pay",)).plan(step("s2", "pay"))
    story.no_model("529")
    assert story.status == "WAITING"
    assert "next try at 09:00:05 UTC" in status_view(story.state).waiting_reason
    assert asked(story.wait(timedelta(seconds=5))).model == "b:strong"


def test_model_behind_the_strong_one_stands_in_for_it() -> None:
    story = routed(high_stakes=("pay",)).plan(step("s2", "pay")).no_model("529")
    assert asked(story).model == "c:last"
    assert story.plan(step("s2", "pay"), model="c:last").ids == ["call:r1.s2:1:1"]


def test_model_that_is_down_hands_over_at_once_and_is_asked_again_in_the_next_round() -> None:
    story = routed().no_model("503")
    assert (asked(story).model, asked(story).because) == ("b:strong", "a:cheap was not to be had: 503")
    story.plan(step("s1"), model="b:strong").done("r1.s1")
    assert asked(story).model == "a:cheap"


def test_all_down_parks_with_growing_pauses_and_wakes_by_itself() -> None:
    story = routed()
    for pause in (5, 10, 20):
        story.no_model().no_model().no_model()
        assert story.status == "WAITING"
        assert story.until == story.now + timedelta(seconds=pause)
        assert asked(story.wait(timedelta(seconds=pause))).model == "a:cheap"


def no(story: Story) -> Story:
    """Give a definite no."""
    model = asked(story).model
    return story.tell(PlannerUnavailable(call=story.state.planning.call, model=model, reason="bad key", definite=True))


def test_model_that_gave_a_definite_no_is_not_asked_again_before_the_owner_says_so() -> None:
    story = no(routed(route=(CHEAP, STRONG)))
    assert asked(story).model == "b:strong"
    assert asked(story).attempts == 4, "nobody stands behind it"
    assert story.no_model().status == "WAITING"
    assert asked(story.wait(timedelta(seconds=5))).model == "b:strong"
    story.plan(step("s1"), model="b:strong").done("r1.s1")
    assert asked(story).model == "b:strong", "also in the next round"
    no(story)
    assert (story.status, story.request.cause) == ("AWAITING_PERSON", "no_model")
    assert "no language model can be used: bad key" in story.request.reason
    story.say("answer", {"choice": "retry", "by": "lea"})
    assert asked(story).model == "a:cheap"


def test_owner_is_told_what_was_wrong_with_the_plan_before_no_model_was_left() -> None:
    story = no(routed(route=(CHEAP,)).refuse_plan("s3 is no text"))
    assert story.request.reason.startswith("no language model can be used: bad key; the last plan was refused: ")
    assert "s3 is no text" in story.request.reason


def test_strong_one_that_gave_a_definite_no_asks_the_owner() -> None:
    story = routed(route=(CHEAP, STRONG), high_stakes=("pay",)).plan(step("s2", "pay"))
    assert no(story).request.cause == "no_model"


def test_call_that_was_not_made_costs_nothing() -> None:
    story = routed().tell(PlannerUnavailable(call=0, model="a:cheap", reason="spared", attempts=0))
    assert story.state.spent.planning_calls == 0
    assert asked(story).model == "b:strong"


def test_order_says_what_the_ledger_is_to_reserve() -> None:
    dear = Model(name="a:cheap", input_usd_per_mtok=1.0, output_usd_per_mtok=4.0, provider="a", queue="lastmile-a")
    order = asked(routed(route=(dear,), strong="", prompt_tokens=500, limits={"tokens": 9_000, "cost_usd": 0.5}))
    assert order.offer == dear
    assert order.input_tokens > 500
    assert order.input_tokens + order.max_output_tokens <= 9_000
    assert (order.allowed_tokens, order.allowed_usd) == (9_000, 0.5)


def test_model_may_answer_as_long_as_it_says_itself_and_else_as_the_profile_says() -> None:
    brief, broad = Model(name="a:cheap", max_output_tokens=300), Model(name="a:cheap", max_output_tokens=6_000)
    lengths = [asked(routed(route=(one,), strong="")).max_output_tokens for one in (brief, CHEAP, broad)]
    assert lengths == [300, 4096, 6_000]


def test_budget_of_the_task_asks_its_owner_who_may_grant_it_again() -> None:
    story = unaffordable(routed(limits={"tokens": 9_000}), scope="task", until=None)
    assert (story.status, story.request.cause) == ("AWAITING_PERSON", "tokens")
    story.say("answer", {"choice": "retry", "by": "lea"})
    assert asked(story).allowed_tokens == 18_000


def test_budget_of_a_day_asks_the_owner_and_goes_on_by_itself_the_next_day() -> None:
    story = unaffordable(routed(ladder={"expire_after": HOUR}))
    request = story.request
    assert (story.status, request.cause, request.choices) == ("AWAITING_PERSON", "budget", ("retry", "end"))
    assert (request.resumes_at, request.expires_at) == (MIDNIGHT, None)
    assert "goes on by itself at 2026-03-02 00:00 UTC" in request.reason
    assert request_views(story.state)[0].resumes_at == MIDNIGHT
    assert "until** 2026-03-02 00:00 UTC" in card(story.state)
    story.wait(MIDNIGHT - START - timedelta(seconds=1))
    assert (story.status, story.ids) == ("AWAITING_PERSON", [])
    assert story.until == MIDNIGHT
    story.wait(timedelta(seconds=1))
    assert (story.status, story.ids, story.state.requests) == ("PLANNING", ["plan:1"], {})
    assert asked(story).waived_on == ""


def test_owner_may_let_the_task_go_on_today() -> None:
    story = unaffordable(routed()).say("answer", {"choice": "retry", "by": "lea"})
    assert asked(story).waived_on == "2026-03-01"
    late = unaffordable(routed(limits={"wall_time": 10 * DAY})).say("answer", {"choice": "end", "by": "lea"})
    assert late.status == "FAILED"


def test_budget_is_not_answered_by_what_it_does_not_offer() -> None:
    story = unaffordable(routed()).say("answer", {"choice": "skip", "by": "lea"})
    assert story.request.cause == "budget"
    assert "(retry/end)" in story.state.unaccepted[-1]


def test_worker_whose_clock_is_behind_does_not_ask_again_and_again() -> None:
    story = unaffordable(routed()).wait(MIDNIGHT - START)
    unaffordable(story)
    assert story.until == MIDNIGHT + timedelta(minutes=1)


def test_plan_of_high_stakes_by_a_cheap_model_is_not_carried_out_by_anybodys_word() -> None:
    story = routed(high_stakes=("pay",), limits={"steps": 1}).plan(step("s1", "pay"), step("s2", "pay"))
    story.plan(step("s1"), step("s2"), model="b:strong")
    assert story.request.cause == "steps"
    story.say("answer", {"choice": "retry", "by": "lea"})
    assert {one.tool for one in story.state.steps.values()} == {"look"}


def test_dollars_that_are_left_fit_what_the_ledger_has_rounded_up() -> None:
    dear = Model(name="a:cheap", input_usd_per_mtok=1.5, output_usd_per_mtok=7.0)
    story = routed(route=(dear,), strong="", limits={"cost_usd": 0.01})
    order = asked(story)
    assert order.max_output_tokens < 4096
    assert reserved_micro_usd(dear, order.input_tokens, order.max_output_tokens) <= 10_000 - 99


def test_report_of_a_budget_that_comes_too_late_changes_nothing() -> None:
    story = routed().refuse_plan()
    before = story.state
    story.tell(BudgetExceeded(call=0, scope="agent", bound="tokens", reason="late", until=MIDNIGHT))
    assert story.state == before


@pytest.mark.parametrize("cached", [0, 80])
def test_what_came_out_of_the_cache_is_cheaper_and_shown(cached: int) -> None:

    model = Model(name="a:cheap", input_usd_per_mtok=10.0, cached_input_usd_per_mtok=1.0, output_usd_per_mtok=0)
    story = routed(route=(model,), strong="")
    story.plan(step("s1"), model="a:cheap", usage=Usage(input_tokens=100, cached_tokens=cached))
    assert story.state.spent.cost_usd == pytest.approx((100 - cached) * 10e-6 + cached * 1e-6)
    assert result_view(story.state).usage.cached_tokens == cached
    assert ("from the cache" in card(story.state)) is bool(cached)
