"""Resets, and runs under an id that ran before: nothing is done twice, and what was left open is found out."""

import asyncio
from typing import Any

import pytest

from core.receipts import RowState
from core.record import Json
from tests.workflows.resets import Handle, latest_run, reset, workflow_task_before
from tests.workflows.shop import Shop
from tests.workflows.stories import assert_never_failed, events_of, outcome_of, requests_of
from tests.worlds import Rules, World, asks, plan, step, until

PAY = step("s1", "pay", order_id="1", amount=5)
NOTE = step("s2", "note", after=["s1"], text="paid")
MAIL = step("s3", "mail", after=["s2"], to="jane", body="hello")
ALL = plan(PAY, NOTE, MAIL)
GO_ON: dict[str, Json] = {"choice": "retry", "by": "lead"}


async def asked(handle: Handle, kind: str, seconds: float = 60) -> dict[str, Any]:
    """Wait until a person is asked something of a kind; return the request."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                found = [one for one in await requests_of(handle) if one["kind"] == kind]
            except Exception:  # noqa: BLE001 - not started yet
                found = []
            if found:
                return found[0]
            await asyncio.sleep(0.05)


async def go_on(handle: Handle) -> dict[str, Any]:
    """Answer the question that a reset brings; return the request."""
    request = await asked(handle, "stuck")
    assert "the task was reset" in request["reason"]
    await handle.signal("answer", {**GO_ON, "request_id": request["id"]})
    return request


def assert_once(shop: Shop) -> None:
    assert max(shop.keys.values()) == 1
    assert {name: shop.done(name) for name in ("pay", "note", "mail")} == {"pay": 1, "note": 1, "mail": 1}


async def finished(handle: Handle) -> dict[str, Any]:
    assert_never_failed(await events_of(handle))
    result = await outcome_of(handle)
    assert_never_failed(await events_of(handle))
    return result


async def until_held_at_mail(world: World, shop: Shop) -> Handle:
    """Pay and note are done, and somebody is asked about the mail."""
    world.agent("desk", shop.tools, [ALL] * 4, policy=Rules({"mail": asks("ana")}))
    handle = await world.start("t")
    await until(handle, "AWAITING_APPROVAL")
    return handle


async def test_reset_to_the_first_workflow_task_repeats_nothing(world: World, shop: Shop) -> None:
    async with world.worker():
        await until_held_at_mail(world, shop)
        handle = await reset(world.client, world.started[0].id, to=0)
        request = await go_on(handle)
        assert "r1.s1 pay" in request["reason"]
        await handle.signal("approve", {"by": "ana", "request_id": (await asked(handle, "approval"))["id"]})
        result = await finished(handle)
    assert result["status"] == "COMPLETED"
    assert_once(shop)
    task = await world.ledger.task(handle.id)
    assert task is not None
    assert (task.epoch, task.run_id) == (1, await latest_run(world.client, handle.id))


async def test_reset_to_a_later_workflow_task_keeps_what_it_knows_and_adopts_the_rest(world: World, shop: Shop) -> None:
    async with world.worker():
        await until_held_at_mail(world, shop)
        number = await workflow_task_before(world.started[0], "note")
        handle = await reset(world.client, world.started[0].id, to=number)
        request = await go_on(handle)
        assert "note" in request["reason"]
        await handle.signal("approve", {"by": "ana", "request_id": (await asked(handle, "approval"))["id"]})
        result = await finished(handle)
    assert result["status"] == "COMPLETED"
    assert_once(shop)


async def test_reset_of_a_task_that_has_ended_repeats_nothing(world: World, shop: Shop) -> None:
    world.agent("desk", shop.tools, [ALL] * 3)
    async with world.worker():
        handle = await world.start("t")
        assert (await outcome_of(handle))["status"] == "COMPLETED"
        handle = await reset(world.client, handle.id, to=await workflow_task_before(handle, "pay"))
        await go_on(handle)
        result = await finished(handle)
    assert result["status"] == "COMPLETED"
    assert_once(shop)


async def test_reset_while_a_call_is_in_flight_waits_for_its_receipt(world: World, shop: Shop) -> None:
    shop.gate.clear()
    world.agent("desk", shop.tools, [ALL] * 3)
    async with world.worker():
        first = await world.start("t")
        await asyncio.wait_for(shop.sending.wait(), 30)
        handle = await reset(world.client, first.id, to=await workflow_task_before(first, "pay"))
        await asked(handle, "stuck")
        shop.gate.set()
        await go_on(handle)
        result = await finished(handle)
    assert result["status"] == "COMPLETED"
    assert_once(shop)


async def test_reset_with_an_unrepeatable_call_in_doubt_asks_the_person_again(world: World, shop: Shop) -> None:
    shop.lost.add("mail")
    world.agent("desk", shop.tools, [ALL] * 3)
    async with world.worker():
        first = await world.start("t")
        await asked(first, "outcome")
        handle = await reset(world.client, first.id, to=0)
        await asked(handle, "stuck")
        outcome = await asked(handle, "outcome")
        await handle.signal("answer", {"choice": "happened", "by": "lead", "request_id": outcome["id"]})
        await go_on(handle)
        result = await finished(handle)
    assert result["status"] == "COMPLETED"
    assert_once(shop)


async def test_two_resets_repeat_nothing(world: World, shop: Shop) -> None:
    async with world.worker():
        first = await until_held_at_mail(world, shop)
        handle = await reset(world.client, first.id, to=await workflow_task_before(first, "pay"))
        await go_on(handle)
        await asked(handle, "approval")
        handle = await reset(world.client, first.id, to=0)
        await go_on(handle)
        await handle.signal("approve", {"by": "ana", "request_id": (await asked(handle, "approval"))["id"]})
        result = await finished(handle)
    assert result["status"] == "COMPLETED"
    assert_once(shop)
    task = await world.ledger.task(handle.id)
    assert task is not None
    assert task.epoch == 2


async def test_reset_of_a_run_before_the_latest_reset_repeats_nothing(world: World, shop: Shop) -> None:
    async with world.worker():
        first = await until_held_at_mail(world, shop)
        run = await latest_run(world.client, first.id)
        await go_on(await reset(world.client, first.id, to=0))
        handle = await reset(world.client, first.id, to=-1, run_id=run)
        before = (await asked(handle, "approval"))["id"]
        await handle.signal("approve", {"by": "ana", "request_id": before})
        while (request := (await asked(handle, "approval"))["id"]) == before:
            pass  # nothing was done that this run does not know, so it plans again without asking its owner
        await handle.signal("approve", {"by": "ana", "request_id": request})
        result = await finished(handle)
    assert result["status"] == "COMPLETED"
    assert_once(shop)


@pytest.mark.parametrize("said", [{"by": "ana", "request_id": "q1"}, "ana"], ids=["named", "bare"])
@pytest.mark.parametrize("place", ["pay", "notify"], ids=["before it is asked", "while it is asked"])
async def test_approval_that_temporal_sends_again_allows_nothing_new(
    world: World, shop: Shop, said: Json, place: str
) -> None:
    other = plan(step("s1", "pay", order_id="2", amount=5))
    world.agent("desk", shop.tools, [ALL, other, other], policy=Rules({"pay": asks("ana"), "mail": asks("bob")}))
    async with world.worker():
        first = await world.start("t")
        await asked(first, "approval")
        await first.signal("approve", said)
        while (await asked(first, "approval"))["tool"] != "mail":
            pass
        handle = await reset(world.client, first.id, to=await workflow_task_before(first, place))
        if place == "notify":  # what is sent again comes before the request opens anew, and counts for nothing
            again = await asked(handle, "approval")
            assert (again["id"], again["tool"], shop.done("pay")) == ("q1", "pay", 1)
            await handle.signal("approve", {"by": "ana", "request_id": "q1"})
        await go_on(handle)
        request = await asked(handle, "approval")
        assert (request["tool"], request["args"]["order_id"], shop.done("pay")) == ("pay", "2", 1)
        await handle.signal("reject", {"by": "ana", "request_id": request["id"]})
        result = await finished(handle)
    assert (result["status"], shop.done("pay")) == ("REJECTED", 1)


# ------------------------------------------------------------------------------------------------------ run it again


async def test_task_that_failed_runs_again_with_what_is_done(world: World, shop: Shop) -> None:
    shop.refuse.add("mail")
    world.agent("desk", shop.tools, [ALL] * 2)
    async with world.worker():
        first = await world.start("t")
        await first.signal("answer", {"choice": "end", "by": "lead", "request_id": (await asked(first, "stuck"))["id"]})
        assert (await outcome_of(first))["status"] == "FAILED"
        shop.refuse.clear()
        result = await finished(await world.start("t", again=True))
    assert result["status"] == "COMPLETED"
    assert_once(shop)


async def test_task_that_was_cancelled_runs_again_with_what_is_done(world: World, shop: Shop) -> None:
    async with world.worker():
        first = await until_held_at_mail(world, shop)
        await first.cancel()
        assert (await outcome_of(first))["status"] == "CANCELLED"
        again = await world.start("t", again=True)
        await again.signal("approve", {"by": "ana", "request_id": (await asked(again, "approval"))["id"]})
        result = await finished(again)
    assert result["status"] == "COMPLETED"
    assert_once(shop)


async def test_task_that_was_terminated_in_mid_send_runs_again_and_waits_for_the_receipt(
    world: World, shop: Shop
) -> None:
    shop.gate.clear()
    world.agent("desk", shop.tools, [ALL] * 2)
    async with world.worker():
        first = await world.start("t")
        await asyncio.wait_for(shop.sending.wait(), 30)
        await first.terminate("a test")
        again = await world.start("t", again=True)
        await until(again, "ACTING", "RECOVERING")
        shop.gate.set()
        result = await finished(again)
        [paid] = [row for row in await world.ledger.rows(again.id) if row.tool == "pay"]
    assert result["status"] == "COMPLETED"
    assert paid.state is RowState.SUCCEEDED
    assert_once(shop)
