"""Answers that llmock cannot give: refusals, cut and malformed bodies, and what stands in headers."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from core.errors import PlannerBusy, PlannerDown
from core.ports import Reply
from core.spending import Usage
from llm.planners import ModelAccess, Planners
from llm.sorting import retry_after
from tests.llm.conftest import DECODED, MODELS, PLAN, RawServer, planners_at, prompt

RESPONSES, CHAT, MESSAGES = MODELS


def responses_body(*content: dict[str, Any], **fields: Any) -> bytes:
    output = [{"type": "message", "role": "assistant", "content": list(content)}]
    return json.dumps({"id": "resp_1", "status": "completed", "output": output} | fields).encode()


def chat_body(message: dict[str, Any], finish_reason: str = "stop", **fields: Any) -> bytes:
    return json.dumps({"id": "c1", "choices": [{"message": message, "finish_reason": finish_reason}]} | fields).encode()


def messages_body(*content: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"id": "msg_1", "content": list(content), "stop_reason": "end_turn"} | fields).encode()


async def asked(server: RawServer, planners: Planners, model: str, body: bytes, *headers: str) -> Reply:
    server.says(200, body, *headers)
    answer = await planners.get(model).propose(prompt())
    assert len(server.requests) == 1
    return answer


TEXT = json.dumps(PLAN)
USAGE = Usage(input_tokens=1000, output_tokens=50, cached_tokens=800)


@pytest.mark.parametrize(
    ("model", "body", "header"),
    [
        (
            RESPONSES,
            responses_body(
                {"type": "output_text", "text": TEXT},
                usage={"input_tokens": 1000, "output_tokens": 50, "input_tokens_details": {"cached_tokens": 800}},
            ),
            "x-request-id: req_7",
        ),
        (
            CHAT,
            chat_body(
                {"content": TEXT},
                usage={
                    "prompt_tokens": 1000,
                    "completion_tokens": 50,
                    "prompt_tokens_details": {"cached_tokens": 800},
                },
            ),
            "x-request-id: req_7",
        ),
        (
            MESSAGES,
            messages_body(
                {"type": "text", "text": TEXT},
                usage={
                    "input_tokens": 150,
                    "cache_creation_input_tokens": 50,
                    "cache_read_input_tokens": 800,
                    "output_tokens": 50,
                },
            ),
            "request-id: req_7",
        ),
    ],
)
async def test_usage_counts_cached_input_in_and_apart(
    model: str, body: bytes, header: str, raw_server: RawServer, raw_planners: Planners
) -> None:
    answer = await asked(raw_server, raw_planners, model, body, header)
    written = 50 if model.startswith("anthropic") else 0
    usage = USAGE.model_copy(update={"written_tokens": written})
    assert (answer.document, answer.usage, answer.request_id) == (DECODED, usage, "req_7")


@pytest.mark.parametrize(
    ("model", "body", "said"),
    [
        (
            RESPONSES,
            responses_body({"type": "refusal", "refusal": "I\u202ewill not"}),
            "refused to answer: I\\u202ewill",
        ),
        (RESPONSES, responses_body(output=[]), "empty"),
        (
            RESPONSES,
            responses_body(status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
            "cut off at 512 tokens",
        ),
        (
            RESPONSES,
            responses_body(status="incomplete", incomplete_details={"reason": "content_filter"}),
            "refused to answer: content filter",
        ),
        (
            RESPONSES,
            responses_body(status="failed", error={"code": "invalid_prompt", "message": "not allowed"}),
            "refused to answer: invalid_prompt: not allowed",
        ),
        (
            RESPONSES,
            responses_body(output=[{"type": "function_call", "name": "x", "arguments": "{}"}]),
            "was a function_call instead",
        ),
        (CHAT, chat_body({"content": None, "refusal": "I will not"}), "refused to answer: I will not"),
        (CHAT, chat_body({"content": None}, "content_filter"), "refused to answer: content filter"),
        (CHAT, chat_body({"content": None, "tool_calls": [{"id": "x"}]}), "was a tool call instead"),
        (CHAT, chat_body({"content": None}), "empty"),
        (
            MESSAGES,
            messages_body(stop_reason="refusal", stop_details={"type": "refusal", "explanation": "cyber"}),
            "refused to answer: cyber",
        ),
        (MESSAGES, messages_body(stop_reason="refusal"), "the model refused to answer"),
        (MESSAGES, messages_body({"type": "text", "text": "{}"}, stop_reason="max_tokens"), "cut off at 512 tokens"),
        (MESSAGES, messages_body(stop_reason="model_context_window_exceeded"), "cut off"),
        (MESSAGES, messages_body({"type": "tool_use", "name": "plan", "input": {}}), "was a tool_use instead"),
        (MESSAGES, messages_body(), "empty"),
    ],
)
async def test_an_answer_without_a_plan_is_a_fault(
    model: str, body: bytes, said: str, raw_server: RawServer, raw_planners: Planners
) -> None:
    answer = await asked(raw_server, raw_planners, model, body)
    assert answer.document is None
    assert said in (answer.fault or "")


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "slow down"}},
        {"status": "failed", "error": None},
        {"status": "queued"},
    ],
)
async def test_an_answer_that_failed_at_the_provider_is_busy(
    fields: dict[str, Any], raw_server: RawServer, raw_planners: Planners
) -> None:
    with pytest.raises(PlannerBusy):
        await asked(raw_server, raw_planners, RESPONSES, responses_body(**fields))


MALFORMED = [
    b"",
    b"{",
    b"<html>bad gateway</html>",
    b"null",
    b"[]",
    b"{}",
    b'{"output": 1, "choices": [], "content": 7}',
]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("body", MALFORMED)
async def test_malformed_body_is_busy(model: str, body: bytes, raw_server: RawServer, raw_planners: Planners) -> None:
    with pytest.raises(PlannerBusy, match="no usable answer"):
        await asked(raw_server, raw_planners, model, body)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{",
        b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"a"',
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
    ids=["nothing", "cut", "cut chunk", "not gzip", "not http"],
)
async def test_cut_or_foreign_answer_is_busy(
    model: str, raw: bytes, raw_server: RawServer, raw_planners: Planners
) -> None:
    raw_server.sends(raw)
    with pytest.raises(PlannerBusy, match="no usable answer"):
        await raw_planners.get(model).propose(prompt())
    assert len(raw_server.requests) == 1


@pytest.mark.parametrize("model", MODELS)
async def test_dripping_answer_is_cut_off_by_the_time_limit(model: str, raw_server: RawServer, tmp_path: Path) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.05)

    raw_server.answer = drip
    planners = planners_at(raw_server.origin, tmp_path, timeout=timedelta(seconds=0.5))
    with pytest.raises(PlannerBusy, match=r"within 0\.5 s"):
        await planners.get(model).propose(prompt())
    await planners.aclose()


@pytest.mark.parametrize("model", MODELS)
async def test_server_that_is_not_there_is_busy(model: str, raw_server: RawServer, tmp_path: Path) -> None:
    planners = Planners(models={model: ModelAccess(base_url="http://127.0.0.1:1")}, environ={}, folder=tmp_path)
    with pytest.raises(PlannerBusy, match=r"127\.0\.0\.1:1"):
        await planners.get(model).propose(prompt())
    await planners.aclose()


@pytest.mark.parametrize("model", MODELS[:2])
async def test_account_out_of_credit_is_down(model: str, raw_server: RawServer, raw_planners: Planners) -> None:
    raw_server.says(429, b'{"error": {"code": "insufficient_quota", "message": "You exceeded your quota"}}')
    with pytest.raises(PlannerDown, match="out of credit"):
        await raw_planners.get(model).propose(prompt())


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("body", [b"", b"upstream timed out", b"[1]", b'{"error": "no"}', b'{"error": {"message": 7}}'])
async def test_error_with_any_body_is_sorted_by_its_status(
    model: str, body: bytes, raw_server: RawServer, raw_planners: Planners
) -> None:
    raw_server.says(503, body, "retry-after: 7")
    with pytest.raises(PlannerBusy) as caught:
        await raw_planners.get(model).propose(prompt())
    assert caught.value.retry_after == 7


@pytest.mark.parametrize("model", MODELS)
async def test_retry_after_may_be_a_date(model: str, raw_server: RawServer, raw_planners: Planners) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    raw_server.says(429, b"{}", f"retry-after: {date}")
    with pytest.raises(PlannerBusy) as caught:
        await raw_planners.get(model).propose(prompt())
    assert 80 < (caught.value.retry_after or 0) <= 90


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"retry-after": "Wed, 99 Oct 2015 07:28:00 GMT"}, None),
        ({"retry-after": "9" * 30}, 86_400),
        ({"retry-after": "30", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "30", "retry-after-ms": "x"}, 30),
    ],
)
def test_retry_after_is_read_as_seconds_within_a_day(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds
