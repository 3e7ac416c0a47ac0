"""The inputs of activities, as the state makes them."""

import pytest

from core.messages import CallOrder, CallTool, ConcludeOrder, OpenOrder, ProposePlan, ToolRefused, ToolSucceeded
from core.orders import call_order, conclude_order, open_order, plan_order
from core.record import Json
from core.recounting import BUDGET_BYTES
from tests.core.story import Story, step

GOAL = 'refund 10.50 EUR on order 1042, not 77 but 1,000; write to "ann@example.org" about -5'


def ordered(story: Story, name: str) -> CallOrder | ToolRefused:
    (command,) = [one for one in story.commands if isinstance(one, CallTool) and one.step == name]
    return call_order(story.state, command)


def call(story: Story, name: str) -> CallOrder:
    order = ordered(story, name)
    assert isinstance(order, CallOrder), order
    return order


def test_wish_goes_to_the_opening_as_it_came() -> None:
    order = open_order(Story(spec={"again": True}).state)
    assert order == OpenOrder(
        task_id="t1", agent="desk", goal="refund order 1042", inputs={"order": 7}, requested_by="rob", again=True
    )


def test_values_come_with_their_origin() -> None:
    story = Story().opened().plan(step("s1"), step("s2", "pay", id={"$from": "s1", "path": "/id"}, order=7, cents=500))
    story.done("r1.s1", result={"id": "x"})
    order = call(story, "r1.s2")
    assert order.args == {"id": "x", "order": 7, "cents": 500}
    assert order.origin == {"/id": "tool:look", "/order": "request"}
    assert (order.agent, order.task_id, order.step, order.intent, order.revision) == ("desk", "t1", "r1.s2", 2, 1)


@pytest.mark.parametrize(
    ("value", "is_requested"),
    [
        ("1042", True),
        (1042, True),
        (-5, True),
        ("ann@example.org", True),
        ("order 1042", True),
        (7, True),  # the inputs say so
        ("7", True),  # as text, too
        ("007", False),
        (12, False),  # the inputs say "12"
        ("10.50", True),
        (10, False),  # of 10.50
        (50, False),
        (104, False),
        (42, False),
        (5, False),  # the goal says -5
        (1, False),  # of 1,000
        (1000, False),
        ("ann", True),
        ("der", False),
        ("rder 1042", False),
        (True, False),
        ("True", False),
        ("", False),
        (None, False),
        ({"x": 1}, False),
    ],
)
def test_literal_that_the_request_names_comes_from_the_request(value: Json, is_requested: bool) -> None:
    story = Story(spec={"goal": GOAL, "inputs": {"order": 7, "line": "12", "gift": True}})
    story.opened().plan(step("s1", x=value))
    assert (call(story, "r1.s1").origin.get("/x") == "request") is is_requested


def test_part_of_a_repeated_word_is_not_from_the_request() -> None:
    story = Story(spec={"goal": "call abab and 1010", "inputs": {}}).opened().plan(step("s1", x="ab", y="10"))
    assert call(story, "r1.s1").origin == {}


def test_origins_are_named_by_pointers() -> None:
    args: dict[str, Json] = {"a/b": 7, "c": {"d~e": [7, {"$from": "inputs", "path": "/order"}]}}
    story = Story().opened().plan({**step("s1"), "args": args})
    assert call(story, "r1.s1").origin == {"/a~1b": "request", "/c/d~0e/0": "request", "/c/d~0e/1": "request"}


def test_reference_without_a_value_refuses_the_step_by_name() -> None:
    story = (
        Story().opened().plan(step("s1"), step("s2", "pay", id={"$from": "s1", "path": "/id"})).done("r1.s1", result={})
    )
    refused = ordered(story, "r1.s2")
    assert isinstance(refused, ToolRefused)
    assert (refused.step, refused.code) == ("r1.s2", "not_resolved")
    assert "s1 has nothing at '/id'" in refused.message


def test_arguments_that_turn_out_to_be_no_object_refuse_the_step() -> None:
    story = Story().opened().plan({**step("s1"), "args": {"$from": "inputs", "path": "/order"}})
    assert isinstance(ordered(story, "r1.s1"), ToolRefused)


