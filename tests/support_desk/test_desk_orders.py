from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import create_async_engine

from core.errors import NotSent, Refused
from core.ports import Call, Certainty
from demo.services import Services
from tests.support_desk.desk import Desk, NewOrder, sorted_error

Book = Callable[[str, int], Awaitable[None]]

pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def transaction(services: Services, call: Call) -> AsyncIterator[Call]:
    """What the door does round a transactional tool: commit on a clean exit, else roll back."""
    engine = create_async_engine(services.orders.url.replace("sqlite:", "sqlite+aiosqlite:"), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            yield replace(call, connection=connection)
    finally:
        await engine.dispose()


@pytest.fixture
def book(desk: Desk, call: Call, services: Services) -> Book:
    async def commit(order_id: str, amount_cents: int) -> None:
        async with transaction(services, call) as inside:
            await desk["mark_order_refunded"].send(inside, {"order_id": order_id, "amount_cents": amount_cents})

    return commit


async def test_order_is_found_with_its_customer_and_amounts(desk: Desk, call: Call, services: Services) -> None:
    found = await desk["get_order"].send(call, {"order_id": "1042"})
    assert found == {
        "order_id": "1042",
        "item": "Espresso machine",
        "status": "paid",
        "currency": "eur",
        "total_cents": 250_00,
        "total_text": "250.00 EUR",
        "refunded_cents": 0,
        "customer": {"id": "c-101", "name": "Ada Marten", "email": "ada.marten@example.com"},
        "payment_intent": services.orders.find("1042").payment_intent,
    }


async def test_order_that_does_not_exist_is_refused_by_its_number(desk: Desk, call: Call) -> None:
    with pytest.raises(Refused, match="no order 9999") as refusal:
        await desk["get_order"].send(call, {"order_id": "9999"})
    assert refusal.value.code == "order_not_found"


async def test_number_of_an_order_is_a_value_and_never_sql(desk: Desk, call: Call) -> None:
    with pytest.raises(Refused, match="no order"):
        await desk["get_order"].send(call, {"order_id": "' or 1=1 --"})


async def test_missing_setting_is_named(desk: Desk, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUPPORT_DESK_ORDERS")
    with pytest.raises(Refused, match="SUPPORT_DESK_ORDERS") as refusal:
        await desk["get_order"].send(call, {"order_id": "1042"})
    assert refusal.value.code == "not_configured"


async def test_setting_that_is_no_address_is_named_and_not_shown(
    desk: Desk, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPPORT_DESK_ORDERS", "hunter2")
    with pytest.raises(Refused, match="SUPPORT_DESK_ORDERS") as refusal:
        await desk["get_order"].send(call, {"order_id": "1042"})
    assert "hunter2" not in str(refusal.value)


async def test_database_that_cannot_be_opened_proves_that_nothing_was_sent(
    desk: Desk, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SUPPORT_DESK_ORDERS", f"sqlite:///{tmp_path}/nowhere/orders.db")
    for tool, args in (("get_order", {}), ("issue_refund", {"amount_cents": 1})):
        error = await sorted_error(desk[tool], call, {"order_id": "1042", **args})
        assert error.certainty is Certainty.NOT_SENT


async def test_refund_is_booked_when_the_transaction_commits(
    desk: Desk, call: Call, services: Services, new_order: NewOrder
) -> None:
    order = await new_order(total_cents=250_00)
    book = desk["mark_order_refunded"]
    async with transaction(services, call) as inside:
        booked = await book.send(inside, {"order_id": order.id, "amount_cents": 100_00})
    assert booked == {
        "order_id": order.id,
        "status": "partly_refunded",
        "refunded_cents": 100_00,
        "refunded_text": "100.00 EUR",
    }
    async with transaction(services, call) as inside:
        await book.send(inside, {"order_id": order.id, "amount_cents": 150_00})
    entry = services.orders.find(order.id)
    assert (entry.status, entry.refunded_cents) == ("refunded", 250_00)


async def test_booking_is_undone_with_its_transaction(
    desk: Desk, call: Call, services: Services, new_order: NewOrder
) -> None:
    order = await new_order()
    book = desk["mark_order_refunded"]

    async def book_and_fail() -> None:
        async with transaction(services, call) as inside:
            await book.send(inside, {"order_id": order.id, "amount_cents": 1_00})
            raise NotSent("the receipt could not be written")

    with pytest.raises(NotSent):
        await book_and_fail()
    assert services.orders.find(order.id).refunded_cents == 0


@pytest.mark.parametrize(
    ("case", "amount_cents", "code"),
    [
        ({"total_cents": 50_00}, 50_01, "exceeds_total"),
        ({"total_cents": 50_00, "refunded_cents": 50_00}, 1, "exceeds_total"),
        ({"is_paid": False}, 1, "not_paid"),
    ],
    ids=["more than was paid", "all is booked already", "unpaid"],
)
async def test_booking_that_does_not_fit_is_refused(
    book: Book, new_order: NewOrder, case: dict[str, int], amount_cents: int, code: str
) -> None:
    order = await new_order(**case)
    with pytest.raises(Refused) as refusal:
        await book(order.id, amount_cents)
    assert refusal.value.code == code


async def test_refused_booking_changes_nothing(book: Book, new_order: NewOrder, services: Services) -> None:
    order = await new_order(total_cents=50_00)
    await book(order.id, 20_00)
    with pytest.raises(Refused, match=r"only 30\.00 EUR are left"):
        await book(order.id, 30_01)
    entry = services.orders.find(order.id)
    assert (entry.status, entry.refunded_cents) == ("partly_refunded", 20_00)


async def test_booking_on_an_unknown_order_is_refused(book: Book) -> None:
    with pytest.raises(Refused, match="no order 9999"):
        await book("9999", 1)
