import json
import tomllib
from typing import Any

import pytest

from core.checking import check_plan
from core.contract import Effect
from core.errors import Refused
from core.plan import Plan
from core.profile import Ladder, Limits
from core.record import Json
from demo.route import choose_route
from llm.scripted import load
from tests.support_desk.desk import AGENT, Desk

CONFIG = tomllib.loads((AGENT / "agent.toml").read_text("utf-8"))
PEOPLE = tomllib.loads((AGENT.parents[1] / "lastmile.toml").read_text("utf-8"))["people"]


def scripted_plan() -> dict[str, Any]:
    [reply] = load(AGENT / "script" / "default.json").replies
    assert reply.plan is not None
    return reply.plan


def checked(desk: Desk, document: dict[str, Any]) -> Plan | list[Any]:
    catalogue = {name: tool.contract for name, tool in desk.items()}
    return check_plan(document, catalogue, {}, Limits(steps_per_plan=CONFIG["limits"]["steps_per_plan"]))


def test_scripted_plan_fits_the_tools_and_uses_all_five(desk: Desk) -> None:
    plan = checked(desk, scripted_plan())
    assert isinstance(plan, Plan), plan
    assert plan.finish is not None
    assert {step.tool for step in plan.steps} == set(desk)


@pytest.mark.parametrize("tool", ["issue_refund", "mark_order_refunded", "send_email", "add_customer_note"])
def test_scripted_plan_names_no_order_amount_or_address_itself(desk: Desk, tool: str) -> None:
    [step] = [step for step in scripted_plan()["steps"] if step["tool"] == tool]
    for name, value in step["args"].items():
        if name not in desk[tool].contract.args_schema["properties"] or name in ("reason", "subject", "body", "text"):
            continue
        assert "$from" in json.dumps(value) or "{{" in value


def test_effects_are_what_the_services_can_bear(desk: Desk) -> None:
    assert {name: tool.contract.effect for name, tool in desk.items()} == {
        "get_order": Effect.READ,
        "issue_refund": Effect.PROBED,
        "mark_order_refunded": Effect.TRANSACTIONAL,
        "send_email": Effect.UNREPEATABLE,
        "add_customer_note": Effect.IDEMPOTENT,
    }


def test_wording_of_a_letter_does_not_make_it_another_one(desk: Desk) -> None:
    assert desk["issue_refund"].contract.identity == ("order_id", "amount_cents")
    assert desk["add_customer_note"].contract.identity == ("customer_id", "order_id")


def test_everybody_who_may_be_asked_exists(desk: Desk) -> None:
    roles = {role for person in PEOPLE.values() for role in person["roles"]}
    asked = {CONFIG["owner"], *CONFIG["approvals"]["escalate_to"]}
    asked.update(*(rule.get("approvers", []) for rule in CONFIG["policy"]))
    assert asked <= roles
    assert {rule["tool"] for rule in CONFIG["policy"]} == {name for name, tool in desk.items() if tool.contract.writes}


def test_every_tool_is_called_by_its_name_in_the_instructions(desk: Desk) -> None:
    instructions = (AGENT / CONFIG["instructions"]).read_text("utf-8")
    assert [name for name in desk if f"`{name}`" not in instructions] == []


def test_limits_and_ladder_have_names_that_the_core_knows() -> None:
    assert set(CONFIG["limits"]) <= set(Limits.model_fields)
    assert set(CONFIG["approvals"]) <= set(Ladder.model_fields)


@pytest.mark.parametrize("amount_cents", [0, -1, 1.5, "100", True])
def test_amount_is_whole_cents(desk: Desk, amount_cents: Json) -> None:
    with pytest.raises(Refused, match="amount_cents"):
        desk["issue_refund"].check({"order_id": "1042", "amount_cents": amount_cents})


@pytest.mark.parametrize(
    ("environment", "models"),
    [
        ({}, ("scripted:script",)),
        ({"OPENAI_API_KEY": " "}, ("scripted:script",)),
        ({"OPENAI_API_KEY": "k"}, ("openai:gpt-5-mini",)),
        ({"ANTHROPIC_API_KEY": "k"}, ("anthropic:claude-haiku-4-5",)),
        ({"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k"}, ("openai:gpt-5-mini", "anthropic:claude-haiku-4-5")),
    ],
)
def test_planner_is_the_model_whose_key_is_there(environment: dict[str, str], models: tuple[str, ...]) -> None:
    route = choose_route(environment)
    assert route.models == models
    assert models[0] in route.sentence or "not from a language model" in route.sentence
