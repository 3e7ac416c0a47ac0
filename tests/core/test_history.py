"""What was written once can be read later: by this version, by a later one, and by the one before."""

from typing import Any

import pytest
from pydantic import BaseModel

from core.messages import PlanOrder, PlanProposed, ProposePlan, TaskOpened, ToolSucceeded
from core.orders import plan_order
from core.record import Json
from core.task import TaskState
from tests.core.story import Story, planned, profile, step


def with_later_fields(value: Json) -> Json:
    """Add a field to every object that is one of ours (arguments and results hold what they hold)."""
    if isinstance(value, dict):
        free = ("args", "inputs", "result", "origin", "terms", "people", "earlier", "edited")
        inner = {name: item if name in free else with_later_fields(item) for name, item in value.items()}
        return {**inner, "of_a_later_version": 1}
    if isinstance(value, list):
        return [with_later_fields(item) for item in value]
    return value


def story() -> Story:
    return Story().opened().plan(step("s1", x={"a": None}), finish="ok").done("r1.s1", result={"b": [None, 0, ""]})


RECORDS: list[BaseModel] = [
    TaskOpened(profile=profile()),
    planned(step("s1", x=None), finish="ok"),
    plan_order(story().state, ProposePlan(call=1, route=0)),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda one: type(one).__name__)
def test_fields_of_a_later_version_are_ignored(record: BaseModel) -> None:
    written = record.model_dump(mode="json")
    assert type(record).model_validate(with_later_fields(written)) == record


def test_state_with_fields_of_a_later_version_is_taken_over() -> None:
    told = story()
    written: dict[str, Any] = told.state.model_dump(mode="json")
    for name in ("spec", "planning", "profile", "spent"):
        written[name] = with_later_fields(written[name])
    written["steps"] = {name: with_later_fields(one) for name, one in written["steps"].items()}
    assert TaskState.model_validate({**written, "of_a_later_version": 1}) == told.state


@pytest.mark.parametrize("value", [None, False, 0, 0.0, "", [], {}, [None], {"x": None}, {"": ""}])
def test_empty_values_survive(value: Json) -> None:
    event = ToolSucceeded(step="r1.s1", result=value)
    again = ToolSucceeded.model_validate_json(event.model_dump_json())
    assert again == event
    assert type(again.result) is type(value)


def test_order_for_the_planner_survives() -> None:
    order = plan_order(story().state, ProposePlan(call=1, route=0))
    assert PlanOrder.model_validate_json(order.model_dump_json()) == order


def test_verified_false_is_not_taken_for_unknown() -> None:
    written = ToolSucceeded(step="r1.s1", verified=False).model_dump_json()
    assert ToolSucceeded.model_validate_json(written).verified is False
    assert PlanProposed.model_validate_json(planned(step("s1"), confidence=0).model_dump_json()).plan.confidence == 0
