"""Resets and runs under the same id: what earlier runs did is adopted, and nothing of it is done again."""

from typing import Any

import pytest

from core.messages import (
    Adopted,
    CallOrder,
    CallTool,
    CancelRequested,
    EpochOpened,
    GoalAmended,
    Kept,
    OpenOrder,
    OutcomeVerified,
    ProposePlan,
    ReceiptKept,
    TaskOpened,
    ToolRefused,
    ToolSucceeded,
)
from core.orders import call_order, open_order, plan_order
from core.task import Phase, Stage
from core.views import result_view
from tests.core.story import TERMS, Story, step


def adopted(name: str, tool: str = "pay", outcome: Any = "succeeded", intent: int = 1, **fields: Any) -> Adopted:
    base: dict[str, Any] = {"key": f"key of {name} {intent}", "terms": TERMS[tool], "args": {"cents": 5}}
    return Adopted(step=name, tool=tool, outcome=outcome, intent=intent, **{**base, **fields})


def again(*effects: Adopted, is_reset: bool = False, **fields: Any) -> Story:
    story = Story()
    return story.tell(
        TaskOpened(
            profile=story.profile, adopted=effects, is_reset=is_reset, **{"epoch": 1, "next_intent": 9, **fields}
        )
    )


def order_of(story: Story, name: str, ancestors: tuple[str, ...] = ()) -> CallOrder:
    own = story.state.steps[name]
    made = call_order(story.state, CallTool(step=name, revision=own.revision, entry=own.entry), ancestors)
    assert isinstance(made, CallOrder)
    return made


def reset(story: Story, name: str, *effects: Adopted, **fields: Any) -> Story:
    return story.tell(EpochOpened(step=name, **{"epoch": 1, "next_intent": 9, **fields}, adopted=effects))


def acting() -> Story:
    story = Story().opened().plan(step("s1", "pay"), step("s2", "mail", after=("s1",)), step("s3", "wire"), finish="ok")
    return story.done("r1.s1", result={"id": "x"})


def own(story: Story, name: str) -> Adopted:
    one = story.step(name)
    return adopted(name, one.tool, intent=one.intent, key=one.key)


# --------------------------------------------------------------------------------------------------- run --again


def test_run_under_the_same_id_plans_from_what_was_done() -> None:
    story = again(adopted("r1.s1", result={"id": "x"}), adopted("r2.s1", "mail", "unknown", 2))
    assert story.ids == ["plan:0"]
    briefing = plan_order(story.state, next(one for one in story.commands if isinstance(one, ProposePlan))).briefing
    assert [(one.step, one.tool, one.args, one.result) for one in briefing.done] == [
        ("r1.r1_s1", "pay", {"cents": 5}, {"id": "x"})
    ]
    assert [one.step for one in briefing.in_doubt] == ["r1.r2_s1"]
    assert story.state.requests == {}, "somebody asked for this run"


def test_result_of_an_earlier_run_can_be_referred_to() -> None:
    story = again(adopted("r1.s1", result={"id": "x"}), adopted("r1.s2", "look", intent=2, blob="b" * 32, size=9))
    story.plan(step("s1", "mail", id={"$from": "r1.r1_s1", "path": "/id"}, of={"$from": "r1.r1_s2"}))
    order = order_of(story, "r2.s1")
    assert order.args == {"id": "x", "of": None}
    assert order.deferred[0].blobs == {"r1.r1_s2": "b" * 32}


def test_result_that_was_cut_is_no_source() -> None:
    story = again(adopted("r1.s1", preview='{"id": "x'))
    story.plan(step("s1", "mail", id={"$from": "r1.r1_s1", "path": "/id"}))
    refused = call_order(story.state, CallTool(step="r2.s1", revision=1, entry=1))
    assert isinstance(refused, ToolRefused)