def test_large_results_are_left_to_the_door_with_their_blobs() -> None:
    story = Story().opened()
    story.plan(step("s1"), step("s2"), step("s3", "pay", id={"$from": "s1", "path": "/id"}, text="{{s1/a}} {{s2/b}}"))
    story.tell(ToolSucceeded(step="r1.s1", blob="b1", size=99_999)).done("r1.s2", result={"b": "B"})
    first, second = call(story, "r1.s3").deferred
    assert (first.at, first.blobs, first.values) == ("/id", {"s1": "b1"}, {})
    assert (second.at, second.blobs, second.values) == ("/text", {"s1": "b1"}, {"s2": {"b": "B"}})
    assert first.origins == {"s1": "tool:look"}


def test_answer_takes_its_facts_from_steps() -> None:
    story = Story().opened().plan(step("s1")).done("r1.s1", result={"id": "x"})
    story.plan(step("s1"), finish="{{r1.s1/id}} and {{s1/id}} for {{inputs/order}}").done("r2.s1", result={"id": "y"})
    order = conclude_order(story.state)
    assert isinstance(order, ConcludeOrder)
    assert order.answer == "x and y for 7"


def test_answer_that_cannot_be_written_is_unmet() -> None:
    story = Story().opened().plan(step("s1"), finish="{{s1/id}}").done("r1.s1", result={"id": None})
    (unmet,) = [conclude_order(story.state)]
    assert isinstance(unmet, tuple)
    assert "the answer cannot be written" in unmet[0]


def test_answer_from_a_large_result_is_left_to_the_activity() -> None:
    story = (
        Story().opened().plan(step("s1"), finish="see {{s1/id}}").tell(ToolSucceeded(step="r1.s1", blob="b1", size=9))
    )
    order = conclude_order(story.state)
    assert isinstance(order, ConcludeOrder)
    assert (order.answer, order.deferred[0].at, order.deferred[0].blobs) == ("", "/answer", {"s1": "b1"})


def test_briefing_tells_what_is_done_what_failed_and_what_is_in_doubt() -> None:
    story = (
        Story().opened().plan(step("s1"), step("s2", "pay"), step("s3", "mail"), step("s4", after=("s2",)), finish="ok")
    )
    story.done("r1.s1", result={"id": "x"}).refused("r1.s2", "declined", "no money").unknown("r1.s3")
    story.say("answer", {"by": "lea", "choice": "write_off"})
    story.tell(ToolRefused(step="r1.s3", code="written_off", outcome="unknown"))
    order = plan_order(story.state, ProposePlan(call=1, route=0))
    told = order.briefing
    assert [(one.step, one.result) for one in told.done] == [("r1.s1", {"id": "x"})]
    assert [one.step for one in told.failed] == ["r1.s2", "r1.s4"]
    assert "no money" in told.failed[0].note
    assert [one.step for one in told.in_doubt] == ["r1.s3"]
    assert (told.round, told.replies, order.earlier) == (2, 1, {"r1.s1": "look"})
    assert told.budget is not None
    assert (told.budget.rounds, told.budget.steps) == (7, 36)


def test_briefing_stays_within_its_size_newest_first_and_says_what_was_cut() -> None:
    story = Story(limits={"rounds": 99, "steps": 999, "tokens": 9_000_000}).opened()
    for number in range(1, 20):
        story.plan(step("s1", n=number)).done(f"r{number}.s1", result="é" * 7000)
    told = plan_order(story.state, ProposePlan(call=19, route=0)).briefing
    assert len(told.model_dump_json().encode()) < BUDGET_BYTES + 8 * 1024
    assert told.done[-1].step == "r19.s1"
    left_out = 19 - len(told.done)
    assert left_out > 0
    assert f"{left_out} older steps were left out" in told.cut
    assert sum("only the beginning" in one for one in told.cut) == len(told.done), "what is left out has no beginning"


def test_large_values_are_shown_in_part() -> None:
    story = Story().opened().plan(step("s1", text="x" * 9000), step("s2")).done("r1.s1", result="y" * 9000)
    story.tell(ToolSucceeded(step="r1.s2", blob="b", size=123_456, preview="beginning"))
    told = plan_order(story.state, ProposePlan(call=1, route=0)).briefing
    assert "cut" in told.done[0].args
    assert "cut" in told.done[0].result
    assert told.done[1].result == "beginning"
    assert len(told.cut) == 3
