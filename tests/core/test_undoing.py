"""Taking back: latest first, one by one, never in doubt; failures have an owner; the result says what stays done."""

from datetime import timedelta

import pytest

from core.answers import fit, read_answer
from core.card import card
from core.carrying import fold_old
from core.contract import Effect
from core.machine import decide
from core.messages import (
    ActivityBroke,
    Adopted,
    CallCancelled,
    CallOrder,
    CallTool,
    CancelRequested,
    EffectsListed,
    EffectsOrder,
    EpochOpened,
    Event,
    GoalAmended,
    ListEffects,
    Paused,
    Resumed,
    ToolRefused,
    Undoable,
)
from core.orders import call_order, effects_order
from core.profile import EndStatus
from core.task import Phase, TaskState
from core.views import result_view
from tests.core.story import DAY, Story, step, terms

UNDO = terms(Effect.KEYED)


def effect(story: Story, name: str) -> Undoable:
    own = story.step(name)
    return Undoable(step=name, tool=own.tool, key=own.key, intent=own.intent, terms=UNDO)


def working(*, undo_on: tuple[EndStatus, ...] = tuple(EndStatus)) -> Story:
    """Two payments and a mail were made; a search is under way."""
    story = Story(undo_on=undo_on).opened()
    steps = (step("s1", "pay", n=1), step("s2", "pay", n=2), step("s3", "mail"), step("s4", "search"))
    return story.plan(*steps, finish="ok").done("r1.s1", "r1.s2", "r1.s3")


def ended(**fields: tuple[EndStatus, ...]) -> Story:
    return working(**fields).tell(CancelRequested()).done("r1.s4")


def listed(story: Story, *names: str, below: int | None = None) -> Story:
    return story.tell(EffectsListed(effects=tuple(effect(story, name) for name in names), below=below))


def undoing() -> Story:
    return listed(ended(), "r1.s2", "r1.s1")


def opens(story: Story) -> dict[str, str]:
    return {one.step: one.what for one in result_view(story.state).open}


def test_task_that_ends_badly_takes_back_what_it_did_latest_first() -> None:
    story = ended()
    assert (story.ids, story.status) == (["effects:all:1"], "COMPENSATING")
    listed(story, "r1.s2", "r1.s1")
    assert (story.ids, story.status) == (["call:undo.r1.s2:1:1"], "COMPENSATING")
    assert story.done("undo.r1.s2").ids == ["call:undo.r1.s1:1:1"]
    assert story.done("undo.r1.s1").ids == ["finish"]
    assert story.status == "CANCELLED"


def test_undo_is_an_effect_of_its_own() -> None:
    story = undoing()
    (command,) = [one for one in story.commands if isinstance(one, CallTool)]
    order = call_order(story.state, command)
    assert isinstance(order, CallOrder)
    assert (order.undoes, order.args, order.settle_only) == (story.step("r1.s2").key, {}, False)
    assert order.intent == 5
    assert order.key not in {one.key for one in story.state.past.values()}
    assert (story.step("undo.r1.s2").tool, story.step("undo.r1.s2").terms) == ("pay.undo", UNDO)


def test_list_is_asked_of_the_task_s_agent() -> None:
    assert effects_order(ended().state, ListEffects(below=3)) == EffectsOrder(agent="desk", task_id="t1", below=3)


@pytest.mark.parametrize("status", [EndStatus.FAILED, EndStatus.CANCELLED, EndStatus.REJECTED, EndStatus.EXPIRED])
def test_only_the_ends_that_the_agent_names_undo(status: EndStatus) -> None:
    assert (ended(undo_on=(status,)).ids == ["effects:all:1"]) is (status is EndStatus.CANCELLED)
    story = working(undo_on=(status,)).wait(8 * DAY).done("r1.s4")
    assert (story.ids == ["effects:all:1"]) is (status is EndStatus.EXPIRED)


def test_task_that_never_opened_has_nothing_to_undo() -> None:
    assert Story(undo_on=tuple(EndStatus)).tell(CancelRequested()).ids == ["finish"]


def test_nothing_is_undone_while_an_outcome_is_unknown() -> None:
    story = Story(undo_on=(EndStatus.CANCELLED,)).opened()
    story.plan(step("s1", "pay"), step("s2", "mail"), finish="ok").done("r1.s1").unknown("r1.s2")
    assert story.tell(CancelRequested()).ids == []
    story.say("answer", {"choice": "write_off", "by": "lea"}).refused("r1.s2", "written_off")
    assert story.ids == ["effects:all:1"]


