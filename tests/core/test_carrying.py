"""The state that is carried into the next run has a size, and goes on as before."""

import pytest

from core import machine
from core.carrying import MAX_BYTES, fold_old, size_bytes
from core.messages import CallTool, ProposePlan, ToolRefused
from core.orders import call_order, plan_order
from core.task import TaskState
from core.views import result_view, status_view
from tests.core.story import Story, step

MANY = {"rounds": 500, "steps": 5000, "steps_per_plan": 100, "parallel": 100, "tokens": 100_000_000, "same_call": 1000}


def story() -> Story:
    return Story(limits=MANY).opened()


def carried(told: Story) -> Story:
    """Go on in another run."""
    folded = fold_old(told.state)
    assert size_bytes(folded) <= MAX_BYTES
    state = TaskState.model_validate(folded.model_dump(mode="json"))
    assert state == folded
    assert machine.decide(state)[1] == told.commands
    told.state = state
    return told


def test_small_state_is_carried_as_it_is() -> None:
    told = story().plan(step("s1"), finish="ok")
    assert fold_old(told.state) is told.state


def test_old_rounds_are_folded_into_counts() -> None:
    told = story()
    for number in range(1, 40):
        told.plan(step("s1", "pay", n=number)).done(f"r{number}.s1", result="é" * 5000)
    before = status_view(told.state).steps_done
    told = carried(told)
    assert told.state.folded.steps == told.state.folded.effects > 0
    assert status_view(told.state).steps_done == before
    assert result_view(told.state).not_shown >= told.state.folded.effects
    assert "r39.s1" in told.state.steps, "the newest stay"
    cut = plan_order(told.state, ProposePlan(call=39, route=0)).briefing.cut
    assert any("of the first rounds were left out" in one for one in cut)


def test_result_that_is_still_needed_is_kept() -> None:
    told = story().plan(step("s0")).done("r1.s0", result={"id": "x"})
    for number in range(2, 40):
        told.plan(step("s1", n=number)).done(f"r{number}.s1", result="x" * 8000)
    told.plan(step("s1"), step("s2", "pay", id={"$from": "r1.s0", "path": "/id"}, after=("s1",)), finish="{{r1.s0/id}}")
    told = carried(told)
    assert "r1.s0" in told.state.past
    told.done("r40.s1")
    order = call_order(told.state, CallTool(step="r40.s2", revision=1, entry=1))
    assert not isinstance(order, ToolRefused)
    assert order.args == {"id": "x"}


def test_round_of_large_results_is_made_light() -> None:
    needed = {"$from": "s0", "path": "/text"}
    told = story().plan(*(step(f"s{n}") for n in range(60)), step("last", after=("s59",), text=needed), finish="ok")
    told.done(*(f"r1.s{n}" for n in range(59)), result={"text": "x" * 15_000})
    told = carried(told)
    assert told.state.steps["r1.s5"].forgotten
    assert not told.state.steps["r1.s0"].forgotten, "the last step refers to it"
    told.done("r1.s59")
    assert told.ids == ["call:r1.last:1:1"]


def test_reference_to_what_was_forgotten_refuses_the_step_and_says_so() -> None:
    told = story().plan(*(step(f"s{n}") for n in range(60))).done(*(f"r1.s{n}" for n in range(60)), result="x" * 15_000)
    told = carried(told)
    told.plan(step("s1", "pay", text={"$from": "r1.s5"}))
    (command,) = told.commands[-1:]
    assert isinstance(command, CallTool)
    refused = call_order(told.state, command)
    assert isinstance(refused, ToolRefused)
    assert "not kept here any more" in refused.message
    told.tell(refused)
    cut = plan_order(told.state, ProposePlan(call=2, route=0)).briefing.cut
    assert any("read it again" in one for one in cut)


@pytest.mark.parametrize("answer", ["approve", {"by": "fay", "args": {"x": 1}}])
def test_large_approvals_are_carried_and_can_still_be_given(answer: str | dict[str, object]) -> None:
    told = story().plan(*(step(f"s{n}", "pay") for n in range(8)), finish="ok")
    for n in range(8):
        told.asks(f"r1.s{n}", args={"text": "x" * 60_000}, facts={"more": "y" * 15_000})
    told = carried(told)
    payload = {"by": "fay"} if isinstance(answer, str) else answer
    told.say("approve", {**payload, "request_id": "q1"})
    if isinstance(answer, str):
        assert told.ids == ["call:r1.s0:1:2"]
    else:
        assert "too large to be edited" in told.state.unaccepted[-1]


def test_long_instructions_are_cut_oldest_first() -> None:
    told = Story(limits={**MANY, "repairs": 1}, people={}).opened()
    for number in range(40):
        while told.ids:
            told.refuse_plan()
        told.say("answer", {"choice": "replan", "text": f"{number} " + "x" * 19_000})
    told = carried(told)
    assert told.state.planning.instructions == () or told.state.planning.instructions[-1].startswith("39 ")
