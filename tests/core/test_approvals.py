"""Approvals: who, for exactly what, and what an answer changes."""

import pytest

from core import names
from core.messages import CallOrder, CallTool, ToolRefused
from core.orders import call_order
from core.record import Json
from core.task import Phase
from core.views import waiting_for
from tests.core.story import Story, step


def asked(*, requested_by: str = "rob", **fields: Json) -> Story:
    """A payment waits for finance, a look goes on beside it."""
    story = Story(spec={"requested_by": requested_by}).opened()
    story.plan(step("s1", "pay", order="1042", cents=500), step("s2"), step("s3", "mail", after=("s1",)), finish="ok")
    by_finance: dict[str, Json] = {"approvers": ("finance",), "may_answer": ("fay", "fred")}
    return story.asks("r1.s1", rule="policy[0]", reason="money", **{**by_finance, **fields})


def order_of(story: Story, name: str) -> CallOrder:
    (command,) = [one for one in story.commands if isinstance(one, CallTool) and one.step == name]
    order = call_order(story.state, command)
    assert isinstance(order, CallOrder)
    return order


def test_other_steps_go_on_while_an_approval_is_open() -> None:
    story = asked()
    assert story.ids == ["call:r1.s2:1:1"]
    assert story.status == "AWAITING_APPROVAL"
    assert story.done("r1.s2").ids == []


def test_approved_call_goes_to_the_door_again_with_the_approval() -> None:
    story = asked().say("approve", {"by": "fay", "comment": "fine"})
    assert "call:r1.s1:1:2" in story.ids
    order = order_of(story, "r1.s1")
    (approval,) = order.approvals
    assert (approval.by, approval.comment) == ("fay", "fine")
    assert approval.digest == names.approval_digest(order.key, "pay", order.args, order.digest)
    assert story.state.requests == {}


@pytest.mark.parametrize("payload", ["fay", " Fay ", {"by": "fay"}, {"by": "FRED ", "request_id": "q1"}])
def test_forms_of_an_approval(payload: Json) -> None:
    assert "call:r1.s1:1:2" in asked().say("approve", payload).ids


@pytest.mark.parametrize("payload", [None, "", {}, {"comment": "yes"}])
def test_nameless_approval_counts_where_anybody_may_give_it(payload: Json) -> None:
    story = asked(approvers=(), may_answer=()).say("approve", payload)
    assert "call:r1.s1:1:2" in story.ids


@pytest.mark.parametrize("payload", [None, "", {}, {"by": "  "}])
@pytest.mark.parametrize(
    "fields", [{}, {"approvers": (), "may_answer": (), "quorum": 2}, {"approvers": ("finance",), "may_answer": ()}]
)
def test_nameless_approval_is_not_accepted_where_it_matters_who(payload: Json, fields: dict[str, Json]) -> None:
    story = asked(**fields)
    requests = story.state.requests
    story.say("approve", payload)
    assert "say who you are" in story.state.unaccepted[-1]
    assert story.state.requests == requests


@pytest.mark.parametrize(
    ("form", "payload", "why"),
    [
        ("approve", "bob", "bob may not answer"),
        ("approve", {"by": "fay", "digest": "0" * 16}, "has changed"),
        ("approve", {"by": "fay", "request_id": "q9"}, "no request 'q9'"),
        ("approve", {"by": "fay", "choice": "reject"}, "approve says 'reject'"),
        ("reject", {"by": "fay", "choice": "approve"}, "reject says 'approve'"),
        ("decide", {"by": "fay", "choice": "approve", "request_id": "q1", "args": {"cents": 1}}, "edit"),
        ("reject", {"by": "fay", "args": {"cents": 1}}, "edit"),
        ("decide", {"by": "fay", "choice": "edit", "request_id": "q1"}, "needs"),
        ("answer", {"by": "fay", "choice": "happened"}, "no choice"),
        ("answer", "maybe", "no choice"),
        ("answer", {"by": "fay", "request_id": "q1", "choice": "retry"}, "takes one of"),
        ("approve", {"by": "fay", "colour": "red"}, "colour"),
        ("approve", {"by": 5}, "by"),
        ("approve", ["fay"], "a list"),
        ("approve", 5, "a number"),
        ("approve", {"by": "\ud800"}, "by"),
        ("approve", {"\ud800": 1}, "unicode"),
        ("approve", {"by": "fay", "args": {"cents": 10**400}}, "2^53"),
        ("approve", {"by": "fay", "args": {"cents": float("nan")}}, "NaN"),
        ("approve", {"by": "fay", "args": {"note": "\ud800"}}, "surrogate"),
        ("approve", {"by": "fay", "args": {"note": "x" * 100_000}}, "at most"),
        ("nonsense", {"by": "fay"}, "no choice"),
    ],
)
def test_answer_that_does_not_fit_is_recorded_and_changes_nothing(form: str, payload: Json, why: str) -> None:
    story = asked()
    before = story.state
    story.say(form, payload)
    assert why in story.state.unaccepted[-1]
    assert story.state.model_copy(update={"unaccepted": ()}) == before
    assert story.state.model_validate_json(story.state.model_dump_json()) == story.state


def test_deeply_nested_answer_is_recorded() -> None:
    nested: Json = 1
    for _ in range(500):
        nested = [nested]
    assert "nested" in asked().say("approve", {"by": "fay", "args": {"x": nested}}).state.unaccepted[-1]


def test_requester_cannot_approve_their_own_task() -> None:
    story = asked(requested_by="Fay").say("approve", "fay ")
    assert "cannot approve" in story.state.unaccepted[-1]
    assert "cannot approve" in story.say("approve", {"by": "fay", "args": {"cents": 1}}).state.unaccepted[-1]
    assert story.say("reject", "fay").status == "RECOVERING", "but may withdraw what they wanted"


def test_nobody_else_may_approve_where_only_the_requester_might() -> None:
    story = asked(requested_by="ana", approvers=("ana",), may_answer=()).say("approve", "bob")
    assert "nobody may answer" in story.state.unaccepted[-1]
    assert list(story.state.requests) == ["q1"]


def test_quorum_takes_different_people() -> None:
    story = asked(quorum=2).say("approve", "fay")
    assert [one.by for one in story.request.given] == ["fay"]
    assert "has approved already" in story.say("approve", "Fay").state.unaccepted[-1]
    story.say("approve", "fred")
    assert [one.by for one in order_of(story, "r1.s1").approvals] == ["fay", "fred"]


def test_approvals_that_the_door_still_accepts_count_on() -> None:
    story = asked(quorum=1).say("approve", "fay")
    (given,) = order_of(story, "r1.s1").approvals
    story.asks("r1.s1", approvers=("finance",), may_answer=("fay", "fred"), quorum=2, given=(given,))
    story.say("approve", "fred")
    assert [one.by for one in order_of(story, "r1.s1").approvals] == ["fay", "fred"]


def test_answer_is_used_once() -> None:
    story = asked().say("approve", "fay").say("approve", {"by": "fred", "request_id": "q1"})
    assert "q1 is closed: approved by fay" in story.state.unaccepted[-1]


def test_answer_without_id_needs_exactly_one_open_request() -> None:
    story = Story().opened().plan(step("s1", "pay", cents=1), step("s2", "pay", cents=2), finish="ok")
    story.asks("r1.s1").asks("r1.s2").say("approve", "fay")
    assert "q1, q2" in story.state.unaccepted[-1]
    assert story.say("approve", {"by": "fay", "request_id": "q2"}).ids == ["call:r1.s2:1:2"]


def test_answer_to_nothing_is_recorded() -> None:
    assert "no request is open" in Story().opened().say("approve", "fay").state.unaccepted[-1]


def test_rejection_ends_the_task_without_another_plan() -> None:
    story = asked().say("reject", {"by": "fay", "comment": "too much"})
    assert story.ids == ["call:r1.s2:1:1"], "what runs ends first"
    story.done("r1.s2")
    assert (story.status, story.ids) == ("REJECTED", ["finish"])
    assert story.step("r1.s3").phase is Phase.DROPPED
    assert story.state.ending is not None
    assert "too much" in story.state.ending.reason


def test_rejection_with_an_instruction_is_one_more_round() -> None:
    story = asked().say("reject", {"by": "fay", "replan": "give a voucher"}).done("r1.s2")
    assert story.ids == ["plan:1"]
    assert "give a voucher" in story.state.planning.instructions[0]
    assert story.plan(step("s1"), finish="ok").state.planning.instructions == ()


def test_rejection_with_an_empty_instruction_is_a_rejection() -> None:
    assert asked().say("reject", {"by": "fay", "replan": ""}).done("r1.s2").status == "REJECTED"


