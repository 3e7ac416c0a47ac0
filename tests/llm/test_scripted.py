"""Scripted replies: which one is due, and what a wrong script says."""

import json
from pathlib import Path
from typing import Any

import pytest

from core.briefing import Briefing
from core.errors import PlannerBusy, PlannerDown, PlannerError
from core.ports import Reply
from core.spending import Usage
from llm.planners import Planners
from llm.scripted import ScriptedPlanner
from tests.llm.conftest import prompt

ONE, TWO = {"steps": [], "finish": {"answer": "one"}}, {"steps": [], "finish": {"answer": "two"}}
LIMITED = {"error": "rate_limited", "retry_after": 2, "times": 3}


def script(path: Path, *replies: dict[str, Any]) -> ScriptedPlanner:
    path.write_text(json.dumps({"replies": list(replies)}))
    return ScriptedPlanner(path)


async def due(
    planner: ScriptedPlanner, *, replies: int = 0, spent: int = 0, attempt: int = 1, task_id: str = "t1"
) -> Reply:
    briefing = Briefing(task_id=task_id, agent="a", goal="g", replies=replies, spent=spent)
    return await planner.propose(prompt(briefing, attempt=attempt))


async def outcome(planner: ScriptedPlanner, *, replies: int = 0, spent: int = 0, attempt: int = 1) -> str:
    """Say in a word what a call brought."""
    try:
        reply = await due(planner, replies=replies, spent=spent, attempt=attempt)
    except PlannerError as error:
        return type(error).__name__
    return reply.fault or reply.document["finish"]["answer"]


async def test_each_reply_before_leads_to_the_next_group(tmp_path: Path) -> None:
    planner = script(tmp_path / "s.json", {"plan": ONE}, {"plan": TWO})
    assert [await outcome(planner, replies=n) for n in range(3)] == ["one", "two", "PlannerDown"]


async def test_attempts_of_a_call_get_the_errors_of_the_group_and_then_its_reply(tmp_path: Path) -> None:
    planner = script(tmp_path / "s.json", LIMITED, {"error": "unauthorized"}, {"plan": ONE}, {"plan": TWO})
    outcomes = [await outcome(planner, attempt=n) for n in range(1, 7)]
    assert outcomes == ["PlannerBusy"] * 3 + ["PlannerDown", "one", "one"]


async def test_errors_used_up_by_earlier_calls_are_not_given_again(tmp_path: Path) -> None:
    planner = script(tmp_path / "s.json", LIMITED, {"plan": ONE})
    assert await outcome(planner, spent=2) == "PlannerBusy"
    assert await outcome(planner, spent=2, attempt=2) == "one"


async def test_errors_belong_to_their_group_only(tmp_path: Path) -> None:
    planner = script(tmp_path / "s.json", {"plan": ONE}, {"error": "timeout"}, {"plan": TWO})
    assert await outcome(planner) == "one"
    assert await outcome(planner, replies=1) == "PlannerBusy"
    assert await outcome(planner, replies=1, attempt=2) == "two"


async def test_refusal_is_a_reply_that_holds_a_fault(tmp_path: Path) -> None:
    planner = script(tmp_path / "s.json", {"error": "timeout"}, {"error": "refused", "times": 2}, {"plan": ONE})
    assert await outcome(planner) == "PlannerBusy"
    assert await outcome(planner, attempt=2) == "the model refused to answer"
    assert await outcome(planner, replies=1) == "the model refused to answer"
    assert await outcome(planner, replies=2) == "one"


@pytest.mark.parametrize(
    ("kind", "raised"),
    [
        ("rate_limited", PlannerBusy),
        ("unavailable", PlannerBusy),
        ("timeout", PlannerBusy),
        ("unauthorized", PlannerDown),
    ],
)
async def test_each_kind_of_error_is_raised_as_the_vendors_would(
    kind: str, raised: type[PlannerError], tmp_path: Path
) -> None:
    with pytest.raises(raised, match=kind):
        await due(script(tmp_path / "s.json", {"error": kind}, {"plan": ONE}))


async def test_busy_says_when_to_come_back(tmp_path: Path) -> None:
    with pytest.raises(PlannerBusy) as caught:
        await due(script(tmp_path / "s.json", LIMITED, {"plan": ONE}))
    assert caught.value.retry_after == 2


