"""The real SDKs against a real llmock process: one proposal is one request, and each failure is told for what it is."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.errors import PlannerBusy, PlannerDown
from llm.planners import Planners
from llm.prompt import render
from tests.llm.conftest import DECODED, MODELS, PLAN, MockServer, planners_at, prompt

pytestmark = pytest.mark.parametrize("model", MODELS)


def reply(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "reply", "text": text, **fields}


async def test_a_plan_arrives_decoded_with_its_usage(model: str, provider: MockServer, planners: Planners) -> None:
    provider.script(reply(json.dumps(PLAN)))
    answer = await planners.get(model).propose(prompt())
    assert answer.fault is None
    assert answer.document == DECODED
    assert answer.usage.input_tokens > 100
    assert answer.usage.output_tokens > 10
    assert answer.latency_ms > 0
    assert answer.request_id


async def test_one_proposal_is_one_request_also_when_it_fails(
    model: str, provider: MockServer, planners: Planners
) -> None:
    provider.script({"type": "fail", "status": 500, "times": None})
    with pytest.raises(PlannerBusy):
        await planners.get(model).propose(prompt())
    (request,) = provider.journal()
    assert request["status"] == 500


async def test_request_carries_the_schema_the_limit_and_the_stable_part_first(
    model: str, provider: MockServer, planners: Planners
) -> None:
    provider.script(reply(json.dumps(PLAN)))
    await planners.get(model).propose(prompt())
    (request,) = provider.journal()
    body, rendered = request["body"], render(prompt())
    sent = json.dumps(body)
    assert '"additionalProperties": false' in sent
    assert 512 in (body.get("max_output_tokens"), body.get("max_completion_tokens"), body.get("max_tokens"))
    assert json.dumps(rendered.stable)[1:-1] in sent
    assert json.dumps(rendered.variable)[1:-1] in sent
    assert ("cache_control" in sent) is model.startswith("anthropic:")


@pytest.mark.parametrize("status", [429, 503])
async def test_busy_provider_says_when_to_come_back(
    model: str, status: int, provider: MockServer, planners: Planners
) -> None:
    provider.script({"type": "fail", "status": status, "retry_after": 2.5})
    with pytest.raises(PlannerBusy, match=str(status)) as caught:
        await planners.get(model).propose(prompt())
    assert caught.value.retry_after == 2.5


@pytest.mark.parametrize("status", [408, 409, 500, 502, 504, 529])
async def test_transient_status_is_busy(model: str, status: int, provider: MockServer, planners: Planners) -> None:
    provider.script({"type": "fail", "status": status})
    with pytest.raises(PlannerBusy, match=str(status)):
        await planners.get(model).propose(prompt())


@pytest.mark.parametrize("status", [400, 402, 404, 413, 422, 501])
async def test_definite_status_is_down_and_says_what_the_provider_said(
    model: str, status: int, provider: MockServer, planners: Planners
) -> None:
    provider.script({"type": "fail", "status": status, "message": "the provider's own words"})
    with pytest.raises(PlannerDown, match="the provider's own words"):
        await planners.get(model).propose(prompt())


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_key_names_the_variable_and_not_the_key(
    model: str, status: int, provider: MockServer, planners: Planners
) -> None:
    provider.script({"type": "fail", "status": status, "message": "Incorrect API key provided: sk-of***"})
    with pytest.raises(PlannerDown, match=r"(ANTHROPIC|OPENAI)_API_KEY") as caught:
        await planners.get(model).propose(prompt())
    assert "sk-of" not in str(caught.value)


async def test_slow_answer_is_busy(model: str, provider: MockServer, tmp_path: Path) -> None:
    provider.script({"type": "delay", "seconds": 5})
    planners = planners_at(provider.origin, tmp_path, timeout=timedelta(seconds=0.3))
    with pytest.raises(PlannerBusy, match=r"within 0\.3 s"):
        await planners.get(model).propose(prompt())
    await planners.aclose()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("I would refund the order.", "not JSON"),
        (json.dumps(PLAN)[:-20], "not JSON"),
        ('{"steps": [{"id": "s1", "args": "{"}]}', "step 1 (s1): args must be a string that holds a JSON object"),
    ],
)
async def test_malformed_answer_is_a_fault_and_is_paid_for(
    model: str, text: str, said: str, provider: MockServer, planners: Planners
) -> None:
    provider.script(reply(text))
    answer = await planners.get(model).propose(prompt())
    assert answer.document is None
    assert said in (answer.fault or "")
    assert answer.usage.output_tokens > 0


async def test_empty_answer_is_a_fault(model: str, provider: MockServer, planners: Planners) -> None:
    provider.script(reply(""))
    assert "empty" in ((await planners.get(model).propose(prompt())).fault or "")


async def test_truncated_answer_is_a_fault_even_when_it_parses(
    model: str, provider: MockServer, planners: Planners
) -> None:
    provider.script(reply(json.dumps(PLAN), finish_reason="length"))
    answer = await planners.get(model).propose(prompt())
    assert answer.fault == "the answer was cut off at 512 tokens; answer with a shorter plan"
    assert answer.document is None


@pytest.mark.parametrize("kind", ["malformed_arguments", "unknown_tool"])
async def test_tool_call_instead_of_a_plan_is_a_fault(
    model: str, kind: str, provider: MockServer, planners: Planners
) -> None:
    call = {"name": "get_order", "arguments": {"order_id": "1042"}}
    provider.script(
        {"type": "reply", "tool_calls": [call]},
        {"type": "tool_fault", "kind": kind, "match": {}},
    )
    answer = await planners.get(model).propose(prompt())
    assert answer.document is None
    assert "instead of a plan" in (answer.fault or "")


async def test_proposals_at_the_same_time_do_not_mix(model: str, provider: MockServer, planners: Planners) -> None:
    provider.script(*[reply(json.dumps(PLAN | {"confidence": 0.5})) for _ in range(5)])
    planner = planners.get(model)
    answers = await asyncio.gather(*[planner.propose(prompt()) for _ in range(5)])
    assert [answer.document["confidence"] for answer in answers] == [0.5] * 5
    assert len(provider.journal()) == 5