def test_open_effect_is_settled_under_its_own_key_before_planning() -> None:
    story = again(adopted("r1.s1", "pay", "open", 4, revision=2, args={"text": "{{s9/id}}", "of": {"$from": "s9"}}))
    assert story.ids == ["call:r1.r1_s1:2:1"]
    order = order_of(story, "r1.r1_s1")
    assert (order.key, order.intent, order.revision, order.epoch) == ("key of r1.s1 4", 4, 2, 1)
    assert order.settle_only
    assert order.args == {"text": "{{s9/id}}", "of": {"$from": "s9"}}, "nothing in a stored call is a reference"
    assert story.done("r1.r1_s1").ids == ["plan:0"]


def test_open_effect_that_was_never_sent_is_a_fact_and_not_sent_now() -> None:
    story = again(adopted("r1.s1", "pay", "open")).down("r1.r1_s1")
    assert story.ids == ["plan:0"]
    assert story.step("r1.r1_s1").tried == (), "no fallback is begun for it"
    assert story.state.planning.without_tools == ()


def test_open_effect_that_nobody_knows_of_is_asked_about_first() -> None:
    story = again(adopted("r1.s1", "pay", "open")).unknown("r1.r1_s1")
    assert (story.ids, story.request.step) == ([], "r1.r1_s1")
    story.say("answer", {"choice": "happened", "by": "lea"})
    assert story.ids == ["call:r1.r1_s1:1:2"]
    assert story.done("r1.r1_s1").ids == ["plan:0"]


def test_numbering_goes_on_after_earlier_runs() -> None:
    story = again(adopted("r1.s1"), next_intent=7).plan(step("s1", "pay"))
    assert (story.step("r2.s1").intent, story.state.epoch) == (7, 1)
    assert order_of(story, "r2.s1").epoch == 1


def test_adoption_costs_no_round() -> None:
    story = Story(limits={"rounds": 1})
    story.tell(TaskOpened(profile=story.profile, adopted=(adopted("r1.s1"),), epoch=1, next_intent=2))
    assert story.ids == ["plan:0"]
    assert story.plan(finish="ok").tell(OutcomeVerified(answer="ok")).status == "COMPLETED"


def test_effects_of_earlier_runs_are_in_the_result() -> None:
    story = again(adopted("r1.s1"), adopted("r1.s2", "mail", "unknown", 2), not_shown=3)
    result = result_view(story.tell(CancelRequested()).state)
    assert [(one.step, one.outcome) for one in result.effects] == [
        ("r1.r1_s1", "succeeded"),
        ("r1.r1_s2", "unknown"),
    ]
    assert result.not_shown == 3
    assert [one.step for one in result.open] == ["r1.r1_s2"]


@pytest.mark.parametrize("names", [["r1.s1", "r1.s1"], ["undo.r1.s1", "R", ""], ["r1." + "x" * 32, "r12." + "x" * 32]])
def test_any_name_of_an_earlier_run_gets_one_of_its_own(names: list[str]) -> None:
    story = again(*(adopted(name, intent=number) for number, name in enumerate(names, 1)))
    assert len(story.state.steps) == len(names)
    assert type(story.state).model_validate_json(story.state.model_dump_json()) == story.state
    assert plan_order(story.state, next(one for one in story.commands if isinstance(one, ProposePlan)))


def test_order_to_open_names_the_chain_of_runs() -> None:
    order = open_order(Story().state, "chain")
    assert isinstance(order, OpenOrder)
    assert order.first_run_id == "chain"
    assert open_order(Story().state).first_run_id == ""


def test_order_names_the_runs_before_this_one() -> None:
    assert order_of(acting(), "r1.s2", ("a", "b")).ancestors == ("a", "b")


# -------------------------------------------------------------------------------------------------------- resets


