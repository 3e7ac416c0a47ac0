"""The shop's own database: a few orders in SQLite, and how each of them came about."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from core.record import Record

_SCHEMA = """
create table customers (id text primary key, name text not null, email text not null);
create table orders (
    id text primary key,
    customer_id text not null references customers (id),
    item text not null,
    status text not null check (status in ('placed', 'paid', 'partly_refunded', 'refunded')),
    currency text not null,
    total_cents integer not null check (total_cents > 0),
    refunded_cents integer not null default 0 check (refunded_cents between 0 and total_cents),
    payment_intent text
);
"""


class Customer(Record):
    """Somebody who bought something."""

    id: str
    name: str
    email: str


class SeedOrder(Record):
    """One order to begin with; amounts in minor units. `is_paid`: the provider took the money."""

    id: str
    customer: Customer
    item: str
    total_cents: int
    currency: str = "eur"
    is_paid: bool = True
    refunded_cents: int = 0

    @property
    def status(self) -> str:
        """The order's status in the shop."""
        if not self.is_paid:
            return "placed"
        return "refunded" if self.refunded_cents == self.total_cents else "paid"


SEED = (
    SeedOrder(
        id="1042",
        customer=Customer(id="c-101", name="Ada Marten", email="ada.marten@example.com"),
        item="Espresso machine",
        total_cents=250_00,
    ),
    SeedOrder(
        id="1043",
        customer=Customer(id="c-102", name="Ben Okafor", email="ben.okafor@example.com"),
        item="Milk jug",
        total_cents=40_00,
    ),
    SeedOrder(
        id="1044",
        customer=Customer(id="c-103", name="Clara Voss", email="clara.voss@example.com"),
        item="Coffee grinder",
        total_cents=99_00,
        refunded_cents=99_00,
    ),
    SeedOrder(
        id="1045",
        customer=Customer(id="c-104", name="Dev Rao", email="dev.rao@example.com"),
        item="Gift box",
        total_cents=60_00,
        is_paid=False,
    ),
)
"""One to refund with an approval, a small one, one that was refunded long ago, and one that nobody has paid."""


class Orders:
    """The database file. `url` is what the agent's tools are given."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    @property
    def url(self) -> str:
        """SQLAlchemy's URL of the file."""
        return f"sqlite:///{self.path}"

    def create(self, payment_intents: Mapping[str, str]) -> None:
        """Write the seed; `payment_intents` maps order ids to what the provider calls their payments."""
        connection = sqlite3.connect(self.path)
        try:
            connection.executescript(_SCHEMA)
            for order in SEED:
                _insert(connection, order, payment_intents.get(order.id))
            connection.commit()
        finally:
            connection.close()

    def refunded_cents(self, order_id: str) -> int:
        """Return how much of an order is booked as refunded, in minor units."""
        connection = sqlite3.connect(self.path)
        try:
            row = connection.execute("select refunded_cents from orders where id = ?", (order_id,)).fetchone()
        finally:
            connection.close()
        return int(row[0])


def _insert(connection: sqlite3.Connection, order: SeedOrder, payment_intent: str | None) -> None:
    who = order.customer
    connection.execute("insert into customers values (?, ?, ?)", (who.id, who.name, who.email))
    connection.execute(
        "insert into orders values (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            order.id,
            who.id,
            order.item,
            order.status,
            order.currency,
            order.total_cents,
            order.refunded_cents,
            payment_intent,
        ),
    )
