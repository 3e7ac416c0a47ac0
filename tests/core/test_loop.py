"""The loop: planning, acting, validating, recovering."""

import pytest

from core.messages import CallTool, OutcomeNotVerified, OutcomeVerified, PlanProposed, TaskOpened, ToolSucceeded
from core.plan import Plan
from core.task import Phase, Stage
from tests.core.story import Story, planned, profile, step


def test_task_that_goes_well_takes_one_planning_call() -> None:
    story = Story()
    assert story.ids == ["open"]
    assert story.status == "INITIALIZING"
    assert story.opened().ids == ["plan:0"]
    story.plan(step("s1"), step("s2", "pay", order={"$from": "s1", "path": "/id"}), finish="Paid {{s2/id}}.")
    assert story.ids == ["call:r1.s1:1:1"]
    assert story.status == "ACTING"
    assert story.done("r1.s1", result={"id": "x"}).ids == ["call:r1.s2:1:1"]
    assert story.done("r1.s2", result={"id": "y"}).ids == ["conclude:1:0"]
    assert story.status == "VALIDATING"
    story.tell(OutcomeVerified(answer="Paid y."))
    assert story.ids == ["finish"]
    assert (story.status, story.state.answer, story.state.spent.planning_calls) == ("COMPLETED", "Paid y.", 1)


def test_independent_steps_run_at_once_up_to_the_limit() -> None:
    story = Story(limits={"parallel": 2}).opened().plan(*(step(f"s{n}") for n in range(4)), finish="ok")
    assert story.ids == ["call:r1.s0:1:1", "call:r1.s1:1:1"]
    assert story.done("r1.s1").ids == ["call:r1.s0:1:1", "call:r1.s2:1:1"]


def test_after_orders_steps_without_data() -> None:
    story = Story().opened().plan(step("s1"), step("s2", after=("s1",)), finish="ok")
    assert story.ids == ["call:r1.s1:1:1"]


def test_rightful_repetition_waits_for_what_it_repeats() -> None:
    twice = {**step("s2", "pay", cents=5), "repeat_of": "s1"}
    assert Story().opened().plan(step("s1", "pay", cents=5), twice, finish="ok").ids == ["call:r1.s1:1:1"]


def test_dependents_of_a_refused_step_are_dropped_while_others_end() -> None:
    story = Story().opened().plan(step("s1"), step("s2", "pay", of={"$from": "s1"}), step("s3"), finish="ok")
    story.refused("r1.s1")
    assert story.ids == ["call:r1.s3:1:1"]
    assert story.step("r1.s2").phase is Phase.DROPPED
    assert story.status == "RECOVERING"
    assert story.done("r1.s3").ids == ["plan:1"]


def test_dropping_is_transitive() -> None:
    story = Story().opened().plan(step("s1"), step("s2", after=("s1",)), step("s3", after=("s2",)), finish="ok")
    story.refused("r1.s1")
    assert story.step("r1.s3").phase is Phase.DROPPED
    assert story.ids == ["plan:1"]


def test_next_plan_may_use_results_of_earlier_rounds() -> None:
    story = Story().opened().plan(step("s1")).done("r1.s1", result={"id": 5})
    assert story.ids == ["plan:1"]
    assert story.plan(step("s1", "pay", of={"$from": "r1.s1", "path": "/id"}), finish="ok").ids == ["call:r2.s1:1:1"]


def test_finish_counts_only_when_every_step_has_succeeded() -> None:
    story = Story().opened().plan(step("s1"), step("s2"), finish="ok").done("r1.s1")
    assert story.ids == ["call:r1.s2:1:1"]
    assert story.refused("r1.s2").ids == ["plan:1"]


def test_finish_alone_goes_straight_to_the_conditions() -> None:
    assert Story().opened().plan(finish="nothing to do").ids == ["conclude:1:0"]


