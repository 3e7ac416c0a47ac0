"""Requests of every kind: the ladder, doubts, a task that is stuck, questions."""

from datetime import timedelta
from typing import Any

import pytest

from core.card import card
from core.messages import ActivityBroke, CallOrder, CallTool, OutcomeNotVerified, TimePassed
from core.orders import call_order
from core.profile import Model
from core.record import Json
from core.task import Phase
from core.views import waiting_for
from tests.core.story import DAY, HOUR, Story, step


def approval() -> Story:
    return Story().opened().plan(step("s1", "pay"), finish="ok").asks("r1.s1", approvers=("finance",))


def doubt() -> Story:
    story = Story().opened().plan(step("s1", "mail"), step("s2", after=("s1",)), step("s3"), finish="ok")
    return story.done("r1.s3").unknown("r1.s1")


def stuck() -> Story:
    """The mail was tried and cannot be reached; the rounds are used up."""
    story = Story(limits={"rounds": 1}).opened()
    return story.plan(step("s1", "mail", to="x", body="y"), step("s2", after=("s1",)), finish="ok").down("r1.s1")


def question() -> Story:
    return Story().opened().plan(ask="which order?")


def order_of(story: Story) -> CallOrder:
    (command,) = [one for one in story.commands if isinstance(one, CallTool)]
    order = call_order(story.state, command)
    assert isinstance(order, CallOrder)
    return order


# ------------------------------------------------------------------------------------------------------ the ladder


def test_ladder_reminds_escalates_and_expires() -> None:
    story = approval()
    assert story.until == story.now + HOUR
    assert story.wait(HOUR).rungs == ["q1:opened", "q1:reminder"]
    assert story.until == story.now + 3 * HOUR
    assert story.wait(3 * HOUR).rungs[-1] == "q1:escalated"
    assert "directors" in waiting_for(story.state)
    assert story.until == story.now + 20 * HOUR
    story.wait(20 * HOUR)
    assert story.rungs[-2:] == ["q1:expired", "task:ended"]
    assert (story.status, story.ids) == ("EXPIRED", ["finish"])


def test_escalation_does_not_widen_who_may_approve() -> None:
    story = approval()
    may = story.request.may_answer
    assert story.wait(4 * HOUR).request.may_answer == may


def test_escalation_lets_those_above_answer_for_the_owner() -> None:
    story = stuck().wait(4 * HOUR)
    assert story.request.may_answer == ("lea", "dora")
    assert story.say("answer", {"choice": "end", "by": "dora"}).status == "FAILED"


@pytest.mark.parametrize(
    ("story", "end"),
    [(approval, "EXPIRED"), (question, "EXPIRED"), (stuck, "FAILED")],
    ids=["approval", "question", "stuck"],
)
def test_request_that_nobody_answers_ends_the_task(story: object, end: str) -> None:
    assert callable(story)
    told: Story = story()
    assert told.wait(DAY).status == end
    assert told.state.ending is not None
    assert "nobody answered" in told.state.ending.reason


def test_expired_approval_is_no_rejection() -> None:
    story = approval().wait(DAY)
    assert story.step("r1.s1").code == "approval_expired"
    assert "expired" in story.state.closed["q1"].how


def test_doubt_never_expires_and_escalates_again() -> None:
    story = doubt()
    for count in range(1, 6):
        assert story.until is not None
        story.wait(max(story.request.escalate_at or story.now, story.now) - story.now)
        assert story.request.escalated == count
    assert story.status == "AWAITING_PERSON"
    assert len(set(story.rungs)) == len(story.rungs)


def test_doubt_outlives_the_wall_time() -> None:
    story = doubt().wait(7 * DAY)
    assert (story.status, story.ids) == ("AWAITING_PERSON", [])
    assert story.until is not None
    story.say("answer", {"choice": "happened", "by": "lea"}).done("r1.s1")
    assert (story.status, story.ids) == ("EXPIRED", ["finish"])


def test_ladder_without_pauses_does_not_spin() -> None:
    nothing = timedelta(0)
    story = Story(ladder={"remind_after": nothing, "escalate_after": nothing}).opened()
    story.plan(step("s1", "mail"), finish="ok").unknown("r1.s1").tell(TimePassed())
    assert story.until is not None
    assert story.until > story.now


def test_request_that_was_withdrawn_by_an_expiry_stays_closed() -> None:
    story = Story(ladder={"expire_after": 2 * HOUR}).opened()
    story.plan(step("s1", "pay"), step("s2", "pay"), finish="ok").asks("r1.s1").wait(HOUR / 2)
    story.asks("r1.s2").wait(HOUR * 1.5)  # the first expires; the second is due for its reminder
    assert (story.status, story.state.requests) == ("EXPIRED", {})


# ---------------------------------------------------------------------------------------------------------- doubts


def test_nothing_that_depends_on_a_doubt_goes_on() -> None:
    story = doubt()
    assert (story.ids, story.status) == ([], "AWAITING_PERSON")
    assert story.request.choices == ("happened", "did_not_happen", "write_off")


