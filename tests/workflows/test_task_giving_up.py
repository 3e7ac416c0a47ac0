"""A task that ends does not wait for what has not been sent, and hears out what has."""

import asyncio
from contextlib import nullcontext
from pathlib import Path

import httpx
import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import CancelledError
from temporalio.worker import Worker

from activities import door
from core.receipts import RowState
from tests.worlds import TASK_QUEUE, World, dev_server, plan, step, until
from tools import Call, NotSent, tool
from tools.declaration import Declaration


async def cancelled(handle: WorkflowHandle[object, object]) -> None:
    await handle.cancel()
    with pytest.raises(WorkflowFailureError) as failure:
        await asyncio.wait_for(handle.result(), 60)
    assert isinstance(failure.value.cause, CancelledError)


async def fact(handle: WorkflowHandle[object, object], kind: EventType.ValueType, count: int = 1) -> None:
    async with asyncio.timeout(60):
        while [event.event_type for event in (await handle.fetch_history()).events].count(kind) < count:
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


class Bank:
    """It honours keys, and answers when it is told to; where it `fails`, the first answer is: come back in a second."""

    def __init__(self, *, fails: bool = True) -> None:
        self.requests: list[str] = []
        self.began, self.go_on = asyncio.Event(), asyncio.Event()
        self._fails = fails

    @property
    def tool(self) -> Declaration:
        @tool(effect="keyed", key_window="24h")
        async def pay(call: Call, cents: int) -> int:
            """Pay."""
            self.requests.append(call.key)
            self.began.set()
            await self.go_on.wait()
            if self._fails and len(self.requests) == 1:
                request = httpx.Request("POST", "http://127.0.0.1/payments")
                answer = httpx.Response(503, headers={"Retry-After": "1"}, request=request)
                raise httpx.HTTPStatusError("failed", request=request, response=answer)
            return cents

        return pay


@pytest.mark.parametrize("lost", ["the answer", "the worker"])
async def test_call_whose_pause_came_in_mid_send_ends_its_doubt_by_itself(
    lost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if lost == "the worker":  # one that is gone sends no heartbeats, and Temporal's time-out ends the attempt
        monkeypatch.setattr(door, "beating", nullcontext)
    bank = Bank()
    async with dev_server() as environment:
        world = World(environment.client, tmp_path)
        world.agent("desk", [bank.tool], [plan(step("s1", "pay", cents=1))])
        async with world.worker():
            handle = await world.start("t-4")
            await asyncio.wait_for(bank.began.wait(), 60)
            await handle.signal("pause")
            await fact(handle, EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED)
            if lost == "the worker":
                await fact(handle, EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT)
            bank.go_on.set()
            if lost == "the answer":
                await fact(handle, EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED)
            assert (await until(handle, "PAUSED", "AWAITING_PERSON"))["status"] == "PAUSED"
            assert len(bank.requests) == 1
            await handle.signal("resume")
            result = await asyncio.wait_for(handle.result(), 60)
    assert result["answer"] == "done"
    (row,) = await world.ledger.rows("t-4")
    assert bank.requests == [row.key] * 2


@pytest.mark.parametrize("first", ["the answer", "the cancel"])
async def test_cancel_that_arrives_together_with_the_answer_ends_the_task(first: str, tmp_path: Path) -> None:
    """In one activation: the handle of the visit may be done, and is called back before it could say so."""
    bank = Bank(fails=False)
    async with dev_server() as environment:
        world = World(environment.client, tmp_path)
        world.agent("desk", [bank.tool], [plan(step("s1", "pay", cents=1))])
        async with Worker(world.client, task_queue=TASK_QUEUE, activities=world.activities()):
            async with world.worker(no_remote_activities=True):
                handle = await world.start("t-5")
                await asyncio.wait_for(bank.began.wait(), 60)
            if first == "the cancel":
                await ask_to_cancel(handle)
            bank.go_on.set()
            await fact(handle, EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED, count=2)  # the plan, and the payment
            if first == "the answer":
                await ask_to_cancel(handle)
            async with world.worker(no_remote_activities=True):
                with pytest.raises(WorkflowFailureError) as failure:
                    await asyncio.wait_for(handle.result(), 60)
        memo = await (await handle.describe()).memo()
    assert isinstance(failure.value.cause, CancelledError)
    assert [effect["outcome"] for effect in memo["result"]["effects"]] == ["succeeded"]
    assert len(bank.requests) == 1


async def ask_to_cancel(handle: WorkflowHandle[object, object]) -> None:
    await handle.cancel()
    await fact(handle, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED)
