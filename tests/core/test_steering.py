"""Amend, pause, resume and cancel, at every stage."""

from collections.abc import Callable

import pytest

from core.machine import apply
from core.messages import (
    ActivityBroke,
    CallOrder,
    CallTool,
    CancelRequested,
    Event,
    GoalAmended,
    OutcomeVerified,
    Paused,
    PlanProposed,
    Resumed,
    TaskOpened,
    TaskRefused,
)
from core.orders import call_order
from core.profile import Model
from core.task import Phase
from tests.core.story import DAY, Story, planned, step

NEW = GoalAmended(goal="cancel order 1042", inputs={"order": 8}, by="rob")


def opening() -> Story:
    return Story()


def planning() -> Story:
    return Story().opened()


def parked() -> Story:
    return Story(route=(Model(name="a:1"),)).opened().no_model()


def acting() -> Story:
    return Story().opened().plan(step("s1"), step("s2", "pay", after=("s1",)), finish="ok")


def asking() -> Story:
    return Story().opened().plan(step("s1", "pay"), finish="ok").asks("r1.s1")


def doubting() -> Story:
    return Story().opened().plan(step("s1", "mail"), step("s2", after=("s1",)), finish="ok").unknown("r1.s1")


def concluding() -> Story:
    return Story().opened().plan(step("s1"), finish="ok").done("r1.s1")


def held() -> Story:
    return Story(limits={"repairs": 1}, route=(Model(name="a:1"),)).opened().refuse_plan()


def asked() -> Story:
    return Story().opened().plan(ask="which?")


STAGES = [opening, planning, parked, acting, asking, doubting, concluding, held, asked]
every_stage = pytest.mark.parametrize("at", STAGES)


@every_stage
def test_amended_task_plans_again_for_what_is_now_wanted(at: Callable[[], Story]) -> None:
    story = at().tell(NEW)
    assert (story.state.spec.goal, story.state.spec.inputs, story.state.amendments) == (NEW.goal, NEW.inputs, 1)
    if at is opening:
        story.opened()
    if at is acting:
        story.done("r1.s1")
    if at is doubting:
        assert story.ids == [], "first what became of the mail"
        story.say("answer", {"choice": "happened", "by": "lea"}).done("r1.s1")
    assert len(story.ids) == 1
    assert story.ids[0].startswith("plan:")
    assert story.state.requests == {}
    assert all(one.phase in (Phase.SUCCEEDED, Phase.DROPPED) for one in story.state.steps.values())


def test_plan_for_the_old_wish_is_ignored() -> None:
    story = planning().tell(NEW, planned(step("s1"), call=0))
    assert story.ids == ["plan:1"]
    assert story.state.spent.planning_calls == 1


def test_conclusion_about_the_old_wish_is_ignored() -> None:
    story = concluding().tell(NEW).plan(finish="done otherwise")
    assert story.ids == ["conclude:2:1"]
    story.tell(OutcomeVerified(answer="the old one", entry=0), ActivityBroke(command="conclude:1:0", reason="late"))
    assert (story.ids, story.state.answer) == (["conclude:2:1"], "")
    assert story.tell(OutcomeVerified(answer="the new one", entry=1)).status == "COMPLETED"


def test_old_call_that_needs_an_approval_is_dropped_after_an_amendment() -> None:
    story = acting().done("r1.s1").tell(NEW).asks("r1.s2")
    assert story.state.requests == {}
    assert story.step("r1.s2").phase is Phase.DROPPED
    assert story.ids == ["plan:2"]


def test_old_call_that_is_unavailable_does_not_fall_back_after_an_amendment() -> None:
    story = acting().done("r1.s1").tell(NEW).down("r1.s2")
    assert story.ids == ["plan:2"]
    assert story.state.planning.without_tools == ()


def test_old_call_that_did_not_happen_is_not_sent_again_after_an_amendment() -> None:
    story = doubting().tell(NEW).say("answer", {"choice": "did_not_happen", "by": "lea"})
    (command,) = [one for one in story.commands if isinstance(one, CallTool)]
    order = call_order(story.state, command)
    assert isinstance(order, CallOrder)
    assert order.settle_only


def test_retry_after_an_amendment_does_not_bring_old_steps_back() -> None:
    story = Story(limits={"rounds": 1}).opened()
    story.plan(step("s1", "mail"), step("s2", after=("s1",)), finish="ok")
    story.tell(NEW).down("r1.s1")
    assert (story.request.cause, story.request.step) == ("rounds", "")
    story.say("answer", {"choice": "retry", "by": "lea"})
    assert story.ids == ["plan:2"]


def test_amendment_keeps_what_it_does_not_name() -> None:
    story = planning().tell(GoalAmended(inputs={"order": 9}))
    assert (story.state.spec.goal, story.state.spec.inputs) == ("refund order 1042", {"order": 9})


@every_stage
def test_paused_task_starts_nothing_and_goes_on_when_resumed(at: Callable[[], Story]) -> None:
    story = at()
    before, status = story.ids, story.status
    story.tell(Paused(by="ana", reason="lunch"))
    assert story.ids == (before if at is opening else [])
    assert story.status == ("INITIALIZING" if at is opening else "PAUSED")
    story.tell(Resumed())
    assert (story.ids, story.status) == (before, status)