def test_unmet_condition_goes_back_to_planning_with_the_reasons() -> None:
    story = Story().opened().plan(step("s1"), finish="ok").done("r1.s1")
    story.tell(OutcomeNotVerified(unmet=("no mail was sent",)))
    assert story.ids == ["plan:1"]
    assert "no mail was sent" in story.state.planning.faults[0]
    assert story.plan(step("s1", "mail"), finish="ok").done("r2.s1").ids == ["conclude:2:1"]


def test_plan_equal_to_one_that_failed_asks_the_owner() -> None:
    story = Story().opened().plan(step("s1"), finish="ok").refused("r1.s1")
    story.plan({**step("s1"), "why": "other words"}, finish="ok", confidence=0.7)
    assert (story.status, story.request.cause) == ("AWAITING_PERSON", "no_progress")


def test_fallback_tool_takes_the_place_of_an_unavailable_one() -> None:
    story = Story().opened().plan(step("s1", "pay", cents=5), finish="ok")
    first = story.step("r1.s1")
    story.down("r1.s1")
    second = story.step("r1.s1")
    assert (second.tool, second.phase, second.planned.args) == ("wire", Phase.CALLING, {"cents": 5})
    assert second.intent != first.intent
    assert second.key != first.key
    assert story.ids != ["call:r1.s1:1:1"], "a command's id names one visit to the door"


def test_fallbacks_do_not_go_round_in_circles() -> None:
    story = Story().opened().plan(step("s1", "pay"), finish="ok").down("r1.s1").down("r1.s1")
    assert story.ids == ["plan:1"]
    assert story.state.planning.without_tools == ("pay", "wire")


def test_unavailable_tool_without_fallback_is_left_out_of_the_next_plan() -> None:
    story = Story().opened().plan(step("s1", "mail"), finish="ok").down("r1.s1")
    assert story.ids == ["plan:1"]
    assert story.state.planning.without_tools == ("mail",)


def test_success_of_a_plan_without_finish_is_followed_by_another_plan() -> None:
    assert Story().opened().plan(step("s1")).done("r1.s1").ids == ["plan:1"]


def test_intents_go_on_above_what_the_ledger_knows() -> None:
    story = Story()
    story.tell(TaskOpened(profile=profile(), next_intent=41)).plan(step("s1"), step("s2"), finish="ok")
    assert [one.intent for one in story.state.steps.values()] == [41, 42]


@pytest.mark.parametrize("result", [2**63, -(10**400), {"id": 10**400}, 1e300, [None], "\u2028"])
def test_any_result_of_a_tool_can_be_remembered(result: object) -> None:
    story = Story().opened().plan(step("s1"), finish="ok").done("r1.s1", result=result)
    assert story.ids == ["conclude:1:0"]


def test_plan_whose_contracts_are_missing_is_refused() -> None:
    story = Story().opened()
    plan = Plan.model_validate({"steps": [step("s1", "nothing")]})
    story.tell(PlanProposed(plan=plan, terms={}, call=0))
    assert story.ids == ["plan:1"]
    assert "nothing" in story.state.planning.faults[0]


def test_agent_without_a_language_model_asks_the_owner() -> None:
    story = Story(route=()).opened()
    assert (story.state.stage, story.request.cause) == (Stage.HELD, "no_model")
    assert story.say("answer", {"by": "lea", "choice": "end"}).status == "FAILED"


def test_repeated_event_changes_nothing() -> None:
    story = Story().opened().plan(step("s1"), step("s2", "pay"), finish="ok")
    once = story.done("r1.s1", result=1).state
    assert story.tell(ToolSucceeded(step="r1.s1", result=2)).state == once


def test_commands_name_step_revision_and_visit() -> None:
    story = Story().opened().plan(step("s1", "pay"), finish="ok")
    assert CallTool(step="r1.s1", revision=1, entry=1) in story.commands
    assert planned(step("s1")).plan == planned(step("s1")).plan
