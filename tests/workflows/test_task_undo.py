"""A task that ends badly takes back what it did, latest first, and never while anything is in doubt."""

from core.profile import EndStatus
from core.record import Json
from tests.workflows.shop import Shop
from tests.workflows.stories import outcome_of
from tests.worlds import Rules, World, ask, asks, plan, step, until

BOOKINGS = [step("b1", "book", room="1"), step("b2", "book", after=["b1"], room="2")]
WORK: dict[str, Json] = plan(*BOOKINGS, step("m", "mail", after=["b2"], to="jane", body="booked"))


def rooms_of(shop: Shop) -> list[tuple[str, Json]]:
    return [(name, args.get("room", args.get("booking"))) for name, args in shop.effects]


async def test_cancelled_task_takes_back_what_it_did_latest_first(world: World, shop: Shop) -> None:
    tools = [*shop.tools, shop.book]
    world.agent("desk", tools, [WORK], policy=Rules({"mail": asks("ana")}), undo_on=[EndStatus.CANCELLED])
    async with world.worker():
        handle = await world.start("t")
        await until(handle, "AWAITING_APPROVAL")
        await handle.cancel()
        result = await outcome_of(handle)
    assert result["status"] == "CANCELLED"
    assert rooms_of(shop) == [("book", "1"), ("book", "2"), ("unbook", "book-2"), ("unbook", "book-1")]
    assert max(shop.keys.values()) == 1


async def test_task_that_ends_otherwise_takes_nothing_back(world: World, shop: Shop) -> None:
    world.agent("desk", [*shop.tools, shop.book], [WORK], undo_on=[EndStatus.CANCELLED])
    async with world.worker():
        result = await outcome_of(await world.start("t"))
    assert (result["status"], shop.done("unbook")) == ("COMPLETED", 0)


async def test_nothing_is_taken_back_while_a_call_is_in_doubt(world: World, shop: Shop) -> None:
    shop.lost.add("mail")
    world.agent("desk", [*shop.tools, shop.book], [WORK], undo_on=[EndStatus.CANCELLED])
    async with world.worker():
        handle = await world.start("t")
        await until(handle, "AWAITING_PERSON")
        await handle.cancel()
        while not (await ask(handle, "state"))["ending"]:
            pass
        assert shop.done("unbook") == 0
        await handle.signal("answer", {"choice": "happened", "by": "lead"})
        result = await outcome_of(handle)
    assert (result["status"], shop.done("unbook")) == ("CANCELLED", 2)


async def test_task_that_undoes_says_so_and_undoes_once(world: World, shop: Shop) -> None:
    tools = [*shop.tools, shop.book]
    world.agent("desk", tools, [WORK], policy=Rules({"mail": asks("ana")}), undo_on=[EndStatus.CANCELLED])
    async with world.worker():
        handle = await world.start("t")
        await until(handle, "AWAITING_APPROVAL")
        shop.gate.clear()
        shop.sending.clear()
        await handle.cancel()
        await shop.sending.wait()
        await until(handle, "COMPENSATING")
        shop.gate.set()
        result = await outcome_of(handle)
    assert (result["status"], shop.done("unbook"), max(shop.keys.values())) == ("CANCELLED", 2, 1)