@pytest.mark.parametrize("choice", ["happened", "did_not_happen", "write_off"])
def test_ruling_goes_to_the_door_under_the_same_key(choice: str) -> None:
    story = doubt()
    key = story.step("r1.s1").key
    story.say("answer", {"choice": choice, "by": "lea", "evidence": "saw it"})
    order = order_of(story)
    assert order.ruling is not None
    assert (order.ruling.choice, order.ruling.by, order.ruling.evidence) == (choice, "lea", "saw it")
    assert (order.key, story.ids) == (key, ["call:r1.s1:1:2"])
    assert not order.settle_only


def test_ruling_may_be_a_bare_choice_where_anybody_may_answer() -> None:
    story = Story(people={}).opened().plan(step("s1", "mail"), finish="ok").unknown("r1.s1")
    assert story.say("answer", "happened").ids == ["call:r1.s1:1:2"]


def test_doubt_that_stays_is_asked_again() -> None:
    story = doubt().say("answer", {"choice": "did_not_happen", "by": "lea"}).unknown("r1.s1")
    assert story.request.id == "q2"
    assert story.say("answer", {"choice": "happened", "by": "lea"}).ids == ["call:r1.s1:1:3"]


def test_broken_call_of_a_write_is_a_doubt_and_of_a_read_is_unavailable() -> None:
    story = Story().opened().plan(step("s1", "mail"), step("s2"), finish="ok")
    story.tell(
        ActivityBroke(command="call:r1.s1:1:1", reason="bug"), ActivityBroke(command="call:r1.s2:1:1", reason="bug")
    )
    assert (story.step("r1.s1").phase, story.step("r1.s2").phase) == (Phase.DOUBTED, Phase.UNAVAILABLE)
    assert story.request.reason == "bug"


@pytest.mark.parametrize("command", ["call:r1.s1:1:1", "call:r1.s1", "call:", "call:r9.s1:1:1", "call:r1.s1:1:2:3"])
def test_broken_call_of_an_earlier_visit_changes_nothing(command: str) -> None:
    story = doubt().say("answer", {"choice": "happened", "by": "lea"})
    before = story.state
    assert story.tell(ActivityBroke(command=command, reason="late")).state == before


# ----------------------------------------------------------------------------------------------------------- stuck


def test_retry_starts_the_step_over_under_a_new_key_with_what_was_dropped() -> None:
    story = stuck()
    assert (story.request.step, story.request.tool) == ("r1.s1", "mail")
    key = story.step("r1.s1").key
    assert story.say("answer", {"choice": "retry", "by": "lea"}).ids == ["call:r1.s1:2:1"]
    assert story.step("r1.s1").key != key
    assert story.state.planning.without_tools == ()
    assert story.done("r1.s1").ids == ["call:r1.s2:1:1"]


def test_retry_with_other_arguments_says_that_they_are_a_persons() -> None:
    story = stuck().say("answer", {"choice": "retry", "by": "lea", "args": {"to": "z"}})
    order = order_of(story)
    assert order.args == {"to": "z", "body": "y"}
    assert order.origin == {"/to": "person"}
    assert order.approvals == ()


def test_refused_retry_with_other_arguments_does_not_send_the_planned_ones() -> None:
    story = stuck().say("answer", {"choice": "retry", "by": "lea", "args": {"to": "z"}}).refused("r1.s1")
    assert story.step("r1.s1").phase is Phase.REFUSED
    assert not any(one.startswith("call:") for one in story.ids)


def test_skip_does_without_the_step() -> None:
    story = stuck().say("answer", {"choice": "skip", "by": "lea"})
    assert story.step("r1.s1").phase is Phase.SKIPPED
    assert story.ids == ["plan:1"]
    assert "skip" in story.state.planning.instructions[0]


def test_replan_takes_an_instruction() -> None:
    story = stuck().say("answer", {"choice": "replan", "by": "lea", "replan": "use the letter box"})
    assert story.ids == ["plan:1"]
    assert story.state.planning.instructions == ("use the letter box",)


def test_end_fails_the_task() -> None:
    assert stuck().say("answer", {"choice": "end", "by": "lea"}).status == "FAILED"


@pytest.mark.parametrize("choice", ["retry", "skip", "replan", "end"])
def test_only_the_owner_says_how_to_go_on(choice: str) -> None:
    story = stuck().say("answer", {"choice": choice, "by": "rob"})
    assert "may not answer" in story.state.unaccepted[-1]
    assert list(story.state.requests) == ["q1"]


def _ownerless(**fields: Any) -> Story:
    story = Story(people={}, ladder={"escalate_to": ()}, **fields).opened().plan(step("s1", "mail"), finish="ok")
    return story.unknown("r1.s1")


