"""A task that ends does not wait for what has not been sent, and hears out what has."""

import asyncio
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import CancelledError

from core.receipts import RowState
from tests.worlds import World, dev_server, plan, step, until
from tools import Call, NotSent, tool


async def cancelled(handle: WorkflowHandle[object, object]) -> None:
    await handle.cancel()
    with pytest.raises(WorkflowFailureError) as failure:
        await asyncio.wait_for(handle.result(), 60)
    assert isinstance(failure.value.cause, CancelledError)


async def fact(handle: WorkflowHandle[object, object], kind: EventType.ValueType) -> None:
    async with asyncio.timeout(60):
        while not any(event.event_type == kind for event in (await handle.fetch_history()).events):
            await asyncio.sleep(0.05)


async def test_cancel_does_not_wait_for_a_provider_that_asked_to_come_back_later(tmp_path: Path) -> None:
    asked = asyncio.Event()

    @tool(effect="keyed", key_window="24h")
    async def pay(call: Call, cents: int) -> None:
        """Pay."""
        asked.set()
        raise NotSent("busy", retry_after=3600)

    async with dev_server() as environment:
        world = World(environment.client, tmp_path)
        world.agent("desk", [pay], [plan(step("s1", "pay", cents=1))])
        async with world.worker():
            handle = await world.start("t-1")
            await asyncio.wait_for(asked.wait(), 60)
            await cancelled(handle)
    (row,) = await world.ledger.rows("t-1")
    assert row.state is RowState.CANCELLED


async def test_cancel_in_mid_send_keeps_the_receipt_and_sends_once(tmp_path: Path) -> None:
    sent: list[str] = []
    began, go_on = asyncio.Event(), asyncio.Event()

    @tool(effect="unrepeatable")
    async def tell(call: Call, text: str) -> str:
        """Tell."""
        sent.append(call.key)
        began.set()
        await go_on.wait()
        return text

    async with dev_server() as environment:
        world = World(environment.client, tmp_path)
        world.agent("desk", [tell], [plan(step("s1", "tell", text="hello"))])
        async with world.worker():
            handle = await world.start("t-2")
            await asyncio.wait_for(began.wait(), 60)
            ending = asyncio.create_task(cancelled(handle))
            await fact(handle, EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED)
            assert not ending.done()
            go_on.set()
            await ending
            description = await handle.describe()
    (row,) = await world.ledger.rows("t-2")
    assert row.state is RowState.SUCCEEDED
    assert sent == [row.key]
    memo = await description.memo()
    assert [effect["outcome"] for effect in memo["result"]["effects"]] == ["succeeded"]


@pytest.mark.parametrize("what", ["pause", "amend"])
async def test_what_waits_to_be_sent_is_not_sent_after(what: str, tmp_path: Path) -> None:
    asked: list[int] = []
    first = asyncio.Event()

    @tool(effect="keyed", key_window="24h")
    async def pay(call: Call, cents: int) -> int:
        """Pay."""
        asked.append(call.attempt)
        first.set()
        if len(asked) == 1:
            raise NotSent("busy", retry_after=3600)
        return cents

    async with dev_server() as environment:
        world = World(environment.client, tmp_path)
        world.agent("desk", [pay], [plan(step("s1", "pay", cents=1)), plan(answer="nothing was paid")])
        async with world.worker():
            handle = await world.start("t-3")
            await asyncio.wait_for(first.wait(), 60)
            await handle.signal(what, {"by": "ana"} if what == "pause" else {"goal": "do NOT pay"})
            if what == "pause":
                await fact(handle, EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED)
                assert (await until(handle, "PAUSED"))["steps_open"] == 1
                assert len(asked) == 1
                await handle.signal("resume")
            result = await asyncio.wait_for(handle.result(), 60)
    assert result["answer"] == ("done" if what == "pause" else "nothing was paid")
    assert len(asked) == (2 if what == "pause" else 1)
