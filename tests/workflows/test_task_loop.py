"""The loop: from a plan to receipts, with every task replayed from its start at each step."""

from collections import Counter

import pytest

from core.profile import Limits
from core.record import Json
from tests.workflows.shop import Shop
from tests.workflows.stories import activities_of, counted, events_of, outcome_of
from tests.worlds import Conditions, World, plan, ref, step, until

FIVE = plan(
    step("s1", "look", order_id=ref("inputs", "/order_id")),
    step("s2", "pay", order_id="1", amount=ref("s1", "/total")),
    step("s3", "mail", to=ref("s1", "/customer/email"), body="We paid {{s2/amount}}."),
    step("s4", "note", after=["s3"], text="told {{s1/customer/email}}"),
    step("s5", "measure", after=["s4"], text="abc"),
    answer="Paid {{s2/amount}} for {{inputs/order_id}}.",
)


def chain(length: int) -> dict[str, Json]:
    """Plan notes one after the other."""
    return plan(*(step(f"s{n}", "note", after=[f"s{n - 1}"] if n else [], text=f"note {n}") for n in range(length)))


async def test_five_tools_take_one_planning_call_and_one_activity_each(world: World, shop: Shop) -> None:
    world.agent("desk", shop.tools, [FIVE])
    async with world.worker():
        handle = await world.start("five", inputs={"order_id": "1"})
        result = await outcome_of(handle)
    scheduled = activities_of(await events_of(handle))
    assert scheduled == ["propose_plan", "look", "pay", "mail", "note", "measure"]
    assert result["status"] == "COMPLETED"
    assert result["answer"] == "Paid 25000 for 1."
    assert result["usage"]["planning_calls"] == 1
    assert [effect["outcome"] for effect in result["effects"]] == ["succeeded"] * 3
    assert max(shop.keys.values()) == 1


async def test_values_flow_from_results_into_arguments(world: World, shop: Shop) -> None:
    world.agent("desk", shop.tools, [FIVE])
    async with world.worker():
        await outcome_of(await world.start("flow", inputs={"order_id": "1"}))
    assert shop.effects == [
        ("pay", {"order_id": "1", "amount": 25000}),
        ("mail", {"to": "jane@example.org", "body": "We paid 25000."}),
        ("note", {"text": "told jane@example.org"}),
    ]


async def test_a_sequential_step_costs_six_events_and_one_workflow_task(world: World, shop: Shop) -> None:
    world.agent("short", shop.tools, [chain(2)])
    world.agent("long", shop.tools, [chain(12)])
    async with world.worker(cached=10):
        handles = [await world.start(agent, agent) for agent in ("short", "long")]
        for handle in handles:
            await outcome_of(handle)
    short, long = [counted(await events_of(handle)) for handle in handles]
    assert long.total() - short.total() == 10 * 6
    assert long["WORKFLOW_TASK_COMPLETED"] - short["WORKFLOW_TASK_COMPLETED"] == 10


async def test_twenty_independent_steps_start_in_one_workflow_task(world: World, shop: Shop) -> None:
    steps = [step(f"s{n}", "note", text=f"note {n}") for n in range(20)]
    world.agent("desk", shop.tools, [plan(*steps)], limits=Limits(parallel=20))
    async with world.worker(cached=10):
        handle = await world.start("wide")
        await outcome_of(handle)
    events = await events_of(handle)
    notes = [event.activity_task_scheduled_event_attributes for event in events]
    decided_at = Counter(one.workflow_task_completed_event_id for one in notes if one.activity_type.name == "note")
    assert list(decided_at.values()) == [20]
    counts = counted(events)
    assert counts["ACTIVITY_TASK_STARTED"] == counts["ACTIVITY_TASK_COMPLETED"] == 21
    assert shop.done("note") == 20


async def test_no_more_steps_run_at_once_than_allowed(world: World, shop: Shop) -> None:
    shop.gate.clear()
    steps = [step(f"s{n}", "note", text=f"note {n}") for n in range(5)]
    world.agent("desk", shop.tools, [plan(*steps)], limits=Limits(parallel=2))
    async with world.worker():
        handle = await world.start("narrow")
        await shop.sending.wait()
        under_way = activities_of(await events_of(handle)).count("note")
        shop.gate.set()
        await outcome_of(handle)
    assert under_way == 2
    assert shop.done("note") == 5


async def test_a_refusal_is_planned_around(world: World, shop: Shop) -> None:
    shop.refuse.add("pay")
    first = plan(step("s1", "pay", order_id="1", amount=5), step("s2", "mail", after=["s1"], to="a", body="paid"))
    world.agent("desk", shop.tools, [first, plan(step("s1", "note", text="could not pay"), answer="noted")])
    async with world.worker():
        handle = await world.start("refused")
        result = await outcome_of(handle)
    assert (result["status"], result["answer"], result["rounds"]) == ("COMPLETED", "noted", 2)
    assert activities_of(await events_of(handle)) == ["propose_plan", "pay", "propose_plan", "note"]
    assert shop.effects == [("note", {"text": "could not pay"})]