def test_what_comes_back_during_a_pause_is_taken_in() -> None:
    story = acting().tell(Paused()).done("r1.s1")
    assert story.ids == []
    assert story.tell(Resumed()).ids == ["call:r1.s2:1:1"]
    plan = planning().tell(Paused(), planned(step("s1"), call=0))
    assert plan.ids == []
    assert plan.tell(Resumed()).ids == ["call:r1.s1:1:1"]


def test_task_paused_before_it_is_opened_has_an_owner_and_a_deadline() -> None:
    story = opening().tell(Paused()).opened()
    assert (story.status, story.ids) == ("PAUSED", [])
    assert story.until is not None


@every_stage
def test_cancel_sends_nothing_new(at: Callable[[], Story]) -> None:
    story = at()
    under_way = [name for name in story.ids if name.startswith("call:")]
    story.tell(CancelRequested())
    if at is doubting:
        assert (story.status, story.ids) == ("AWAITING_PERSON", [])
        story.say("answer", {"choice": "write_off", "by": "lea"})
        assert story.ids == ["call:r1.s1:1:2"]
        story.refused("r1.s1", "written_off")
    elif at is acting:
        assert story.ids == under_way == ["call:r1.s1:1:1"]
        story.done("r1.s1")
    assert (story.status, story.ids) == ("CANCELLED", ["finish"])
    assert story.state.requests == {}


def test_cancelled_call_that_would_need_an_approval_is_dropped() -> None:
    story = Story().opened().plan(step("s1", "pay"), finish="ok").tell(CancelRequested()).asks("r1.s1")
    assert (story.status, story.ids) == ("CANCELLED", ["finish"])


def test_cancelled_call_that_is_unavailable_does_not_fall_back() -> None:
    story = Story().opened().plan(step("s1", "pay"), finish="ok").tell(CancelRequested()).down("r1.s1")
    assert story.ids == ["finish"]


def test_cancelled_call_in_doubt_is_settled_and_never_sent_again() -> None:
    story = doubting().tell(CancelRequested()).say("answer", {"choice": "did_not_happen", "by": "lea"})
    (command,) = [one for one in story.commands if isinstance(one, CallTool)]
    order = call_order(story.state, command)
    assert isinstance(order, CallOrder)
    assert order.settle_only


def test_cancel_ends_a_paused_task() -> None:
    assert acting().tell(Paused(), CancelRequested()).done("r1.s1").ids == ["finish"]


def test_plan_that_comes_together_with_the_cancel_opens_no_request() -> None:
    story = planning().tell(CancelRequested(), planned(call=0, ask="which?"))
    assert (story.status, story.state.requests) == ("CANCELLED", {})


def test_amendment_of_a_task_that_ends_is_not_accepted() -> None:
    story = acting().tell(CancelRequested(), NEW)
    assert story.state.spec.goal == "refund order 1042"
    assert "ending" in story.state.unaccepted[-1]


def test_task_that_cannot_start_fails_with_the_reason() -> None:
    story = opening().tell(TaskRefused(reason="no agent desk"))
    assert (story.status, story.ids) == ("FAILED", ["finish"])
    assert story.state.ending is not None
    assert story.state.ending.reason == "no agent desk"


def test_refusal_of_another_run_does_not_end_a_task_that_is_open() -> None:
    assert planning().tell(TaskRefused(reason="late")).ids == ["plan:0"]


@every_stage
def test_final_status_never_changes(at: Callable[[], Story]) -> None:
    story = at()
    if at is opening:
        story.opened()
    story.wait(8 * DAY)
    if at is acting:
        story.done("r1.s1")
    if at is doubting:
        story.say("answer", {"choice": "happened", "by": "lea"}).done("r1.s1")
    assert story.status == "EXPIRED"
    last = story.state
    late: list[Event] = [
        NEW,
        CancelRequested(),
        TaskOpened(profile=story.profile),
        OutcomeVerified(answer="x"),
        Resumed(),
    ]
    story.tell(*late, planned(step("s1"), call=story.state.planning.call))
    assert (story.ids, story.state) == (["finish"], last.model_copy(update={"now": story.now}))


def test_notices_are_sent_before_the_task_finishes() -> None:
    story = opening()
    state = apply(story.state, TaskRefused(reason="no agent"), story.now)
    assert [one.rung for one in state.told.values()] == ["ended"]
    story.tell(TaskRefused(reason="no agent"))
    assert (story.rungs, story.ids) == (["task:ended"], ["finish"])


def test_notice_that_cannot_be_sent_does_not_hold_a_final_task() -> None:
    story = opening()
    state = apply(story.state, TaskRefused(reason="no agent"), story.now)
    story.state = apply(state, ActivityBroke(command="notify:task:ended", reason="smtp down"), story.now)
    assert story.tell().ids == ["finish"]


def test_plan_without_steps_in_flight_needs_a_plan() -> None:
    assert isinstance(planned(call=0, ask="which?"), PlanProposed)
