"""Every bound ends planning before it is overrun, and reaches the owner, who may grant it once more."""

from collections.abc import Callable

import pytest

from core.budget import allowance
from core.profile import Model
from core.spending import Usage
from tests.core.story import DAY, HOUR, Story, step

PRICED = (Model(name="a:1", input_usd_per_mtok=1.0, output_usd_per_mtok=4.0),)


def _rounds() -> Story:
    return Story(limits={"rounds": 1}).opened().plan(step("s1")).done("r1.s1")


def _steps_used() -> Story:
    return Story(limits={"steps": 1}).opened().plan(step("s1")).done("r1.s1")


def _steps_of_a_plan() -> Story:
    return Story(limits={"steps": 1}).opened().plan(step("s1"), step("s2"))


def _tokens() -> Story:
    used = Usage(input_tokens=3000, output_tokens=500)
    return Story(limits={"tokens": 4000}).opened().plan(step("s1"), usage=used).done("r1.s1")


def _cost() -> Story:
    used = Usage(input_tokens=8000, output_tokens=500)
    return Story(limits={"cost_usd": 0.01}, route=PRICED).opened().plan(step("s1"), usage=used).done("r1.s1")


def _same_call() -> Story:
    story = Story(limits={"same_call": 2}).opened()
    return story.plan(step("s1", x=1)).done("r1.s1", result=5).plan(step("s1", x=1)).done("r2.s1", result=5)


@pytest.mark.parametrize(
    ("reach", "cause"),
    [
        (_rounds, "rounds"),
        (_steps_used, "steps"),
        (_steps_of_a_plan, "steps"),
        (_tokens, "tokens"),
        (_cost, "cost_usd"),
        (_same_call, "same_call"),
    ],
)
def test_bound_reaches_the_owner(reach: Callable[[], Story], cause: str) -> None:
    story = reach()
    assert (story.status, story.ids) == ("AWAITING_PERSON", [])
    assert (story.request.kind, story.request.cause, story.request.owner) == ("stuck", cause, "leads")
    assert story.request.may_answer == ("lea",)
    limit = allowance(story.state, cause)
    story.say("answer", {"choice": "retry", "by": "lea"})
    assert story.ids != [], "the owner lets the task go on"
    if cause != "same_call":
        assert allowance(story.state, cause) == 2 * limit


@pytest.mark.parametrize("choice", ["retry", "skip", "replan"])
@pytest.mark.parametrize("reach", [_rounds, _steps_used, _steps_of_a_plan, _tokens, _cost])
def test_every_choice_but_end_raises_the_bound_and_the_request_says_so(reach: Callable[[], Story], choice: str) -> None:
    story = reach()
    cause = story.request.cause
    limit = allowance(story.state, cause)
    assert story.request.note == f"Every choice but `end` raises the limit {cause} by as much again."
    story.say("answer", {"choice": choice, "by": "lea", "replan": "otherwise"})
    assert allowance(story.state, cause) == 2 * limit


def test_request_that_no_bound_led_to_promises_no_more_of_it() -> None:
    assert _same_call().request.note == ""


def test_grants_add_up_and_do_not_double() -> None:
    story = Story(limits={"rounds": 2}).opened()
    for _ in range(8):
        if story.ids:
            story.plan(step("s1", n=story.state.round)).done(f"r{story.state.round}.s1", result=story.state.round)
        else:
            story.say("answer", {"choice": "retry", "by": "lea"})
    grants = [one for one in story.state.closed.values() if one.how.startswith("retry")]
    assert allowance(story.state, "rounds") == 2 + 2 * len(grants) == 6


def test_money_granted_is_the_limit_and_not_a_dollar() -> None:
    story = _cost()
    story.say("answer", {"choice": "retry", "by": "lea"})
    assert allowance(story.state, "cost_usd") == pytest.approx(0.02)


def test_large_results_count_before_the_next_prompt_is_paid_for() -> None:
    story = Story(limits={"tokens": 6000}).opened().plan(step("s1"), step("s2"), step("s3"))
    story.done("r1.s1", "r1.s2", "r1.s3", result="x" * 8000)
    assert story.ids == []
    assert story.request.cause == "tokens"


def test_scripted_model_is_held_by_what_it_may_answer_and_by_what_its_replies_declare() -> None:
    story = Story(limits={"tokens": 600}, route=(Model(name="scripted:x"),), prompt_tokens=10_000).opened()
    assert story.ids == ["plan:0"], "it has no prompt"
    story.plan(step("s1"), usage=Usage(input_tokens=350), model="scripted:x").done("r1.s1")
    assert story.request.cause == "tokens", "less than the shortest answer is left"


def test_different_results_of_the_same_call_are_progress() -> None:
    story = Story(limits={"same_call": 2}).opened()
    story.plan(step("s1", x=1)).done("r1.s1", result=5).plan(step("s1", x=1)).done("r2.s1", result=6)
    assert story.ids == ["plan:2"]


def test_wall_time_ends_the_task_as_expired() -> None:
    story = Story().opened().plan(step("s1", "pay"), step("s2", after=("s1",)))
    story.wait(7 * DAY)
    assert (story.ids, story.status) == (["call:r1.s1:1:1"], "RECOVERING")
    assert story.done("r1.s1").ids == ["finish"]
    assert story.status == "EXPIRED"
    assert "task:ended" in story.rungs


def test_wall_time_goes_on_while_paused() -> None:
    story = Story(limits={"wall_time": HOUR}).opened()
    story.say("approve")
    assert story.until == story.state.started_at + HOUR
    assert story.wait(HOUR).status == "EXPIRED"


def test_owner_may_end_a_task_that_is_stuck() -> None:
    story = _rounds().say("answer", {"choice": "end", "by": "lea", "comment": "enough"})
    assert (story.status, story.ids) == ("FAILED", ["finish"])
    assert story.state.ending is not None
    assert "enough" in story.state.ending.reason
