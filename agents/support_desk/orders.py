"""The shop's own database (SUPPORT_DESK_ORDERS): look an order up, and book a refund in it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from sqlalchemy import NullPool, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tools import Call, NotSent, Refused, tool

from .money import amount_text
from .settings import setting

DATABASE = "SUPPORT_DESK_ORDERS"
_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}

OrderId = Annotated[str, Field(min_length=1, max_length=64, description="The order's number, such as 1042")]

_FIND = text("""
    select orders.id, orders.item, orders.status, orders.currency, orders.total_cents, orders.refunded_cents,
           orders.payment_intent, orders.customer_id, customers.name, customers.email
    from orders join customers on customers.id = orders.customer_id
    where orders.id = :order_id
""")

_BOOK = text("""
    update orders
    set refunded_cents = refunded_cents + :amount_cents,
        status = case when refunded_cents + :amount_cents = total_cents then 'refunded' else 'partly_refunded' end
    where id = :order_id and status in ('paid', 'partly_refunded') and refunded_cents + :amount_cents <= total_cents
    returning status, refunded_cents, currency
""")


class Customer(BaseModel):
    """Who bought."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    email: str


class Order(BaseModel):
    """One order. Amounts are in minor units; `total_text` is for people. `payment_intent` is None while unpaid."""

    model_config = ConfigDict(frozen=True)

    order_id: str
    item: str
    status: Literal["placed", "paid", "partly_refunded", "refunded"]
    currency: str
    total_cents: int
    total_text: str
    refunded_cents: int
    customer: Customer
    payment_intent: str | None


class Booking(BaseModel):
    """What the books say of an order after a refund was entered."""

    model_config = ConfigDict(frozen=True)

    order_id: str
    status: str
    refunded_cents: int
    refunded_text: str


@tool(effect="read", timeout="10s", fresh_for="15m")
async def get_order(call: Call, order_id: OrderId) -> Order:  # noqa: ARG001 - every tool is given its call
    """Look an order up: what was bought, paid and refunded (in cents), and the customer with e-mail address."""
    return await find_order(order_id)


@tool(
    effect="transactional",
    database=DATABASE,
    timeout="10s",
    approve_hint="book {amount_cents} cents as refunded on order {order_id}",
)
async def mark_order_refunded(call: Call, order_id: OrderId, amount_cents: PositiveInt) -> Booking:
    """Enter a refund that was issued in the shop's books: adds to the order's refunded amount and sets its status.

    It moves no money. Take the amount from the refund that was issued.
    """
    booked = await call.connection.execute(_BOOK, {"order_id": order_id, "amount_cents": amount_cents})
    row = booked.mappings().one_or_none()
    if row is None:
        raise _not_bookable(await _read(call.connection, order_id), order_id, amount_cents)
    return Booking(
        order_id=order_id,
        status=row["status"],
        refunded_cents=row["refunded_cents"],
        refunded_text=amount_text(row["refunded_cents"], row["currency"]),
    )


async def find_order(order_id: str) -> Order:
    """Read one order. Raises Refused when there is none, NotSent when the database cannot be read."""
    engine = _engine()
    try:
        async with engine.connect() as connection:
            row = await _read(connection, order_id)
    except (SQLAlchemyError, OSError) as error:
        raise NotSent(f"the orders database cannot be read: {type(error).__name__}") from error
    finally:
        await engine.dispose()
    if row is None:
        raise _no_such_order(order_id)
    return _order(row)


def _engine() -> AsyncEngine:
    try:
        url = make_url(setting(DATABASE, "the URL of the orders database"))
    except ArgumentError as error:
        raise Refused("not_configured", f"{DATABASE} is no database URL such as sqlite:///orders.db") from error
    return create_async_engine(url.set(drivername=_DRIVERS.get(url.drivername, url.drivername)), poolclass=NullPool)


async def _read(connection: Any, order_id: str) -> Mapping[str, Any] | None:
    found = await connection.execute(_FIND, {"order_id": order_id})
    row: Mapping[str, Any] | None = found.mappings().one_or_none()
    return row


def _order(row: Mapping[str, Any]) -> Order:
    return Order(
        order_id=row["id"],
        item=row["item"],
        status=row["status"],
        currency=row["currency"],
        total_cents=row["total_cents"],
        total_text=amount_text(row["total_cents"], row["currency"]),
        refunded_cents=row["refunded_cents"],
        customer=Customer(id=row["customer_id"], name=row["name"], email=row["email"]),
        payment_intent=row["payment_intent"],
    )


def _no_such_order(order_id: str) -> Refused:
    return Refused("order_not_found", f"there is no order {order_id}")


def _not_bookable(row: Mapping[str, Any] | None, order_id: str, amount_cents: int) -> Refused:
    if row is None:
        return _no_such_order(order_id)
    if row["status"] == "placed":
        return Refused("not_paid", f"order {order_id} has not been paid, so no refund can be booked on it")
    left = amount_text(row["total_cents"] - row["refunded_cents"], row["currency"])
    asked = amount_text(amount_cents, row["currency"])
    return Refused("exceeds_total", f"{asked} cannot be booked as refunded on order {order_id}: only {left} are left")