@pytest.mark.parametrize("replies", [[], [{"error": "timeout"}]])
async def test_past_the_end_is_down(replies: list[dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(PlannerDown, match="the script has no more replies"):
        await due(script(tmp_path / "s.json", *replies), spent=1)


async def test_plan_goes_on_as_it_is_and_usage_is_told(tmp_path: Path) -> None:
    plan = {"nonsense": None, "steps": [{"args": "not decoded"}]}
    usage = {"input_tokens": 900, "output_tokens": 120}
    reply = await due(script(tmp_path / "s.json", {"plan": plan, "usage": usage}))
    assert reply.document == plan
    assert reply.usage == Usage(input_tokens=900, output_tokens=120)


async def test_text_is_decoded_as_a_vendors_answer(tmp_path: Path) -> None:
    planner = script(tmp_path / "s.json", {"text": '{"steps": [{"args": "{}"}]}'}, {"text": "not json"})
    assert (await due(planner)).document == {"steps": [{"args": {}}]}
    assert "not JSON" in ((await due(planner, replies=1)).fault or "")


async def test_folder_holds_a_script_for_each_task_and_a_default(tmp_path: Path) -> None:
    script(tmp_path / "refund-1.json", {"plan": ONE})
    script(tmp_path / "default.json", {"plan": TWO})
    folder = ScriptedPlanner(tmp_path)
    assert (await due(folder, task_id="refund-1")).document == ONE
    assert (await due(folder, task_id="refund-2")).document == TWO


@pytest.mark.parametrize("task_id", ["../secret", "..", "a/../../secret", "/etc/passwd", "", ".hidden", "a\x00b", "é"])
async def test_task_id_cannot_lead_out_of_the_folder(task_id: str, tmp_path: Path) -> None:
    folder = tmp_path / "scripts"
    (folder / "a").mkdir(parents=True)
    script(tmp_path / "secret.json", {"plan": ONE})
    script(folder / ".hidden.json", {"plan": ONE})
    script(folder / "default.json", {"plan": TWO})
    assert (await due(ScriptedPlanner(folder), task_id=task_id)).document == TWO


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "at the top"),
        ("{}", "at replies: Field required"),
        ('{"replies": [{}]}', 'at replies/0: Value error, expected exactly one of "plan", "text" and "error"'),
        ('{"replies": [{"plan": {}, "text": "x"}]}', "expected exactly one"),
        ('{"replies": [{"plan": {}}, {"error": "broken"}]}', "at replies/1/error: Input should be 'rate_limited'"),
        ('{"replies": [{"error": "timeout", "times": 0}]}', "at replies/0/times"),
        ('{"replies": [{"error": "timeout", "retry_after": -1}]}', "at replies/0/retry_after"),
        ('{"replies": [{"text": "x", "times": 2}]}', 'belong to an "error"'),
        ('{"replies": [{"plan": {}, "usages": {}}]}', "at replies/0/usages"),
        ('{"replies": [{"plan": {"a": NaN}}]}', "NaN"),
    ],
)
async def test_wrong_script_is_down_with_file_place_and_expectation(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    file.write_text(text)
    with pytest.raises(PlannerDown) as caught:
        await due(ScriptedPlanner(file))
    assert str(file) in str(caught.value)
    assert said in str(caught.value)


async def test_script_that_is_no_text_is_down(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_bytes(b'{"replies": "\xff"}')
    with pytest.raises(PlannerDown, match="not UTF-8"):
        await due(ScriptedPlanner(tmp_path / "s.json"))


async def test_missing_script_is_down_and_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(PlannerDown, match=r"nothing\.json cannot be read"):
        await due(ScriptedPlanner(tmp_path / "nothing.json"))
    with pytest.raises(PlannerDown, match=r"neither t1\.json nor default\.json"):
        await due(ScriptedPlanner(tmp_path))


async def test_relative_path_starts_from_the_given_folder(tmp_path: Path) -> None:
    script(tmp_path / "s.json", {"plan": ONE})
    planners = Planners(models={}, environ={}, folder=tmp_path)
    reply = await planners.get("scripted:s.json").propose(prompt())
    assert reply.document == ONE
