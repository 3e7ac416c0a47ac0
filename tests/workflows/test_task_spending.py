"""Tasks, their models and their budgets, on a real server."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.worker import Worker

from activities import Needs, TemporalRuns, build_planning
from core.profile import Limits
from core.spending import DayBudget, Grouping
from llm.planners import Planners
from tests.workflows.shop import Shop
from tests.workflows.stories import outcome_of
from tests.worlds import World, now, plan, step, time_skipping_server, until
from workflows import options

PAY = plan(step("s1", "pay", order_id="1", amount=5), answer="paid")
LOOK = plan(step("s1", "look", order_id="1"), answer="seen")


def enlist(world: World, shop: Shop, *scripts: Any, budget: DayBudget | None = None, **profile: Any) -> None:
    """Add the agent `desk` whose models are chosen by the rules of routing; `queues`: by place in the route."""
    queues, limits = profile.pop("queues", {}), profile.pop("limits", None)
    agent = world.agent("desk", shop.tools, *scripts, limits=limits)
    route = [one.model_copy(update={"queue": queues.get(at, "")}) for at, one in enumerate(agent.profile.route)]
    strong = route[profile.pop("strong")].name if "strong" in profile else ""
    changes = {"routed": True, "route": tuple(route), "strong": strong, **profile}
    chosen = agent.profile.model_copy(update=changes)
    world.agents["desk"] = replace(agent, profile=chosen, budget=budget or DayBudget())


async def usage(world: World, by: Grouping = Grouping.MODEL) -> dict[str, int]:
    return {line.group: line.calls for line in await world.ledger.usage(by)}


async def test_cheap_plan_of_high_stakes_is_made_anew_by_the_strong_model(world: World, shop: Shop) -> None:
    enlist(world, shop, [PAY], [LOOK, PAY], strong=1, high_stakes=("pay",))
    async with world.worker():
        result = await outcome_of(await world.start("task"))
    assert result["status"] == "COMPLETED"
    assert result["usage"]["planning_calls"] == 2
    assert await usage(world) == {"scripted:desk-0.json": 1, "scripted:desk-1.json": 1}
    assert shop.done("pay") == 1
    lines = [line async for line in world.ledger.lines(f"{world.prefix}task")]
    assert [line.fields.get("because") for line in lines if line.event == "plan.proposed"] == [
        None,
        "the plan calls pay, whose stakes are high",
    ]


async def test_busy_model_hands_over_at_once_when_another_one_stands_behind_it(world: World, shop: Shop) -> None:
    busy = {"error": "rate_limited", "retry_after": 50, "times": 9}
    enlist(world, shop, [busy, LOOK], [LOOK])
    async with world.worker():
        result = await outcome_of(await world.start("task"), seconds=20)
    assert result["status"] == "COMPLETED"
    assert await usage(world) == {"scripted:desk-0.json": 1, "scripted:desk-1.json": 1}


async def test_task_over_the_budget_of_the_day_asks_and_goes_on_when_its_owner_says_so(
    world: World, shop: Shop
) -> None:
    enlist(world, shop, [LOOK], budget=DayBudget(tokens_per_day=100))
    async with world.worker():
        handle = await world.start("task")
        view = await until(handle, "AWAITING_PERSON")
        assert "the budget of agent desk today is 100 tokens; 0 tokens are spent" in view["waiting_reason"]
        assert "the task goes on by itself at" in view["waiting_reason"]
        assert await usage(world) == {}
        await handle.signal("answer", {"choice": "retry", "by": "lead"})
        assert (await outcome_of(handle))["status"] == "COMPLETED"
    assert await usage(world) == {"scripted:desk-0.json": 1}


async def test_tasks_that_start_at_once_do_not_overshoot_together(world: World, shop: Shop) -> None:
    said = {"plan": LOOK, "usage": {"input_tokens": 0, "output_tokens": 4_096}}
    enlist(world, shop, [said], budget=DayBudget(tokens_per_day=3 * 4_096))
    async with world.worker():
        handles = [await world.start(f"task{number}") for number in range(6)]
        ended = [await until(handle, "COMPLETED", "AWAITING_PERSON") for handle in handles]
        assert sorted(view["status"] for view in ended) == ["AWAITING_PERSON"] * 3 + ["COMPLETED"] * 3
        for handle, view in zip(handles, ended, strict=True):
            if view["status"] == "AWAITING_PERSON":
                await handle.signal("answer", {"choice": "end", "by": "lead"})
            await outcome_of(handle)
    [line] = await world.ledger.usage(Grouping.AGENT)
    assert (line.output_tokens, line.unsettled_tokens) == (3 * 4_096, 0)


async def test_limit_of_the_task_that_is_spent_is_granted_again_by_its_owner(world: World, shop: Shop) -> None:
    first = {"plan": plan(step("s1", "look", order_id="1"), answer=None), "usage": {"output_tokens": 4_000}}
    enlist(world, shop, [first, LOOK], limits=Limits(tokens=4_100))
    async with world.worker():
        handle = await world.start("task")
        await until(handle, "AWAITING_PERSON")
        await handle.signal("answer", {"choice": "retry", "by": "lead"})
        assert (await outcome_of(handle))["status"] == "COMPLETED"


async def test_planning_call_goes_to_the_queue_of_its_provider(world: World, shop: Shop, tmp_path: Path) -> None:
    queue = f"{world.task_queue}-openai"
    enlist(world, shop, [LOOK], queues={0: queue})
    planners = Planners(models={}, environ={}, folder=tmp_path)
    needs = Needs(world, planners, world.ledger, None, [], TemporalRuns(world.client), now)  # type: ignore[arg-type] # no tools here
    caller = Worker(
        world.client, task_queue=queue, activities=[build_planning(needs)], max_task_queue_activities_per_second=50
    )
    async with world.worker(), caller:
        handle = await world.start("task")
        assert (await outcome_of(handle))["status"] == "COMPLETED"
    history = await handle.fetch_history()
    scheduled = [one.activity_task_scheduled_event_attributes for one in history.events]
    assert [one.task_queue.name for one in scheduled if one.activity_type.name == "propose_plan"] == [queue]


@pytest.mark.timeout(90)
async def test_queue_that_nobody_polls_hands_over_to_the_next_model(tmp_path: Path, shop: Shop) -> None:
    async with time_skipping_server() as environment:
        world = World(environment.client, tmp_path, search_attributes=False)
        enlist(world, shop, [LOOK], [LOOK], queues={0: "lastmile-nobody"})
        async with world.worker():
            handle = await world.start("task")
            result = await outcome_of(handle)
            history = await handle.fetch_history()
    assert result["status"] == "COMPLETED"
    assert result["usage"]["planning_calls"] == 1, "what nobody took was not asked"
    taken = history.events[-1].event_time.ToDatetime() - history.events[0].event_time.ToDatetime()
    assert options.QUEUE_PATIENCE <= taken < options.QUEUE_PATIENCE + timedelta(seconds=20)
