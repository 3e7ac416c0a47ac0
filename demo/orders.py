"""The shop's own database: a few orders in SQLite, and how each of them came about."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
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

_INSERT = """
insert into orders values (:id, :customer_id, :item, :status, :currency, :total_cents, :refunded_cents, :intent)
"""

_FIND = """
select customers.email, orders.status, orders.refunded_cents, orders.payment_intent
from orders join customers on customers.id = orders.customer_id
where orders.id = :id
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


class Entry(Record):
    """What the shop's own books say of an order. `payment_intent`: what the provider calls its payment."""

    email: str
    status: str
    refunded_cents: int
    payment_intent: str | None


class Orders:
    """The database file. `url` is what the agent's tools are given."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    @property
    def url(self) -> str:
        """SQLAlchemy's URL of the file."""
        return f"sqlite:///{self.path}"

    def create(self) -> None:
        """Make the tables."""
        with self._open() as connection:
            connection.executescript(_SCHEMA)

    def add(self, order: SeedOrder, payment_intent: str | None) -> None:
        """Enter one order, and its customer."""
        who = order.customer
        row = {
            **order.model_dump(exclude={"customer", "is_paid"}),
            "customer_id": who.id,
            "status": order.status,
            "intent": payment_intent,
        }
        with self._open() as connection:
            connection.execute("insert or ignore into customers values (?, ?, ?)", (who.id, who.name, who.email))
            connection.execute(_INSERT, row)

    def find(self, order_id: str) -> Entry:
        """Read what the books say of an order."""
        with self._open() as connection:
            row = connection.execute(_FIND, {"id": order_id}).fetchone()
        email, status, refunded_cents, payment_intent = row
        return Entry(email=email, status=status, refunded_cents=refunded_cents, payment_intent=payment_intent)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            yield connection
