"""What customers want, one order each, and what would be right."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from demo.orders import Customer, SeedOrder

FREE_CENTS = 100_00
"""What the agent's policy lets pass on one order without a person."""


class Kind(StrEnum):
    """What a request is about."""

    ALL = "all of a small order"
    PART = "a part"
    LARGE = "more than nobody has to approve"
    WHERE = "no refund at all"
    UNKNOWN = "an order that does not exist"


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `order` is None where there is no such order; `refund_cents`: what would be right."""

    task_id: str
    kind: Kind
    goal: str
    order_id: str
    order: SeedOrder | None
    refund_cents: int


def requests(count: int, seed: int) -> Iterator[Request]:
    """Yield requests of all kinds in turn."""
    dice = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    kinds = list(Kind)
    for number in range(count):
        yield _request(number, kinds[number % len(kinds)], dice)


def _request(number: int, kind: Kind, dice: random.Random) -> Request:
    order_id = f"{2000 + number}"
    total = dice.randrange(150_00, 400_00) if kind is Kind.LARGE else dice.randrange(20_00, 95_00)
    part = dice.randrange(5_00, total)
    goal, refund = _wish(kind, order_id, total, part)
    order = None if kind is Kind.UNKNOWN else _order(order_id, total)
    return Request(f"local-{number}", kind, goal, order_id, order, refund)


def _wish(kind: Kind, order_id: str, total: int, part: int) -> tuple[str, int]:
    match kind:
        case Kind.ALL | Kind.LARGE:
            return f"Refund order {order_id} completely; the customer sent everything back.", total
        case Kind.PART:
            return f"Refund {part / 100:.2f} of order {order_id}; one part arrived broken.", part
        case Kind.WHERE:
            return f"Where is order {order_id}?", 0
        case Kind.UNKNOWN:
            return f"Refund order {order_id}; it never came.", 0


def _order(order_id: str, total: int) -> SeedOrder:
    who = Customer(id=f"c-{order_id}", name=f"Customer {order_id}", email=f"c{order_id}@example.com")
    return SeedOrder(id=order_id, customer=who, item="Tea set", total_cents=total)
