"""The stable part of a prompt is named or marked for the provider's cache, and a lost connection is noticed soon."""

import asyncio
import json
import socket
import time
from datetime import timedelta
from pathlib import Path

import pytest

from core.briefing import Briefing
from core.errors import PlannerBusy
from core.record import Json
from llm.planners import ModelAccess, Planners
from llm.prompt import render
from tests.llm.conftest import KEYS, MODELS, RawServer, prompt

OTHER = Briefing(task_id="refund-2", agent="support_desk", goal="And order 2?")


def body_of(request: bytes) -> dict[str, Json]:
    body: dict[str, Json] = json.loads(request.partition(b"\r\n\r\n")[2])
    return body


async def sent(server: RawServer, model: str, tmp_path: Path, access: ModelAccess, *briefings: Briefing) -> list[Json]:
    server.says(500, b"{}")
    planners = Planners(models={model: access}, environ=KEYS, folder=tmp_path)
    for briefing in briefings:
        with pytest.raises(PlannerBusy):
            await planners.get(model).propose(prompt(briefing))
    await planners.aclose()
    return [body_of(request) for request in server.requests]


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_tasks_of_one_agent_share_a_cache_key(raw_server: RawServer, tmp_path: Path, api: str) -> None:
    access = ModelAccess.model_validate({"base_url": f"{raw_server.origin}/v1", "api": api, "prompt_cache_key": True})
    first, second = await sent(raw_server, "openai:m", tmp_path, access, prompt().briefing, OTHER)
    assert first["prompt_cache_key"] == second["prompt_cache_key"] == render(prompt()).cache_key
    stable = "instructions" if api == "responses" else "messages"
    assert (first[stable] if api == "responses" else first[stable][0]) == (
        second[stable] if api == "responses" else second[stable][0]
    )
    assert first != second


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_other_servers_are_not_sent_a_field_that_they_may_refuse(
    raw_server: RawServer, tmp_path: Path, api: str
) -> None:
    access = ModelAccess.model_validate({"base_url": f"{raw_server.origin}/v1", "api": api})
    [body] = await sent(raw_server, "openai:m", tmp_path, access, OTHER)
    assert "prompt_cache_key" not in body


async def test_stable_part_for_anthropic_ends_in_a_mark_for_its_cache(raw_server: RawServer, tmp_path: Path) -> None:
    access = ModelAccess(base_url=raw_server.origin)
    first, second = await sent(raw_server, "anthropic:m", tmp_path, access, prompt().briefing, OTHER)
    assert first["system"] == second["system"]
    assert first["system"][-1]["cache_control"] == {"type": "ephemeral"}


@pytest.mark.parametrize("model", MODELS)
async def test_refused_connection_cost_nothing_and_is_an_outage(model: str, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        origin = f"http://127.0.0.1:{probe.getsockname()[1]}"
    planners = Planners(models={model: ModelAccess(base_url=origin)}, environ=KEYS, folder=tmp_path)
    with pytest.raises(PlannerBusy, match="no connection") as raised:
        await planners.get(model).propose(prompt())
    assert (raised.value.is_outage, raised.value.may_have_cost) == (True, False)
    await planners.aclose()


@pytest.mark.parametrize("model", MODELS)
async def test_connection_that_nobody_takes_is_given_up_within_seconds(model: str, tmp_path: Path) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        origin = f"http://127.0.0.1:{full.getsockname()[1]}"
        waiting = [socket.socket() for _ in range(3)]  # they fill the backlog, so that no further one is answered
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        planners = Planners(models={model: ModelAccess(base_url=origin)}, environ=KEYS, folder=tmp_path)
        started = time.monotonic()
        with pytest.raises(PlannerBusy, match="no connection"):
            await planners.get(model).propose(prompt())
        assert time.monotonic() - started < 10
        await planners.aclose()
        for one in waiting:
            one.close()


@pytest.mark.parametrize("model", MODELS)
async def test_answer_that_does_not_come_in_time_may_have_to_be_paid(
    model: str, raw_server: RawServer, tmp_path: Path
) -> None:
    async def never(_writer: object) -> None:
        await wait_for_end.wait()

    wait_for_end = asyncio.Event()
    raw_server.answer = never
    access = ModelAccess(base_url=raw_server.origin, timeout=timedelta(milliseconds=300))
    planners = Planners(models={model: access}, environ=KEYS, folder=tmp_path)
    with pytest.raises(PlannerBusy, match=r"within 0\.3 s") as raised:
        await planners.get(model).propose(prompt())
    assert (raised.value.is_outage, raised.value.may_have_cost) == (True, True)
    wait_for_end.set()
    await planners.aclose()


@pytest.mark.parametrize(("status", "is_outage"), [(429, False), (500, True), (503, True), (529, True)])
@pytest.mark.parametrize("model", MODELS)
async def test_rate_limit_does_not_speak_against_the_provider_and_trouble_does(
    model: str, status: int, is_outage: bool, raw_server: RawServer, tmp_path: Path
) -> None:
    raw_server.says(status, b"{}")
    planners = Planners(models={model: ModelAccess(base_url=raw_server.origin)}, environ=KEYS, folder=tmp_path)
    with pytest.raises(PlannerBusy) as raised:
        await planners.get(model).propose(prompt())
    assert (raised.value.is_outage, raised.value.may_have_cost) == (is_outage, False)
    await planners.aclose()


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{", b"\x00\xff\r\n\r\n"])
@pytest.mark.parametrize("model", MODELS)
async def test_answer_that_was_cut_off_may_have_to_be_paid(
    model: str, raw: bytes, raw_server: RawServer, tmp_path: Path
) -> None:
    raw_server.sends(raw)
    planners = Planners(models={model: ModelAccess(base_url=raw_server.origin)}, environ=KEYS, folder=tmp_path)
    with pytest.raises(PlannerBusy, match="no usable answer") as raised:
        await planners.get(model).propose(prompt())
    assert (raised.value.is_outage, raised.value.may_have_cost) == (True, True)
    await planners.aclose()


@pytest.mark.parametrize("model", MODELS)
async def test_garbage_with_status_200_may_have_to_be_paid(model: str, raw_server: RawServer, tmp_path: Path) -> None:
    raw_server.says(200, b'{"nothing": "of use"}')
    planners = Planners(models={model: ModelAccess(base_url=raw_server.origin)}, environ=KEYS, folder=tmp_path)
    with pytest.raises(PlannerBusy) as raised:
        await planners.get(model).propose(prompt())
    assert raised.value.may_have_cost
    await planners.aclose()
