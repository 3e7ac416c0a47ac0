"""Facts grow old: what a write rests on is read again before it, if its tool says how long it stays true."""

from datetime import timedelta

import pytest

from core.carrying import fold_old
from core.messages import CallCancelled, CallTool, CancelRequested, GoalAmended, GrownOld, Paused, Resumed, ToolRefused
from core.orders import call_order
from core.record import Json
from core.task import Phase
from tests.core.story import HOUR, Story, step

LATER = 2 * HOUR
OF_S1 = {"$from": "s1", "path": "/v"}


def opened() -> Story:
    return Story(rereads=True, limits={"parallel": 4}).opened()


def approved_late(story: Story, name: str, wait: timedelta = LATER) -> Story:
    """Ask for an approval, and get it after `wait`."""
    return story.asks(name, args={"v": 1}).wait(wait).say("approve", {"by": "fay"})


def looked() -> Story:
    """An approval of a payment by what was looked up is awaited."""
    return opened().plan(step("s1"), step("s2", "pay", v=OF_S1), finish="ok").done("r1.s1", result={"v": 1})


def args_of(story: Story, name: str) -> Json:
    own = story.step(name)
    order = call_order(story.state, CallTool(step=name, revision=own.revision, entry=own.entry))
    assert not isinstance(order, ToolRefused), order
    return order.args


def test_old_fact_is_read_again_before_the_write_that_rests_on_it() -> None:
    story = approved_late(looked(), "r1.s2")
    assert story.ids == ["call:r1.s1:1:2"]
    story.done("r1.s1", result={"v": 2})
    assert story.ids == ["call:r1.s2:1:2"]
    assert args_of(story, "r1.s2") == {"v": 2}
    assert story.step("r1.s2").approvals, "whether they still fit is the door's to say"


def test_fact_that_is_fresh_enough_is_not_read_again() -> None:
    assert approved_late(looked(), "r1.s2", HOUR).ids == ["call:r1.s2:1:2"]


def test_histories_of_before_know_no_second_reading() -> None:
    story = Story().opened().plan(step("s1"), step("s2", "pay", v=OF_S1)).done("r1.s1", result={"v": 1})
    assert approved_late(story, "r1.s2").ids == ["call:r1.s2:1:2"]


def test_fact_that_stays_true_is_not_read_again() -> None:
    story = opened().plan(step("s1", "search"), step("s2", "pay", v=OF_S1)).done("r1.s1", result={"v": 1})
    assert approved_late(story, "r1.s2").ids == ["call:r1.s2:1:2"]


def test_only_what_the_write_refers_to_is_read_again() -> None:
    story = opened().plan(step("s0"), step("s1"), step("s2", "pay", v=OF_S1, after=("s0",)))
    story.done("r1.s0", result=1).done("r1.s1", result={"v": 1})
    assert approved_late(story, "r1.s2").ids == ["call:r1.s1:1:2"]


def test_read_does_not_wait_for_fresher_reads() -> None:
    story = opened().plan(step("s1"), step("s2", "pay"), step("s3", v=OF_S1, after=("s2",)))
    story.done("r1.s1", result={"v": 1}).wait(LATER).done("r1.s2")
    assert story.ids == ["call:r1.s3:1:1"]


def chained() -> Story:
    """A payment rests on s2, and s2 on s1."""
    story = opened().plan(step("s1"), step("s2", "search", v=OF_S1), step("s3", "pay", v={"$from": "s2"}))
    return story.done("r1.s1", result={"v": 1}).done("r1.s2", result="found 1")


def test_what_old_facts_led_to_is_read_again_after_them() -> None:
    story = approved_late(chained(), "r1.s3")
    assert story.ids == ["call:r1.s1:1:2"], "the deepest first"
    story.wait(timedelta(seconds=1)).done("r1.s1", result={"v": 2})
    assert story.ids == ["call:r1.s2:1:2"]
    assert args_of(story, "r1.s2") == {"v": 2}
    assert story.done("r1.s2", result="found 2").ids == ["call:r1.s3:1:2"]


def test_fact_of_an_earlier_round_is_read_again() -> None:
    story = opened().plan(step("s1")).done("r1.s1", result={"v": 1})
    story.plan(step("s1", "pay", v={"$from": "r1.s1", "path": "/v"}), finish="ok")
    approved_late(story, "r2.s1")
    assert story.ids == ["call:r1.s1:1:2"]
    assert "r1.s1" not in story.state.past, "it is told once"
    assert story.done("r1.s1", result={"v": 3}).ids == ["call:r2.s1:1:2"]
    assert args_of(story, "r2.s1") == {"v": 3}


def test_write_whose_ground_is_gone_is_not_sent() -> None:
    story = approved_late(chained(), "r1.s3").refused("r1.s1", "no_such_order")
    assert (story.step("r1.s3").phase, story.ids) == (Phase.DROPPED, ["plan:1"])


def test_write_on_a_fact_of_an_earlier_round_that_is_gone_is_not_sent() -> None:
    story = opened().plan(step("s1")).done("r1.s1", result={"v": 1})
    story.plan(step("s1", "pay", v={"$from": "r1.s1", "path": "/v"}), finish="ok")
    approved_late(story, "r2.s1").refused("r1.s1", "gone")
    assert (story.step("r2.s1").phase, story.ids) == (Phase.DROPPED, ["plan:2"])


def test_second_reading_is_no_sign_of_going_round_in_circles() -> None:
    story = looked()
    seen = story.state.calls_seen
    approved_late(story, "r1.s2").done("r1.s1", result={"v": 1})
    assert story.state.calls_seen == seen


def test_reads_that_are_old_before_the_next_has_come_back_do_not_go_on_for_ever() -> None:
    story = opened().plan(step("s1"), step("s2"), step("s3", "pay", v=OF_S1, w={"$from": "s2"}))
    story.done("r1.s1", result={"v": 1}).done("r1.s2", result=1)
    approved_late(story, "r1.s3")
    readings = 0
    while (name := story.ids[0]) != "call:r1.s3:1:2":
        story.wait(LATER).done(name.split(":")[1], result={"v": 1})
        readings += 1
        assert readings < 20
    assert readings >= 2


def test_what_waits_for_another_approval_is_judged_anew() -> None:
    story = approved_late(looked(), "r1.s2").done("r1.s1", result={"v": 2})
    approved_late(story, "r1.s2")
    assert story.ids == ["call:r1.s1:1:3"]


def until_of(story: Story) -> object:
    own = story.step("r1.s2")
    order = call_order(story.state, CallTool(step=own.id, revision=own.revision, entry=own.entry))
    assert not isinstance(order, ToolRefused), order
    return order.fresh_until


def test_write_goes_to_the_door_with_the_moment_at_which_its_ground_grows_old() -> None:
    story = looked()
    assert until_of(story) == story.state.now + HOUR


def test_write_whose_ground_grew_old_at_the_door_is_made_of_fresh_facts_under_a_new_key() -> None:
    story = looked()
    key = story.step("r1.s2").key
    story.wait(LATER).tell(GrownOld(step="r1.s2"))
    assert story.ids == ["call:r1.s1:1:2"]
    story.done("r1.s1", result={"v": 2})
    assert story.ids == ["call:r1.s2:2:1"]
    assert args_of(story, "r1.s2") == {"v": 2}
    assert story.step("r1.s2").key != key
    assert until_of(story) == story.state.now + HOUR


def test_ground_that_is_old_whenever_the_door_is_reached_does_not_go_on_for_ever() -> None:
    story = looked()
    for _ in range(2):
        story.wait(LATER).tell(GrownOld(step="r1.s2")).done("r1.s1", result={"v": 1})
    assert until_of(story) is None


def test_write_that_grew_old_while_its_task_was_cancelled_is_dropped() -> None:
    story = looked().tell(CancelRequested()).wait(LATER).tell(GrownOld(step="r1.s2"))
    assert story.step("r1.s2").phase is Phase.DROPPED


def test_arguments_of_a_person_rest_on_nothing() -> None:
    story = looked().asks("r1.s2", args={"v": 1}).wait(LATER).say("approve", {"by": "fay", "args": {"v": 5}})
    assert story.ids == ["call:r1.s2:2:1"]


def test_two_writes_share_one_second_reading() -> None:
    story = opened().plan(step("s1"), step("s2", "pay", v=OF_S1), step("s3", "mail", v=OF_S1))
    story.done("r1.s1", result={"v": 1}).asks("r1.s2", args={"v": 1}).asks("r1.s3", args={"v": 1}).wait(LATER)
    story.say("approve", {"by": "fay", "request_id": "q1"}).say("approve", {"by": "fay", "request_id": "q2"})
    assert story.ids == ["call:r1.s1:1:2"]
    assert story.done("r1.s1", result={"v": 2}).ids == ["call:r1.s2:1:2", "call:r1.s3:1:2"]


def test_amendment_during_a_second_reading_keeps_the_first() -> None:
    story = approved_late(looked(), "r1.s2").tell(GoalAmended(goal="otherwise"), CallCancelled(step="r1.s1"))
    assert (story.step("r1.s1").phase, story.step("r1.s1").result) == (Phase.SUCCEEDED, {"v": 1})
    assert story.ids == ["plan:2"]


def test_pause_before_the_write_makes_its_ground_old_again() -> None:
    story = approved_late(looked(), "r1.s2").tell(Paused()).done("r1.s1", result={"v": 2}).wait(LATER)
    assert story.tell(Resumed()).ids == ["call:r1.s1:1:3"]


@pytest.mark.parametrize("size", [10, 5000])
def test_read_that_was_folded_is_not_made_with_what_is_left_of_its_arguments(size: int) -> None:
    story = Story(rereads=True, limits={"steps_per_plan": 100, "parallel": 100, "steps": 100}).opened()
    many = [step(f"m{number}", "search") for number in range(40)]
    old = step("s1", text="x" * size)
    story.plan(old, *many, step("s2", "pay", v=OF_S1)).done("r1.s1", result={"v": 1}).asks("r1.s2", args={"v": 1})
    story.done(*(f"r1.m{number}" for number in range(40)), result="x" * 9000)
    story.state = fold_old(story.state)
    story.wait(LATER).say("approve", {"by": "fay"})
    assert story.ids == ["call:r1.s1:1:2"]
    assert args_of(story, "r1.s1") == {"text": "x" * size}