def test_reset_asks_the_owner_and_says_what_the_branch_did() -> None:
    story = acting()
    reset(story, "r1.s2", own(story, "r1.s1"), adopted("r2.s1", "mail", intent=5), next_intent=6)
    assert (story.state.stage, story.ids, story.status) == (Stage.HELD, [], "AWAITING_PERSON")
    assert (story.request.cause, story.request.may_answer) == ("reset", ("lea",))
    assert "r2.s1 mail (succeeded)" in story.request.reason
    assert "r1.s1" not in story.request.reason, "this run knows of it"
    assert story.step("r1.s2").phase is Phase.DROPPED
    assert story.step("r2.r2_s1").key == "key of r2.s1 5"
    assert "r2.r1_s1" not in story.state.steps


@pytest.mark.parametrize(("choice", "instructed"), [("retry", False), ("replan", True), ("skip", False)])
def test_owner_lets_a_reset_task_plan_on(choice: str, instructed: bool) -> None:
    story = acting()
    reset(story, "r1.s2", own(story, "r1.s1"), adopted("r2.s1", "mail", intent=5))
    story.say("answer", {"choice": choice, "by": "lea", "text": "only look"})
    assert story.ids == ["plan:2"], "what planner and branch had said before is late"
    assert bool(story.state.planning.instructions) is instructed
    assert story.plan(step("s1")).step("r3.s1").intent == 9


def test_owner_ends_a_reset_task() -> None:
    story = acting()
    reset(story, "r1.s2", adopted("r2.s1", "mail", intent=5), not_shown=1)
    story.say("answer", {"choice": "end", "by": "lea"})
    assert (story.status, story.ids) == ("FAILED", ["finish"])


def test_reset_with_nothing_new_plans_again_without_asking() -> None:
    story = acting()
    reset(story, "r1.s2", own(story, "r1.s1"))
    assert (story.ids, story.state.requests) == (["plan:2"], {})
    assert story.state.finish is None


def test_open_effects_of_the_branch_are_settled_while_the_owner_thinks() -> None:
    story = acting()
    reset(story, "r1.s2", own(story, "r1.s1"), adopted("r1.s3", "wire", "open", 3))
    assert story.ids == ["call:r2.r1_s3:1:1"]
    story.unknown("r2.r1_s3").say("answer", {"request_id": "q1", "choice": "retry", "by": "lea"})
    assert story.ids == [], "the doubt comes before the plan"
    story.say("answer", {"choice": "happened", "by": "lea"}).done("r2.r1_s3")
    assert story.ids == ["plan:2"]


def test_amendment_of_a_reset_task_waits_for_what_is_open() -> None:
    story = acting()
    reset(story, "r1.s2", adopted("r1.s3", "wire", "open", 3), not_shown=1).unknown("r2.r1_s3")
    story.tell(GoalAmended(goal="cancel order 1042"))
    assert (story.ids, [one.kind.value for one in story.state.requests.values()]) == ([], ["outcome"])
    story.say("answer", {"choice": "write_off", "by": "lea"}).refused("r2.r1_s3", "written_off")
    assert story.ids == ["plan:3"]


def test_all_calls_of_a_reset_run_learn_of_it_and_it_begins_once() -> None:
    story = acting()
    effects = (own(story, "r1.s1"), adopted("r2.s1", "mail", intent=5))
    reset(story, "r1.s2", *effects)
    state = story.state
    reset(story, "r1.s3", *effects)
    assert story.state == state


def test_call_of_the_epoch_before_goes_to_the_door_again() -> None:
    story = reset(acting(), "r1.s2", epoch=0)
    assert story.ids == ["call:r1.s2:1:2", "call:r1.s3:1:1"]


def test_effect_that_was_undone_before_the_reset_does_not_stand() -> None:
    story = acting()
    reset(story, "r1.s2", adopted("r2.s1", "mail", intent=5))
    assert (story.step("r1.s1").phase, story.step("r1.s1").code) == (Phase.REFUSED, "undone")
    assert result_view(story.state).effects[0].outcome == "failed"


