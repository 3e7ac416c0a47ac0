"""Nothing that people or models write may make a workflow task fail: that is how a task hangs for ever."""

import asyncio
import json
from typing import Any

from temporalio.client import WorkflowHandle

from core.profile import Limits
from tests.workflows.malformed import malformed
from tests.workflows.shop import Shop
from tests.workflows.stories import outcome_of, requests_of
from tests.worlds import Rules, World, ask, asks, plan, step, until

TASKS, REPLIES = 30, 10


async def test_three_hundred_malformed_replies_end_at_a_person(world: World, shop: Shop) -> None:
    texts = list(malformed(TASKS * REPLIES, seed=7))
    for number in range(TASKS):
        replies = [{"text": text} for text in texts[number * REPLIES : (number + 1) * REPLIES]]
        world.agent(f"a{number}", shop.tools, replies, limits=Limits(repairs=REPLIES))
    async with world.worker(cached=100):
        handles = [await world.start(f"{number}", f"a{number}") for number in range(TASKS)]
        views = await asyncio.gather(*(until(handle, "AWAITING_PERSON", seconds=60) for handle in handles))
        calls = await asyncio.gather(*(_planning_calls(handle) for handle in handles))
    assert calls == [REPLIES] * TASKS
    assert all(view["waiting_for"] == ["lead"] for view in views)
    assert shop.effects == []
    for handle in handles:
        refused = [line async for line in world.ledger.lines(handle.id) if line.event == "plan.refused"]
        assert len(refused) == REPLIES


async def _planning_calls(handle: WorkflowHandle[Any, Any]) -> int:
    state = await ask(handle, "state")
    return int(state["spent"]["planning_calls"])


async def test_ten_megabytes_of_text_are_no_plan(world: World, shop: Shop) -> None:
    huge = json.dumps({"steps": [step("s1", "pay", order_id="x" * 10_000_000, amount=1)]})
    world.agent("desk", shop.tools, [{"text": huge}], limits=Limits(repairs=1))
    async with world.worker():
        handle = await world.start("t")
        view = await until(handle, "AWAITING_PERSON")
        assert view["waiting_for"] == ["lead"]
        assert (await _planning_calls(handle)) == 1
    assert shop.effects == []


async def test_one_result_named_two_hundred_times_does_not_outgrow_the_call(world: World, shop: Shop) -> None:
    shop.blob_bytes = 15_000
    large = plan(step("s1", "report", text="1"), step("s2", "note", text="{{s1/body}}" * 200))
    world.agent("desk", shop.tools, [large, plan(answer="too much")])
    async with world.worker():
        result = await outcome_of(await world.start("t"))
    assert (result["status"], result["answer"]) == ("COMPLETED", "too much")
    assert shop.done("note") == 0


async def test_three_hundred_approvers_fit_into_the_inbox(world: World, shop: Shop) -> None:
    people = {"finance": tuple(f"person-{number}@example.org" for number in range(300))}
    pay = plan(step("s1", "pay", order_id="1", amount=1))
    world.agent("desk", shop.tools, [pay], policy=Rules({"pay": asks("finance")}), people=people)
    async with world.worker():
        handle = await world.start("t")
        await until(handle, "AWAITING_APPROVAL")
        [request] = await requests_of(handle)
        assert len(request["may_answer"]) == 300
        await handle.signal("approve", "person-299@example.org")
        assert (await outcome_of(handle))["status"] == "COMPLETED"


async def test_long_reasons_in_other_scripts_fit_into_a_summary(world: World, shop: Shop) -> None:
    long = {**step("s1", "note", text="x"), "why": "\u8abf\u67e5" * 400}
    world.agent("desk", shop.tools, [plan(long)])
    async with world.worker():
        assert (await outcome_of(await world.start("t")))["status"] == "COMPLETED"
