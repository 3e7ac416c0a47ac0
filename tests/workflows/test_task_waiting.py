"""Hours of waiting, in a server that skips them: the ladder of a request, wall time, and models that are down."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.testing import WorkflowEnvironment

from core.profile import Ladder, Limits
from tests.workflows.shop import Shop
from tests.workflows.stories import assert_never_failed, events_of, outcome_of
from tests.worlds import Rules, World, asks, plan, step, time_skipping_server, until

PAY = plan(step("s1", "pay", order_id="1", amount=5))
LADDER = Ladder(
    remind_after=timedelta(hours=1),
    escalate_after=timedelta(hours=4),
    escalate_to=("boss",),
    expire_after=timedelta(hours=24),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    async with time_skipping_server() as environment:
        yield environment


@pytest.fixture
async def world(skipping: WorkflowEnvironment, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    name = request.node.name
    world = World(skipping.client, tmp_path, search_attributes=False, task_queue=name, prefix=f"{name}-")
    yield world
    for handle in world.started:
        assert_never_failed(await events_of(handle))


async def test_approval_after_six_hours(skipping: WorkflowEnvironment, world: World, shop: Shop) -> None:
    world.agent("desk", shop.tools, [PAY], policy=Rules({"pay": asks("ana")}), ladder=LADDER)
    async with world.worker():
        handle = await world.start("t")
        await until(handle, "AWAITING_APPROVAL")
        await skipping.sleep(timedelta(hours=6))
        view = await until(handle, "AWAITING_APPROVAL")
        assert view["waiting_for"] == ["ana", "boss"]
        await handle.signal("approve", "ana")
        assert (await outcome_of(handle))["status"] == "COMPLETED"
    assert [(notice.rung, notice.to) for notice in world.mailbox.notices] == [
        ("opened", ("ana",)),
        ("reminder", ("ana",)),
        ("escalated", ("boss",)),
    ]
    assert shop.done("pay") == 1


async def test_each_rung_comes_at_its_hour(skipping: WorkflowEnvironment, world: World, shop: Shop) -> None:
    world.agent("desk", shop.tools, [PAY], policy=Rules({"pay": asks("ana")}), ladder=LADDER)
    rungs = []
    async with world.worker():
        handle = await world.start("t")
        await until(handle, "AWAITING_APPROVAL")
        for minutes in (59, 2, 178, 2):
            await skipping.sleep(timedelta(minutes=minutes))
            await until(handle, "AWAITING_APPROVAL")
            rungs.append([notice.rung for notice in world.mailbox.notices])
        await handle.cancel()
        await outcome_of(handle)
    assert rungs == [
        ["opened"],
        ["opened", "reminder"],
        ["opened", "reminder"],
        ["opened", "reminder", "escalated"],
    ]


async def test_an_approval_that_nobody_gives_expires(world: World, shop: Shop) -> None:
    world.agent("desk", shop.tools, [PAY], policy=Rules({"pay": asks("ana")}), ladder=LADDER)
    async with world.worker():
        handle = await world.start("t")
        result = await outcome_of(handle)
    assert result["status"] == "EXPIRED"
    assert "nobody answered request q1" in result["reason"]
    assert {notice.rung for notice in world.mailbox.notices} == {"opened", "reminder", "escalated", "expired", "ended"}
    assert shop.effects == []
    started, *_, ended = [event.event_time.ToDatetime() for event in await events_of(handle)]
    assert timedelta(hours=24) <= ended - started < timedelta(hours=24, minutes=1)


async def test_wall_time_ends_a_task(world: World, shop: Shop) -> None:
    limits = Limits(wall_time=timedelta(hours=2))
    world.agent("desk", shop.tools, [PAY], policy=Rules({"pay": asks("ana")}), ladder=LADDER, limits=limits)
    async with world.worker():
        result = await outcome_of(await world.start("t"))
    assert (result["status"], result["reason"]) == ("EXPIRED", "the wall time of the task is over")
    assert shop.effects == []


async def test_a_stuck_task_that_nobody_helps_fails(world: World, shop: Shop) -> None:
    world.agent("desk", shop.tools, [{"text": "hm"}], limits=Limits(repairs=1), ladder=LADDER)
    async with world.worker():
        result = await outcome_of(await world.start("t"))
    assert result["status"] == "FAILED"


async def test_a_doubt_never_expires_and_escalates_again_and_again(
    skipping: WorkflowEnvironment, world: World, shop: Shop
) -> None:
    shop.lost.add("mail")
    limits = Limits(wall_time=timedelta(days=30))
    world.agent("desk", shop.tools, [plan(step("s1", "mail", to="a", body="b"))], ladder=LADDER, limits=limits)
    async with world.worker():
        handle = await world.start("t")
        await until(handle, "AWAITING_PERSON")
        await skipping.sleep(timedelta(hours=49))
        await until(handle, "AWAITING_PERSON")
        await handle.signal("answer", {"choice": "happened", "by": "lead"})
        assert (await outcome_of(handle))["status"] == "COMPLETED"
    assert sum(notice.rung.startswith("escalated") for notice in world.mailbox.notices) == 12
    assert shop.done("mail") == 1


async def test_a_task_wakes_by_itself_when_a_model_is_back(world: World, shop: Shop) -> None:
    down = [{"error": "unavailable", "times": 30}]
    world.agent("desk", shop.tools, [*down, PAY], [*down, PAY])
    async with world.worker():
        handle = await world.start("t")
        result = await outcome_of(handle)
    assert result["status"] == "COMPLETED"
    assert result["usage"]["planning_calls"] > 2
    assert [notice.rung[:6] for notice in world.mailbox.notices] == ["parked"]
    assert shop.done("pay") == 1