def test_anybody_may_answer_for_a_role_that_nobody_holds_and_the_request_says_so_where_people_are_listed() -> None:
    story = _ownerless(knows_people=True)
    assert story.request.may_answer == ()
    assert (
        "Nobody holds the owner's role 'leads', so anybody may answer for it: give it to somebody" in story.request.note
    )
    assert story.say("answer", {"choice": "happened", "by": "sam"}).state.requests == {}


def test_request_says_nothing_of_the_owner_where_nobody_is_listed_at_all() -> None:
    story = _ownerless()
    assert (story.request.may_answer, story.request.note) == ((), "")
    assert story.say("answer", {"choice": "happened", "by": "sam"}).state.requests == {}


def test_plan_that_failed_before_is_shown_with_everything_that_went_wrong() -> None:
    story = (
        Story()
        .opened()
        .plan(step("s1", "pay"), step("s2"), finish="ok")
        .refused("r1.s1", "contract_changed", "it is new")
    )
    story.done("r1.s2").plan(step("s1", "pay"), step("s2"), finish="ok")
    assert story.request.reason == "the planner proposed a plan that has failed before"
    assert story.request.note == "What went wrong before: r1.s1 pay: contract_changed: it is new"
    assert "contract\\_changed: it is new" in card(story.state).partition("**Note** ")[2].partition("\n")[0]


def test_answer_that_could_not_be_written_is_shown_when_the_same_plan_comes_again() -> None:
    story = Story().opened().plan(step("s1"), finish="{{s1/name}}").done("r1.s1", result={})
    story.tell(OutcomeNotVerified(unmet=("the answer cannot be written: s1 has no /name",)))
    story.plan(step("s1"), finish="{{s1/name}}")
    assert story.request.cause == "no_progress"
    assert "The task is not done: the answer cannot be written: s1 has no /name" in story.request.note


def test_what_the_reason_tells_is_not_told_twice() -> None:
    story = Story(route=(Model(name="a:1"),), limits={"repairs": 1}).opened().refuse_plan("no tool 'fly'")
    assert (story.request.cause, story.request.note) == ("plans_refused", "")
    assert "no tool 'fly'" in story.request.reason


def test_retry_of_no_progress_plans_again_and_may_bring_the_same_plan() -> None:
    story = Story().opened().plan(step("s1"), finish="ok").refused("r1.s1").plan(step("s1"), finish="ok")
    assert story.say("answer", {"choice": "retry", "by": "lea"}).ids == ["plan:2"]
    assert story.plan(step("s1"), finish="ok").ids == ["call:r2.s1:1:1"]


def test_retry_after_too_many_steps_runs_the_plan_that_was_shown() -> None:
    story = Story(limits={"steps": 2}).opened().plan(step("s1", "mail")).down("r1.s1")
    story.plan(step("s1"), step("s2"))
    assert story.request.cause == "steps"
    assert story.say("answer", {"choice": "retry", "by": "lea"}).ids == ["call:r2.s1:1:1", "call:r2.s2:1:1"]


def test_fallback_is_known_for_a_plan_that_the_owner_let_pass() -> None:
    story = Story(limits={"steps": 1}).opened().plan(step("s1", "pay"), step("s2"), finish="ok")
    story.say("answer", {"choice": "retry", "by": "lea"}).down("r1.s1")
    assert story.step("r1.s1").tool == "wire"


def test_conclusion_that_broke_is_tried_again() -> None:
    story = Story().opened().plan(step("s1"), finish="ok").done("r1.s1")
    story.tell(ActivityBroke(command="conclude:1:0", reason="ledger"))
    assert (story.status, story.request.reason) == ("AWAITING_PERSON", "ledger")
    assert story.say("answer", {"choice": "retry", "by": "lea"}).ids == ["conclude:1:1"]


@pytest.mark.parametrize("command", ["conclude:1:0", "open", "plan:0", "notify:q1:opened", "", ":", "nonsense:1"])
def test_activity_that_broke_too_late_changes_nothing(command: str) -> None:
    story = Story().opened().plan(step("s1"), step("s2"))
    before = story.state
    assert story.tell(ActivityBroke(command=command, reason="late")).state == before


# -------------------------------------------------------------------------------------------------------- questions


@pytest.mark.parametrize(
    ("form", "payload"),
    [
        ("answer", {"by": "lea", "text": "1042"}),
        ("answer", {"by": "lea", "choice": "1042"}),
        ("decide", {"by": "lea", "request_id": "q1", "choice": "text", "text": "1042"}),
    ],
)
def test_answer_to_a_question_goes_to_the_planner(form: str, payload: Json) -> None:
    story = question().say(form, payload)
    assert story.ids == ["plan:1"]
    assert "which order?" in story.state.planning.instructions[0]
    assert "1042" in story.state.planning.instructions[0]


@pytest.mark.parametrize(("form", "payload"), [("approve", "lea"), ("reject", "lea"), ("answer", {"by": "lea"})])
def test_question_wants_a_text(form: str, payload: Json) -> None:
    story = question().say(form, payload)
    assert story.state.unaccepted
    assert (story.status, story.ids) == ("AWAITING_PERSON", [])