def test_undo_in_doubt_holds_the_others_up() -> None:
    story = undoing().unknown("undo.r1.s2")
    assert (story.ids, story.status, story.request.kind.value) == ([], "AWAITING_PERSON", "outcome")
    story.say("answer", {"choice": "did_not_happen", "by": "lea"})
    assert story.ids == ["call:undo.r1.s2:1:2"]
    order = call_order(story.state, CallTool(step="undo.r1.s2", revision=1, entry=2))
    assert isinstance(order, CallOrder)
    assert (order.settle_only, order.ruling is not None) == (False, True), "it is wanted, so it may be sent again"
    assert story.done("undo.r1.s2").ids == ["call:undo.r1.s1:1:1"]


def test_undo_that_was_written_off_is_asked_about_no_more_and_stays_open() -> None:
    story = undoing().tell(ToolRefused(step="undo.r1.s2", code="written_off", outcome="unknown"))
    assert (story.ids, story.state.requests) == (["call:undo.r1.s1:1:1"], {})
    story.done("undo.r1.s1")
    assert set(opens(story)) == {"undo.r1.s2", "r1.s2", "r1.s3"}


# ------------------------------------------------------------------------------------------------------ failures


def failed(how: str) -> Story:
    story = undoing()
    return story.down("undo.r1.s2") if how == "down" else story.refused("undo.r1.s2", "too_late", "paid out already")


@pytest.mark.parametrize("how", ["down", "refused"])
def test_failed_undo_has_an_owner_and_does_not_stop_the_others(how: str) -> None:
    story = failed(how)
    assert story.ids == ["call:undo.r1.s1:1:1"]
    assert (story.request.cause, story.request.step, story.request.tool) == ("undo", "undo.r1.s2", "pay.undo")
    assert (story.request.may_answer, story.request.choices) == (("lea",), ("retry", "skip", "end"))
    assert ("paid out" in story.request.reason) is (how == "refused")
    story.done("undo.r1.s1")
    assert (story.ids, story.status) == ([], "AWAITING_PERSON"), "the end waits for the owner's word"


def test_failed_undo_is_made_again_under_a_new_key() -> None:
    story = failed("down")
    before = story.step("undo.r1.s2").key
    story.say("answer", {"choice": "retry", "by": "lea"})
    assert story.ids == ["call:undo.r1.s1:1:1"], "one at a time"
    assert story.done("undo.r1.s1").ids == ["call:undo.r1.s2:2:1"]
    assert story.step("undo.r1.s2").key != before
    order = call_order(story.state, CallTool(step="undo.r1.s2", revision=2, entry=1))
    assert isinstance(order, CallOrder)
    assert order.undoes == story.step("r1.s2").key
    assert story.done("undo.r1.s2").status == "CANCELLED"


def test_failed_undo_that_is_skipped_stays_done() -> None:
    story = failed("refused").say("answer", {"choice": "skip", "by": "lea"}).done("undo.r1.s1")
    assert story.status == "CANCELLED"
    assert opens(story) == {
        "r1.s2": "it stays done: left as it is by lea",
        "r1.s3": "it stays done: nothing undoes it",
    }


def test_owner_ends_the_undoing() -> None:
    story = listed(ended(), "r1.s3", "r1.s2", "r1.s1").down("undo.r1.s3")
    story.say("answer", {"choice": "end", "by": "lea"})
    assert story.ids == ["call:undo.r1.s2:1:1"], "what is under way is heard out"
    assert story.done("undo.r1.s2").status == "CANCELLED"
    assert set(opens(story)) == {"", "r1.s1", "r1.s3"}


def test_failed_undo_that_nobody_answers_for_stays_in_what_is_open() -> None:
    story = failed("refused").done("undo.r1.s1").wait(2 * DAY)
    assert (story.status, story.ids) == ("CANCELLED", ["finish"])
    assert opens(story)["r1.s2"] == "it stays done: paid out already"


def test_many_failed_undos_wait_for_words_before_the_next_is_made() -> None:
    names = [f"s{number}" for number in range(30)]
    story = Story(undo_on=(EndStatus.CANCELLED,), limits={"steps_per_plan": 50, "parallel": 50}).opened()
    story.plan(*(step(name, "pay", n=name) for name in names), step("last", "search"))
    story.done(*(f"r1.{name}" for name in names)).tell(CancelRequested()).done("r1.last")
    listed(story, *(f"r1.{name}" for name in names))
    for name in names[:20]:
        story.down(f"undo.r1.{name}")
    assert (story.ids, len(story.state.requests)) == ([], 20)
    story.say("decide", {"request_id": "q1", "choice": "skip", "by": "lea"})
    assert story.ids == ["call:undo.r1.s20:1:1"]