@pytest.mark.parametrize("form", ["approve", "decide"])
def test_edit_makes_a_new_revision_with_that_persons_approval(form: str) -> None:
    story = asked(origin={"/order": "request", "/cents": "model", "/cents/x": "tool:look"})
    first = story.step("r1.s1")
    choice = {"choice": "edit", "request_id": "q1"} if form == "decide" else {}
    story.say(form, {"by": "fred", "args": {"cents": 300}, **choice})
    order = order_of(story, "r1.s1")
    assert (order.args, order.revision) == ({"order": "1042", "cents": 300}, 2)
    assert order.key != first.key
    assert order.origin == {"/order": "request", "/cents": "person"}
    (approval,) = order.approvals
    assert approval.by == "fred"
    assert approval.digest == names.approval_digest(order.key, "pay", order.args, order.digest)


def test_edit_that_the_door_refuses_brings_the_planned_arguments_back_before_the_approver() -> None:
    story = asked().say("approve", {"by": "fay", "args": {"cents": -1}})
    for revision in (3, 5):  # as often as it takes
        story.refused("r1.s1", "bad_arguments", "cents must be positive")
        order = order_of(story, "r1.s1")
        assert (order.args, order.approvals, order.revision) == ({"order": "1042", "cents": 500}, (), revision)
        story.asks("r1.s1", approvers=("finance",), may_answer=("fay", "fred"))
        assert "cents must be positive" in story.request.note
        story.say("approve", {"by": "fay", "args": {"cents": -2}})


def test_edit_whose_outcome_was_written_off_is_not_made_again() -> None:
    story = asked().say("approve", {"by": "fay", "args": {"cents": 300}}).unknown("r1.s1")
    story.say("answer", {"by": "lea", "choice": "write_off"})
    story.tell(ToolRefused(step="r1.s1", code="written_off", outcome="unknown")).done("r1.s2")
    assert story.step("r1.s1").phase is Phase.REFUSED
    assert story.ids == ["plan:1"]


def test_arguments_that_were_not_shown_in_full_cannot_be_edited() -> None:
    story = asked().say("reject", {"by": "fay", "replan": "again"}).done("r1.s2")
    story.plan(step("s1", "pay", note="long"), finish="ok")
    bound = names.approval_digest(story.step("r2.s1").key, "pay", {"note": "long"}, "d" * 16)
    story.asks("r2.s1", args={"note": "lo..."})
    story.state = story.state.model_copy(
        update={"requests": {"q2": story.request.model_copy(update={"digest": bound})}}
    )
    assert "too large to be edited" in story.say("approve", {"by": "fay", "args": {"x": 1}}).state.unaccepted[-1]
    assert story.say("approve", "fay").ids == ["call:r2.s1:1:2"]


def test_keys_never_change_for_a_revision() -> None:
    story = asked()
    first = story.step("r1.s1")
    story.say("approve", "fay")
    again = story.step("r1.s1")
    assert (again.intent, again.revision, again.key) == (first.intent, first.revision, first.key)


@pytest.mark.parametrize(
    ("able", "quorum", "is_said"),
    [(("fay", "fred"), 2, False), (("fay", "fred"), 3, True), (("fay", "rob"), 2, True), ((), 1, True)],
)
def test_approval_that_can_never_be_given_says_so(able: tuple[str, ...], quorum: int, is_said: bool) -> None:
    note = asked(may_answer=able, quorum=quorum).request.note
    assert (f"{'reject it' if able else 'cancel the task'}, or change the rule" in note) is is_said


def test_approval_that_can_never_be_given_is_rejected_by_the_owner() -> None:
    story = asked(requested_by="ana", approvers=("ana",), may_answer=(), may_reject=("lea",))
    assert "reject it" in story.request.note
    assert story.request.asked == ("ana", "lea")
    assert waiting_for(story.state) == ("ana", "lea")
    story.say("approve", "lea")
    assert "lea may reject it" in story.state.unaccepted[-1]
    story.say("reject", "bob")
    assert "nobody may answer" in story.state.unaccepted[-1]
    assert list(story.state.requests) == ["q1"]
    story.say("reject", {"by": "Lea", "comment": "no"}).done("r1.s2")
    assert story.status == "REJECTED"


def test_anybody_may_be_enough() -> None:
    assert asked(approvers=(), may_answer=(), quorum=3).request.note == ""
