"""Amend, pause, resume and cancel; and how a task that does not complete ends in Temporal."""

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError, CancelledError

from core.profile import Limits
from core.record import Json
from tests.workflows.shop import Shop
from tests.workflows.stories import activities_of, events_of, outcome_of
from tests.worlds import Rules, World, asks, plan, ref, step, until

PAY = plan(step("s1", "pay", order_id=ref("inputs", "/order_id"), amount=5))
ASK = Rules({"pay": asks("ana")})
WISH: dict[str, Json] = {"inputs": {"order_id": "1"}}


async def test_an_amended_wish_withdraws_the_open_approval(world: World, shop: Shop) -> None:
    world.agent("desk", shop.tools, [PAY, PAY], policy=ASK)
    async with world.worker():
        handle = await world.start("t", **WISH)
        await until(handle, "AWAITING_APPROVAL")
        await handle.signal("amend", {"goal": "pay order 2", "inputs": {"order_id": "2"}, "by": "carl"})
        while (await until(handle, "AWAITING_APPROVAL"))["open_requests"] != ["q2"]:
            pass
        await handle.signal("approve", {"by": "ana", "request_id": "q1"})
        view = await until(handle, "AWAITING_APPROVAL")
        assert "amended" in view["last_not_accepted"]
        assert view["goal"] == "pay order 2"
        await handle.signal("approve", {"by": "ana", "request_id": "q2"})
        assert (await outcome_of(handle))["status"] == "COMPLETED"
    assert shop.effects == [("pay", {"order_id": "2", "amount": 5})]


async def test_a_paused_task_starts_nothing_until_it_is_resumed(world: World, shop: Shop) -> None:
    shop.gate.clear()
    two = plan(step("s1", "pay", order_id="1", amount=5), step("s2", "note", after=["s1"], text="x"))
    world.agent("desk", shop.tools, [two])
    async with world.worker():
        handle = await world.start("t")
        await shop.sending.wait()
        await handle.signal("pause", {"by": "carl", "reason": "lunch"})
        await until(handle, "PAUSED")
        shop.gate.set()
        while (view := await until(handle, "PAUSED"))["steps_done"] == 0:
            pass
        assert view["waiting_for"] == ["carl"]
        assert activities_of(await events_of(handle)) == ["propose_plan", "pay"]
        await handle.signal("resume")
        assert (await outcome_of(handle))["status"] == "COMPLETED"
    assert [name for name, _ in shop.effects] == ["pay", "note"]


async def test_a_paused_approval_counts_when_the_task_goes_on(world: World, shop: Shop) -> None:
    world.agent("desk", shop.tools, [PAY], policy=ASK)
    async with world.worker():
        handle = await world.start("t", **WISH)
        await until(handle, "AWAITING_APPROVAL")
        await handle.signal("pause", "carl")
        await until(handle, "PAUSED")
        await handle.signal("approve", "ana")
        while (await until(handle, "PAUSED"))["open_requests"]:
            pass
        assert shop.effects == []
        await handle.signal("resume", "carl")
        assert (await outcome_of(handle))["status"] == "COMPLETED"
    assert shop.done("pay") == 1


async def test_cancelled_while_an_approval_is_open_nothing_happens(world: World, shop: Shop) -> None:
    world.agent("desk", shop.tools, [PAY], policy=ASK)
    async with world.worker():
        handle = await world.start("t", **WISH)
        await until(handle, "AWAITING_APPROVAL")
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as raised:
            await handle.result()
    assert isinstance(raised.value.cause, CancelledError)
    result = await outcome_of(handle)
    assert (result["status"], result["task_id"]) == ("CANCELLED", handle.id)
    assert shop.effects == []


async def test_cancelled_in_the_middle_of_sending_the_effect_is_waited_for(world: World, shop: Shop) -> None:
    shop.gate.clear()
    two = plan(step("s1", "pay", order_id="1", amount=5), step("s2", "note", after=["s1"], text="x"))
    world.agent("desk", shop.tools, [two])
    async with world.worker():
        handle = await world.start("t")
        await shop.sending.wait()
        await handle.cancel()
        await until(handle, "RECOVERING")
        shop.gate.set()
        result = await outcome_of(handle)
    assert (await handle.describe()).status is WorkflowExecutionStatus.CANCELED
    assert result["status"] == "CANCELLED"
    assert [(one["tool"], one["outcome"]) for one in result["effects"]] == [("pay", "succeeded")]
    assert [name for name, _ in shop.effects] == ["pay"]
    assert max(shop.keys.values()) == 1


async def test_cancelled_before_any_worker_was_there(world: World, shop: Shop) -> None:
    world.agent("desk", shop.tools, [PAY])
    handle = await world.start("t", **WISH)
    await handle.cancel()
    async with world.worker():
        assert (await outcome_of(handle))["status"] == "CANCELLED"
    assert shop.effects == []


async def test_cancelled_while_a_model_is_asked_again_and_again(world: World, shop: Shop) -> None:
    world.agent("desk", shop.tools, [{"error": "rate_limited", "retry_after": 60, "times": 3}, PAY])
    async with world.worker():
        handle = await world.start("t", **WISH)
        await until(handle, "PLANNING")
        await handle.cancel()
        assert (await outcome_of(handle))["status"] == "CANCELLED"


@pytest.mark.parametrize(
    ("status", "signal", "payload"),
    [("REJECTED", "reject", "ana"), ("FAILED", "answer", {"by": "lead", "choice": "end"})],
)
async def test_a_task_that_ends_badly_is_a_failed_workflow_with_its_result(
    world: World, shop: Shop, status: str, signal: str, payload: Json
) -> None:
    replies = [PAY] if status == "REJECTED" else [{"text": "hm"}]
    world.agent("desk", shop.tools, replies, policy=ASK, limits=Limits(repairs=1))
    async with world.worker():
        handle = await world.start("t", **WISH)
        await until(handle, "AWAITING_APPROVAL", "AWAITING_PERSON")
        await handle.signal(signal, payload)
        with pytest.raises(WorkflowFailureError) as raised:
            await handle.result()
    assert (await handle.describe()).status is WorkflowExecutionStatus.FAILED
    failure = raised.value.cause
    assert isinstance(failure, ApplicationError)
    assert (failure.type, failure.non_retryable) == (status, True)
    assert failure.details[0]["status"] == status
    assert set(failure.details[0]) >= {"task_id", "answer", "effects", "open", "usage", "rounds"}


async def test_an_unknown_agent_fails_the_task_with_the_names_there_are(world: World, shop: Shop) -> None:
    world.agent("desk", shop.tools, [PAY])
    async with world.worker():
        handle = await world.start("t", agent="dask")
        result = await outcome_of(handle)
    assert result["status"] == "FAILED"
    assert "no agent 'dask'" in result["reason"]
    assert "desk" in result["reason"]


async def test_a_second_run_of_a_task_is_refused_unless_it_is_asked_for(world: World, shop: Shop) -> None:
    world.agent("desk", shop.tools, [PAY])
    async with world.worker():
        first = await world.start("t", **WISH)
        assert (await outcome_of(first))["status"] == "COMPLETED"
        second = await world.start("t", **WISH)
        refused = await outcome_of(second)
        third = await world.start("t", again=True, **WISH)
        again = await outcome_of(third)
    assert (refused["status"], again["status"]) == ("FAILED", "COMPLETED")
    assert "has run before" in refused["reason"]
    # the later run knows what the first one did, and the same call gets its receipt
    assert [(one["step"], one["already"]) for one in again["effects"]] == [("r1.r1_s1", False), ("r2.s1", True)]
    assert shop.done("pay") == 1
