"""Continue-as-new: a task goes on in a run with an empty history, and nobody notices."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import UnsandboxedWorkflowRunner

from core.profile import Ladder, Limits
from core.record import Json
from tests.workflows.resets import latest_run, reset
from tests.workflows.shop import Shop
from tests.workflows.stories import assert_never_failed, events_of, outcome_of, requests_of
from tests.worlds import Rules, World, ask, asks, dev_server, plan, ref, step, until

SHORT = ("--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=30")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hasty() -> AsyncIterator[str]:
    """The address of a server that wants a new run after 30 events."""
    async with dev_server(*SHORT) as environment:
        yield environment.client.service_client.config.target_host


@pytest.fixture
async def world(hasty: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    client = await Client.connect(hasty, data_converter=pydantic_data_converter)
    name = request.node.name
    world = World(client, tmp_path, task_queue=name, prefix=f"{name}-")
    yield world
    for handle in world.started:
        for run in await runs_of(world, handle):
            assert_never_failed(await events_of(run))


async def runs_of(world: World, handle: WorkflowHandle[Any, Any]) -> list[WorkflowHandle[Any, Any]]:
    """Follow a task from run to run."""
    runs = [world.client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)]
    while True:
        last = (await events_of(runs[-1]))[-1].workflow_execution_continued_as_new_event_attributes
        if not last.new_execution_run_id:
            return runs
        runs.append(world.client.get_workflow_handle(handle.id, run_id=last.new_execution_run_id))


def chain(length: int, prefix: str) -> dict[str, Json]:
    return plan(
        *(step(f"s{n}", "note", after=[f"s{n - 1}"] if n else [], text=f"{prefix} {n}") for n in range(length)),
        answer=None,
    )


async def test_many_steps_over_many_runs_are_one_effect_each(world: World, shop: Shop) -> None:
    last = plan(step("s1", "mail", to="a", body=ref("r1.s0", "/text")), answer="all {{r2.s9/text}}")
    world.agent("desk", shop.tools, [chain(10, "a"), chain(10, "b"), last])
    async with world.worker():
        handle = await world.start("t")
        result = await outcome_of(handle)
    assert len(await runs_of(world, handle)) >= 4
    assert (result["status"], result["answer"], result["rounds"]) == ("COMPLETED", "all b 9", 3)
    assert [args.get("text", args.get("body")) for _, args in shop.effects] == [
        *(f"a {n}" for n in range(10)),
        *(f"b {n}" for n in range(10)),
        "a 0",
    ]
    assert max(shop.keys.values()) == 1
    assert len(shop.keys) == len(result["effects"]) == 21
    assert result["usage"]["planning_calls"] == 3


async def test_an_open_approval_goes_along_with_its_digest_and_its_deadlines(world: World, shop: Shop) -> None:
    work = chain(12, "meanwhile")
    both = {**work, "steps": [step("p", "pay", order_id="1", amount=5), *work["steps"]], "finish": {"answer": "done"}}
    world.agent("desk", shop.tools, [both], policy=Rules({"pay": asks("ana")}))
    async with world.worker():
        handle = await world.start("t")
        await until(handle, "AWAITING_APPROVAL")
        [asked] = await requests_of(handle)
        while (await until(handle, "AWAITING_APPROVAL"))["steps_done"] < 12:
            pass
        [carried] = await requests_of(handle)
        assert carried == asked
        assert len(await runs_of(world, handle)) >= 3
        await handle.signal("approve", {"by": "ana", "request_id": "q1", "digest": asked["digest"]})
        result = await outcome_of(handle)
    assert (result["status"], shop.done("pay"), shop.done("note")) == ("COMPLETED", 1, 12)


async def test_an_approval_expires_at_its_time_in_whatever_run(world: World, shop: Shop) -> None:
    ladder = Ladder(remind_after=timedelta(hours=1), expire_after=timedelta(seconds=3))
    work = chain(6, "meanwhile")
    both = {**work, "steps": [step("p", "pay", order_id="1", amount=5), *work["steps"]]}
    world.agent("desk", shop.tools, [both], policy=Rules({"pay": asks("ana")}), ladder=ladder)
    async with world.worker():
        handle = await world.start("t")
        await until(handle, "AWAITING_APPROVAL")
        [asked] = await requests_of(handle)
        result = await outcome_of(handle)
    runs = await runs_of(world, handle)
    ended = (await events_of(runs[-1]))[-1].event_time.ToDatetime()
    due = datetime.fromisoformat(asked["expires_at"]).replace(tzinfo=None)
    assert (len(runs) >= 2, result["status"]) == (True, "EXPIRED")
    assert timedelta(0) <= ended - due < timedelta(seconds=2)
    assert shop.done("pay") == 0


async def test_signals_that_arrive_at_the_boundary_are_kept(world: World, shop: Shop) -> None:
    """Wrong answers all along: each makes events, so runs end between them; none is lost, and none is applied."""
    world.agent(
        "desk", shop.tools, [plan(step("p", "pay", order_id="1", amount=5))], policy=Rules({"pay": asks("ana")})
    )
    async with world.worker():
        handle = await world.start("t")
        await until(handle, "AWAITING_APPROVAL")
        for number in range(60):
            await handle.signal("approve", f"stranger {number}")
        while "stranger 59" not in (await until(handle, "AWAITING_APPROVAL"))["last_not_accepted"]:
            pass
        assert len((await ask(handle, "state"))["unaccepted"]) == 10
        await handle.signal("approve", "ana")
        assert (await outcome_of(handle))["status"] == "COMPLETED"
    assert len(await runs_of(world, handle)) >= 2
    assert shop.done("pay") == 1


async def test_a_call_that_outlasts_the_drain_is_not_made_twice(
    world: World, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.options.DRAIN", timedelta(seconds=0.2))
    world.runner = UnsandboxedWorkflowRunner()  # the sandbox would load options of its own
    shop.gate.clear()
    slow = plan(step("p", "pay", order_id="1", amount=5))
    world.agent("desk", shop.tools, [slow], limits=Limits(rounds=9))
    async with world.worker():
        handle = await world.start("t")
        await shop.sending.wait()
        for number in range(20):
            await handle.signal("resume", f"stranger {number}")
            await until(handle, "ACTING")
        while len(await runs_of(world, handle)) < 2:
            pass
        shop.gate.set()
        result = await outcome_of(handle, seconds=60)
    assert result["status"] == "COMPLETED"
    assert max(shop.keys.values()) == shop.done("pay") == 1


async def test_cancelled_at_the_boundary_the_call_under_way_is_settled_by_the_next_run(
    world: World, shop: Shop
) -> None:
    shop.gate.clear()
    two = plan(step("p", "pay", order_id="1", amount=5), step("n", "note", after=["p"], text="x"))
    world.agent("desk", shop.tools, [two])
    async with world.worker():
        handle = await world.start("t")
        await shop.sending.wait()
        while len(await events_of(handle)) < 40:  # the run wants to end, and waits for the call
            await handle.signal("resume", "carl")
        await handle.cancel()
        while len(await runs_of(world, handle)) < 2:
            pass
        shop.gate.set()
        result = await outcome_of(handle, seconds=40)
    assert result["status"] == "CANCELLED"
    assert [(one["tool"], one["outcome"]) for one in result["effects"]] == [("pay", "succeeded")]
    assert shop.effects == [("pay", {"order_id": "1", "amount": 5})]


@pytest.mark.parametrize("back", [0, 1], ids=["the latest run", "the run before it"])
async def test_reset_of_a_run_that_continues_another_repeats_nothing(world: World, shop: Shop, back: int) -> None:
    work = chain(12, "meanwhile")
    both = {**work, "steps": [step("p", "pay", order_id="1", amount=5), *work["steps"]], "finish": {"answer": "done"}}
    world.agent("desk", shop.tools, [both] * 4, policy=Rules({"pay": asks("ana")}))
    async with world.worker():
        first = await world.start("t")
        while (await until(first, "AWAITING_APPROVAL"))["steps_done"] < 12:
            pass
        runs = await runs_of(world, first)
        assert len(runs) >= 3
        handle = await reset(world.client, first.id, run_id=runs[-1 - back].run_id or "")
        result = await answered(handle)
    assert result["status"] == "COMPLETED"
    assert max(shop.keys.values()) == 1
    assert (shop.done("pay"), shop.done("note")) == (1, 12)
    task = await world.ledger.task(first.id)
    assert task is not None
    assert task.run_id == await latest_run(world.client, first.id)


async def answered(handle: WorkflowHandle[Any, Any], seconds: float = 90) -> dict[str, Any]:
    """Say yes to whatever is asked, until the task has ended."""
    said: set[str] = set()
    async with asyncio.timeout(seconds):
        while (await handle.describe()).status is WorkflowExecutionStatus.RUNNING:
            for request in [one for one in await requests_of(handle) if one["id"] not in said]:
                said.add(request["id"])
                form, word = ("approve", {"by": "ana"}) if request["kind"] == "approval" else ("answer", GO_ON)
                await handle.signal(form, {**word, "request_id": request["id"]})
            await asyncio.sleep(0.1)
    return await outcome_of(handle)


GO_ON = {"choice": "retry", "by": "lead"}