def test_effect_that_a_cut_list_leaves_out_still_stands() -> None:
    story = acting()
    reset(story, "r1.s2", adopted("r2.s1", "mail", intent=5), not_shown=1)
    assert story.step("r1.s1").phase is Phase.SUCCEEDED


def test_doubt_that_a_cut_list_leaves_out_is_still_asked_about() -> None:
    story = acting().unknown("r1.s3")
    reset(story, "r1.s2", not_shown=1)
    assert story.ids == ["call:r2.r1_s3:1:1"]
    assert order_of(story, "r2.r1_s3").key == story.step("r1.s3").key
    assert story.state.requests == {}
    assert story.unknown("r2.r1_s3").request.kind.value == "outcome"


def test_reset_withdraws_what_was_asked() -> None:
    story = acting().asks("r1.s3", quorum=2)
    reset(story, "r1.s2", own(story, "r1.s1"))
    assert story.state.requests == {}
    assert story.state.closed["q1"].how == "withdrawn: the task was reset"


def test_reset_of_a_task_that_ends_settles_and_ends() -> None:
    story = acting().tell(CancelRequested())
    reset(story, "r1.s2", own(story, "r1.s1"), adopted("r2.s1", "mail", "open", 5))
    assert (story.ids, story.state.requests) == (["call:r2.r2_s1:1:1"], {})
    assert story.done("r2.r2_s1").status == "CANCELLED"


def test_answer_of_a_call_of_the_branch_is_ignored() -> None:
    story = acting()
    reset(story, "r1.s2", own(story, "r1.s1"))
    state = story.state
    story.tell(ToolSucceeded(step="r1.s3"), ToolSucceeded(step="r1.s2"))
    assert story.state == state


def test_run_before_its_opening_that_was_reset_asks_too() -> None:
    story = again(adopted("r1.s1"), is_reset=True)
    assert (story.request.cause, story.ids) == ("reset", [])


def test_reset_before_anything_was_done_asks_nobody() -> None:
    assert again(is_reset=True).ids == ["plan:0"]


# ------------------------------------------------------------------------------------------------------ receipts

KEPT = Kept(fence=3, move="succeed", evidence="answer", result={"id": "x"})


def test_answer_that_could_not_be_stored_is_brought_along() -> None:
    story = Story().opened().plan(step("s1", "pay"), finish="ok").tell(ReceiptKept(step="r1.s1", receipt=KEPT))
    assert story.ids == ["call:r1.s1:1:2"]
    assert order_of(story, "r1.s1").receipt == KEPT


def test_receipt_is_let_go_once_the_call_has_reported() -> None:
    story = Story().opened().plan(step("s1", "pay"), finish="ok").tell(ReceiptKept(step="r1.s1", receipt=KEPT))
    assert story.done("r1.s1").step("r1.s1").receipt is None
    doubted = Story().opened().plan(step("s1", "pay")).tell(ReceiptKept(step="r1.s1", receipt=KEPT)).unknown("r1.s1")
    assert doubted.step("r1.s1").receipt is None


def test_receipt_of_a_call_that_is_not_under_way_is_ignored() -> None:
    story = Story().opened().plan(step("s1", "pay"), finish="ok").done("r1.s1")
    assert story.tell(ReceiptKept(step="r1.s1", receipt=KEPT)).step("r1.s1").receipt is None


def test_receipt_is_not_lost_by_a_reset() -> None:
    story = acting().tell(ReceiptKept(step="r1.s3", receipt=KEPT))
    branch = own(story, "r1.s3").model_copy(update={"outcome": "open"})
    reset(story, "r1.s2", own(story, "r1.s1"), branch)
    assert order_of(story, "r2.r1_s3").receipt == KEPT


def test_receipt_waits_through_a_cancel() -> None:
    story = Story().opened().plan(step("s1", "pay")).tell(ReceiptKept(step="r1.s1", receipt=KEPT), CancelRequested())
    assert (order_of(story, "r1.s1").receipt, order_of(story, "r1.s1").settle_only) == (KEPT, True)
