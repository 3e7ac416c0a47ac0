"""What the provider itself has: how often each order was refunded, and how much."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from demo.payments import Payment
from trials.world.stripe.wishes import PAID_CENTS, Kind, Wish


@dataclass(slots=True)
class Judged:
    """Orders for each thing that is not as it should be; `refunds` that should be there, `orders` in all.

    ``twice``: an entry for each refund too many; ``missing``: for each that is not there.
    """

    orders: int = 0
    refunds: int = 0
    twice: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)


def judge(wishes: Sequence[Wish], refunds: Mapping[str, Sequence[Payment]]) -> Judged:
    """Compare what was wanted with what was done."""
    found = Judged()
    for order_id, wanted in groupby(wishes, key=lambda wish: wish.order_id):
        _compare(order_id, list(wanted), [one.amount_cents for one in refunds[order_id]], found)
    return found


def _compare(order_id: str, wanted: Sequence[Wish], done: Sequence[int], found: Judged) -> None:
    right = list(_right(wanted))
    found.orders += 1
    found.refunds += len(right)
    for amount in set(right) | set(done):
        surplus = list(done).count(amount) - right.count(amount)
        found.twice += [order_id] * surplus
        found.missing += [order_id] * -surplus
    if sum(done) > PAID_CENTS:
        found.beyond.append(f"{order_id}: {sum(done) / 100:.2f} of {PAID_CENTS / 100:.2f}")


def _right(wanted: Sequence[Wish]) -> Iterator[int]:
    """Say which amounts may be refunded: of a contested order, one."""
    for place, wish in enumerate(wanted):
        if wish.kind is not Kind.CONTESTED or place == 0:
            yield wish.amount_cents
