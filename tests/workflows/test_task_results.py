"""Large results, and a server that does not know our search attributes."""

from core.receipts import RowState
from tests.workflows.shop import Shop
from tests.workflows.stories import counted, events_of, outcome_of
from tests.worlds import Rules, World, asks, plan, ref, step, until


async def test_a_result_of_three_megabytes_is_one_effect_and_one_receipt(world: World, shop: Shop) -> None:
    large = plan(
        step("s1", "report", text="all"), step("s2", "measure", text=ref("s1", "/body")), answer="{{s1/title}}: {{s2}}"
    )
    world.agent("desk", shop.tools, [large])
    async with world.worker():
        handle = await world.start("t")
        result = await outcome_of(handle)
    assert (result["status"], result["answer"]) == ("COMPLETED", "report: 3000000")
    assert list(shop.keys.values()) == [1]
    [row] = await world.ledger.rows(handle.id)
    assert (row.state, row.sends) == (RowState.SUCCEEDED, 1)
    assert sum(event.ByteSize() for event in await events_of(handle)) < 20_000


async def test_large_arguments_are_approved_by_what_can_be_shown_of_them(world: World, shop: Shop) -> None:
    large = plan(step("s1", "report", text="all"), step("s2", "note", text=ref("s1", "/body")))
    world.agent("desk", shop.tools, [large], policy=Rules({"note": asks("ana")}))
    async with world.worker():
        handle = await world.start("t")
        await until(handle, "AWAITING_APPROVAL")
        await handle.signal("approve", "ana")
        assert (await outcome_of(handle))["status"] == "COMPLETED"
    [(_, _), (_, noted)] = shop.effects
    assert noted["text"] == "x" * 3_000_000


async def test_a_server_without_our_search_attributes_runs_tasks(world: World, shop: Shop) -> None:
    world.search_attributes = False
    world.agent(
        "desk",
        shop.tools,
        [plan(step("s1", "pay", order_id="1", amount=1))],
        policy=Rules({"pay": asks("ana")}),
    )
    async with world.worker():
        handle = await world.start("t")
        await until(handle, "AWAITING_APPROVAL")
        await handle.signal("approve", "ana")
        assert (await outcome_of(handle))["status"] == "COMPLETED"
    assert counted(await events_of(handle))["UPSERT_WORKFLOW_SEARCH_ATTRIBUTES"] == 0


async def test_whoever_is_waited_for_is_found_by_the_server(world: World, shop: Shop) -> None:
    world.agent(
        "desk",
        shop.tools,
        [plan(step("s1", "pay", order_id="1", amount=1))],
        policy=Rules({"pay": asks("zoe")}),
    )
    query = 'LastmileWaitingFor = "zoe" AND LastmileStatus = "AWAITING_APPROVAL" AND LastmileAgent = "desk"'
    async with world.worker():
        handle = await world.start("t")
        await until(handle, "AWAITING_APPROVAL")
        while not (found := [one.id async for one in world.client.list_workflows(query)]):
            await until(handle, "AWAITING_APPROVAL")
        assert found == [handle.id]
        await handle.signal("approve", "zoe")
        await outcome_of(handle)
        while [one.id async for one in world.client.list_workflows(query)]:
            pass