def test_other_words_do_not_fit_a_failed_undo() -> None:
    story = failed("down").say("decide", {"request_id": "q1", "choice": "replan", "by": "lea"})
    assert "takes one of retry, skip, end" in story.state.unaccepted[-1]


# ------------------------------------------------------------------------------------------------------ the list


def test_long_list_is_taken_part_by_part() -> None:
    story = listed(ended(), "r1.s2", below=2)
    assert story.done("undo.r1.s2").ids == ["effects:2:1"]
    assert listed(story, "r1.s1").done("undo.r1.s1").ids == ["finish"]


def test_list_that_does_not_get_on_ends() -> None:
    story = listed(listed(ended(), below=2), below=2)
    assert story.ids == ["finish"]


def test_effect_that_is_listed_twice_is_undone_once() -> None:
    story = listed(ended(), "r1.s2", "r1.s2", below=2).done("undo.r1.s2")
    assert listed(story, "r1.s2", "r1.s1").ids == ["call:undo.r1.s1:1:1"]


def test_two_effects_of_one_name_have_undos_of_their_own() -> None:
    story = ended()
    twin = effect(story, "r1.s1").model_copy(update={"step": "r1.s2", "key": "another"})
    story.tell(EffectsListed(effects=(effect(story, "r1.s2"), twin))).done("undo.r1.s2")
    assert story.ids == ["call:undo.r1.s2.6:1:1"]


def test_list_that_nobody_asked_for_is_ignored() -> None:
    story = working()
    state = story.state
    assert listed(story, "r1.s1").state == state
    story = undoing()
    state = story.state
    assert listed(story, "r1.s1").state == state


def test_effects_that_cannot_be_listed_are_the_owner_s() -> None:
    story = ended().tell(ActivityBroke(command="effects:all:1", reason="a bug"))
    assert (story.ids, story.request.cause, story.status) == ([], "undo", "AWAITING_PERSON")
    story.say("answer", {"choice": "retry", "by": "lea"})
    assert story.ids == ["effects:all:2"]
    story.tell(ActivityBroke(command="effects:all:1", reason="late"))
    assert story.ids == ["effects:all:2"]
    assert listed(story, "r1.s1").ids == ["call:undo.r1.s1:1:1"]


@pytest.mark.parametrize("choice", ["skip", "end", ""])
def test_end_does_not_wait_for_a_list_that_nobody_wants_again(choice: str) -> None:
    story = ended().tell(ActivityBroke(command="effects:all:1", reason="a bug"))
    if choice:
        story.say("answer", {"choice": choice, "by": "lea"})
    else:
        story.wait(2 * DAY)
    assert story.ids == ["finish"]
    assert "cannot be listed" in opens(story)[""]


# ---------------------------------------------------------------------------------------------------- approvals


def test_undo_may_need_an_approval_and_the_others_wait_for_it() -> None:
    story = undoing().asks("undo.r1.s2", args={"args": {"n": 2}, "result": None})
    assert (story.ids, story.status) == ([], "AWAITING_APPROVAL")
    assert story.request.choices == ("approve", "reject")
    story.say("approve", {"by": "lea"})
    assert story.ids == ["call:undo.r1.s2:1:2"]


def test_undo_cannot_be_edited() -> None:
    story = undoing().asks("undo.r1.s2", args={"args": {"n": 2}, "result": None})
    story.say("approve", {"by": "lea", "args": {"args": {"n": 3}}})
    assert "is no choice of the open requests" in story.state.unaccepted[-1]
    assert story.step("undo.r1.s2").phase is Phase.ASKING


@pytest.mark.parametrize("how", ["rejected", "expired"])
def test_undo_that_is_not_approved_stays_done(how: str) -> None:
    story = undoing().asks("undo.r1.s2")
    if how == "rejected":
        story.say("reject", {"by": "fay", "comment": "keep it"})
    else:
        story.wait(2 * DAY)
    assert (story.ids, story.state.requests) == (["call:undo.r1.s1:1:1"], {}), "somebody's word, or silence, is enough"
    assert story.done("undo.r1.s1").status == "CANCELLED"
    assert "it stays done" in opens(story)["r1.s2"]


# ------------------------------------------------------------------------------------- steering while it undoes


@pytest.mark.parametrize("event", [CancelRequested(), GoalAmended(goal="otherwise")])
def test_undoing_is_not_stopped_by_a_cancel_or_an_amendment(event: Event) -> None:
    story = undoing()
    assert story.tell(event).ids == ["call:undo.r1.s2:1:1"]
    assert story.done("undo.r1.s2").done("undo.r1.s1").status == "CANCELLED"


def test_undoing_is_paused_and_goes_on() -> None:
    story = undoing().tell(Paused(by="ana"))
    assert (story.ids, story.status) == ([], "PAUSED")
    story.tell(CallCancelled(step="undo.r1.s2"))
    assert story.ids == []
    assert story.tell(Resumed()).ids == ["call:undo.r1.s2:1:2"]


def test_pause_before_the_end_holds_the_undoing_back_too() -> None:
    story = working().tell(Paused(by="ana")).wait(8 * DAY).done("r1.s4")
    assert (story.status, story.ids) == ("PAUSED", [])
    assert story.tell(Resumed()).ids == ["effects:all:1"]


def test_cancel_of_a_paused_task_undoes() -> None:
    assert working().tell(Paused(by="ana"), CancelRequested()).done("r1.s4").ids == ["effects:all:1"]


def test_wall_time_does_not_cut_the_undoing_off() -> None:
    story = undoing().wait(30 * DAY)
    assert story.ids == ["call:undo.r1.s2:1:1"]
    assert story.state.ending is not None
    assert story.state.ending.status is EndStatus.CANCELLED


def test_broken_undo_is_a_doubt() -> None:
    story = undoing().tell(ActivityBroke(command="call:undo.r1.s2:1:1", reason="a bug"))
    assert (story.request.kind.value, story.ids) == ("outcome", [])


def test_undoing_goes_on_in_the_next_run() -> None:
    story = undoing().down("undo.r1.s2")
    again = TaskState.model_validate_json(fold_old(story.state).model_dump_json())
    assert decide(again) == (story.state, story.commands)


def test_reset_while_undoing_starts_the_undoing_over() -> None:
    story = undoing().done("undo.r1.s2")
    story.tell(EpochOpened(step="undo.r1.s1", next_intent=9, not_shown=1))
    assert (story.ids, story.status) == (["effects:all:2"], "COMPENSATING")
    assert listed(story, "r1.s1").ids == ["call:undo.r1.s1.9:1:1"]
    assert story.done("undo.r1.s1.9").status == "CANCELLED"
    assert set(opens(story)) == {"r1.s3"}


def test_undo_that_the_branch_left_open_is_found_out_before_any_other() -> None:
    story = undoing()
    branch = Adopted(
        step="undo.r1.s2",
        tool="pay.undo",
        key="k" * 32,
        intent=5,
        terms=UNDO,
        outcome="open",
        undoes=story.step("r1.s2").key,
    )
    story.tell(EpochOpened(step="undo.r1.s2", next_intent=9, adopted=(branch,), not_shown=1))
    assert story.ids == ["call:r2.undo_r1_s2:1:1"]
    order = call_order(story.state, CallTool(step="r2.undo_r1_s2", revision=1, entry=1))
    assert isinstance(order, CallOrder)
    assert (order.settle_only, order.key) == (True, "k" * 32)
    assert story.done("r2.undo_r1_s2").ids == ["effects:all:2"]
    listed(story, "r1.s1").done("undo.r1.s1")
    assert set(opens(story)) == {"r1.s3"}


# -------------------------------------------------------------------------------------------------- what is shown


def test_result_tells_the_undos_and_what_stays_done() -> None:
    story = undoing().done("undo.r1.s2").done("undo.r1.s1")
    result = result_view(story.state)
    assert [(one.step, one.outcome) for one in result.effects if one.undoes] == [
        ("undo.r1.s2", "succeeded"),
        ("undo.r1.s1", "succeeded"),
    ]
    assert opens(story) == {"r1.s3": "it stays done: nothing undoes it"}


def test_task_that_does_not_undo_lists_nothing_as_left_over() -> None:
    assert opens(ended(undo_on=())) == {}


def test_card_shows_the_undos_and_what_could_not_be_undone() -> None:
    shown = card(failed("refused").state)
    assert "Not undone: pay.undo" in shown
    assert "**Undo**" in shown
    assert "undo.r1.s1" in shown
    assert "COMPENSATING" in card(undoing().state)


def test_request_about_an_undo_can_be_found_without_its_id() -> None:
    story = failed("down")
    request, _ = fit(story.state, read_answer("answer", {"choice": "retry", "by": "lea"}))
    assert request.step == "undo.r1.s2"


def test_reminders_go_out_for_a_failed_undo() -> None:
    assert "q1:reminder" in failed("down").wait(timedelta(hours=2)).rungs