async def test_a_model_that_says_done_too_early_is_told_what_is_missing(world: World, shop: Shop) -> None:
    early = plan(step("s1", "note", text="x"))
    late = plan(step("s1", "mail", to="a", body="b"), answer="now it is")
    world.agent("desk", shop.tools, [early, late], done=Conditions(("mail",)))
    async with world.worker():
        handle = await world.start("early")
        result = await outcome_of(handle)
    assert (result["status"], result["answer"], result["rounds"]) == ("COMPLETED", "now it is", 2)
    second = [e.activity_task_scheduled_event_attributes for e in await events_of(handle)]
    told = [one.input.payloads[0].data for one in second if one.activity_type.name == "propose_plan"][1]
    assert b"mail has not succeeded" in told


async def test_the_fallback_of_a_tool_that_is_down_does_its_work_once(world: World, shop: Shop) -> None:
    shop.down.add("pay")
    world.agent("desk", shop.tools, [plan(step("s1", "pay", order_id="1", amount=5))])
    async with world.worker():
        result = await outcome_of(await world.start("fallback"))
    assert result["status"] == "COMPLETED"
    assert shop.effects == [("pay_elsewhere", {"order_id": "1", "amount": 5})]
    assert result["usage"]["planning_calls"] == 1


async def test_a_tool_that_is_down_without_fallback_is_planned_around(world: World, shop: Shop) -> None:
    shop.down.add("mail")
    plans = [plan(step("s1", "mail", to="a", body="b")), plan(step("s1", "note", text="call them"))]
    world.agent("desk", shop.tools, plans)
    async with world.worker():
        result = await outcome_of(await world.start("down"))
    assert result["status"] == "COMPLETED"
    assert shop.effects == [("note", {"text": "call them"})]


async def test_the_next_model_takes_over_when_one_is_down(world: World, shop: Shop) -> None:
    good = plan(step("s1", "note", text="x"))
    world.agent("desk", shop.tools, [{"error": "unauthorized"}, good], [good])
    async with world.worker():
        handle = await world.start("failover")
        result = await outcome_of(handle)
    assert result["status"] == "COMPLETED"
    orders = [e.activity_task_scheduled_event_attributes for e in await events_of(handle)]
    asked = [one.input.payloads[0].data for one in orders if one.activity_type.name == "propose_plan"]
    assert [b"scripted:desk-0.json" in asked[0], b"scripted:desk-1.json" in asked[1]] == [True, True]


async def test_the_next_model_takes_over_when_one_writes_no_plans(world: World, shop: Shop) -> None:
    world.agent("desk", shop.tools, [{"text": "no"}] * 2, [{"text": "no"}] * 2 + [chain(1)], limits=Limits(repairs=2))
    async with world.worker():
        result = await outcome_of(await world.start("babble"))
    assert result["status"] == "COMPLETED"
    assert result["usage"]["planning_calls"] == 3


async def test_a_busy_model_is_asked_again_by_temporal(world: World, shop: Shop) -> None:
    world.agent("desk", shop.tools, [{"error": "rate_limited", "retry_after": 0, "times": 2}, chain(1)])
    async with world.worker():
        handle = await world.start("busy")
        assert (await outcome_of(handle))["status"] == "COMPLETED"
    started = [e.activity_task_started_event_attributes.attempt for e in await events_of(handle)]
    assert max(started) == 3


async def test_a_new_worker_takes_over_between_any_two_steps(world: World, shop: Shop) -> None:
    world.agent("desk", shop.tools, [chain(4)])
    handle = await world.start("handed-over")
    for done in range(4):
        shop.sending.clear()
        async with world.worker():
            await shop.sending.wait()
        assert shop.done("note") == done + 1  # the worker that stops lets what is under way end
    async with world.worker():
        assert (await outcome_of(handle))["status"] == "COMPLETED"
    assert [args["text"] for _, args in shop.effects] == [f"note {n}" for n in range(4)]


@pytest.mark.parametrize("replies", [[], [{"error": "unavailable", "times": 20}]], ids=["silent", "down"])
async def test_a_task_without_any_model_waits(world: World, shop: Shop, replies: list[Json]) -> None:
    world.agent("desk", shop.tools, replies)
    async with world.worker():
        handle = await world.start("parked")
        view = await until(handle, "WAITING")
        assert view["waiting_for"] == ["lead"]
        assert "no language model answers" in view["waiting_reason"]
        await handle.cancel()
        assert (await outcome_of(handle))["status"] == "CANCELLED"
    assert any(notice.rung.startswith("parked") for notice in world.mailbox.notices)
