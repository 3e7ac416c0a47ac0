"""The route of language models: failover, parking, repairs, confidence."""

from datetime import timedelta

import pytest

from core.messages import ActivityBroke, PlannerUnavailable
from core.profile import Model
from tests.core.story import HOUR, Story, step

MINUTE = timedelta(minutes=1)


def test_model_that_is_down_hands_over_to_the_next() -> None:
    story = Story().opened().no_model()
    assert story.ids == ["plan:1"]
    assert story.state.planning.route == 1
    story.plan(step("s1"), model="b:2").done("r1.s1")
    assert story.state.planning.route == 1, "what is down is not asked first"


def test_task_waits_when_all_models_are_down_and_tries_again() -> None:
    story = Story().opened().no_model().no_model("503 too")
    assert (story.status, story.ids) == ("WAITING", [])
    assert story.until == story.now + timedelta(seconds=5)
    assert story.rungs == ["task:parked1"]
    assert story.wait(timedelta(seconds=4)).ids == []
    assert story.wait(timedelta(seconds=1)).ids == ["plan:2"]
    assert (story.status, story.state.planning.route) == ("PLANNING", 0)


def test_intervals_grow_up_to_ten_minutes_and_never_overflow() -> None:
    story = Story(route=(Model(name="a:1"),), limits={"wall_time": timedelta(days=300)}).opened()
    pauses = []
    for _ in range(60):
        story.no_model()
        assert story.state.retry_at is not None
        pauses.append((story.state.retry_at - story.now).total_seconds())
        story.wait(story.state.retry_at - story.now)
    assert pauses[:8] == [5, 10, 20, 40, 80, 160, 320, 600]
    assert set(pauses[8:]) == {600}
    assert len(story.rungs) == len(set(story.rungs)) == 1, "the owner is told once per outage"


def test_owner_is_told_of_each_outage() -> None:
    story = Story(route=(Model(name="a:1"),)).opened().no_model().wait(MINUTE).plan(step("s1")).done("r1.s1")
    story.no_model()
    assert len(set(story.rungs)) == len(story.rungs) == 2
    assert story.state.retry_at == story.now + timedelta(seconds=5)


def test_reply_that_is_no_plan_ends_an_outage() -> None:
    story = Story(route=(Model(name="a:1"),)).opened().no_model().wait(MINUTE).refuse_plan().no_model()
    assert story.state.retry_at == story.now + timedelta(seconds=5)


def test_refused_plans_are_repaired_then_the_next_model_then_the_owner() -> None:
    story = Story(limits={"repairs": 2}).opened().refuse_plan("one")
    assert (story.ids, story.state.planning.route, story.state.planning.faults) == (["plan:1"], 0, ("plan: one",))
    assert (story.refuse_plan().ids, story.state.planning.route) == (["plan:2"], 1)
    assert story.refuse_plan().ids == ["plan:3"]
    story.refuse_plan("not JSON")
    assert (story.status, story.request.cause) == ("AWAITING_PERSON", "plans_refused")
    assert "not JSON" in story.request.reason


def test_plan_that_fits_ends_the_row_of_refusals() -> None:
    story = Story(limits={"repairs": 2}).opened().refuse_plan().plan(step("s1")).done("r1.s1").refuse_plan()
    assert story.state.planning.route == 0


def test_little_confidence_takes_the_next_model_then_the_owner() -> None:
    story = Story(limits={"confidence": 0.5}).opened().plan(step("s1"), confidence=0.4)
    assert (story.ids, story.state.planning.route) == (["plan:1"], 1)
    story.plan(step("s2"), confidence=0.3, model="b:2", finish="ok")
    assert story.request.cause == "confidence"
    story.say("answer", {"choice": "skip", "by": "lea"})
    assert story.ids == ["call:r1.s2:1:1"], "the owner lets the plan pass"


def test_question_that_came_with_little_confidence_is_still_put() -> None:
    story = (
        Story(limits={"confidence": 0.5}, route=(Model(name="a:1"),)).opened().plan(ask="which one?", confidence=0.1)
    )
    assert story.request.cause == "confidence"
    story.say("answer", {"choice": "skip", "by": "lea"})
    assert (story.status, story.request.reason, story.ids) == ("AWAITING_PERSON", "which one?", [])


def test_every_call_is_paid_for_also_one_that_comes_too_late() -> None:
    story = Story(route=(Model(name="a:1", input_usd_per_mtok=10.0, output_usd_per_mtok=100.0),)).opened()
    story.plan(step("s1"))
    assert story.state.spent.cost_usd == pytest.approx(0.002)
    late = Story(route=story.profile.route).opened()
    late.tell(PlannerUnavailable(call=7, model="a:1", reason="late"))
    assert (late.state.spent.planning_calls, late.ids) == (1, ["plan:0"])


def test_planning_that_broke_counts_as_a_model_that_is_down() -> None:
    story = Story().opened().tell(ActivityBroke(command="plan:0", reason="time-out"))
    assert (story.ids, story.state.planning.route) == (["plan:1"], 1)


def test_earlier_call_that_broke_does_not_end_the_one_under_way() -> None:
    story = Story().opened().refuse_plan()
    before = story.state
    story.tell(ActivityBroke(command="plan:0", reason="time-out"))
    assert story.state == before


def test_task_waits_since_every_model_went_down_and_not_since_the_last_try() -> None:
    story = Story().opened().wait(HOUR).no_model().no_model()
    since = story.now
    assert (story.status, story.state.since) == ("WAITING", since)
    story.wait(HOUR).no_model().no_model()
    assert (story.status, story.state.since) == ("WAITING", since)
    story.wait(HOUR).plan(step("s1")).done("r1.s1").wait(HOUR).no_model().no_model()
    assert (story.status, story.state.since) == ("WAITING", story.now)
