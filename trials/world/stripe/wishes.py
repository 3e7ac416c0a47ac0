"""What is to be refunded: most orders once, some in two parts at once, some by two who cannot both be right."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

PAID_CENTS = 100_00
"""What every order cost."""


class Kind(StrEnum):
    """How many wishes there are for one order, and how many of them are right."""

    SINGLE = "single"
    PARTS = "parts"
    CONTESTED = "contested"


@dataclass(frozen=True, slots=True)
class Wish:
    """One refund that somebody wants; `id` is that of the task."""

    id: str
    order_id: str
    amount_cents: int
    kind: Kind


def wishes(prefix: str, refunds: int) -> Sequence[Wish]:
    """Write so many wishes that `refunds` of them can be fulfilled: a fifth in parts, a tenth contested.

    Two wishes of 60.00 for a contested order of 100.00 cannot both be fulfilled.
    """
    tenth = refunds // 10
    kinds = [Kind.PARTS] * tenth + [Kind.CONTESTED] * tenth
    kinds += [Kind.SINGLE] * (refunds - 3 * tenth)
    return [one for number, kind in enumerate(kinds) for one in _of_order(f"{prefix}{number:04d}", kind)]


def _of_order(order_id: str, kind: Kind) -> Sequence[Wish]:
    match kind:
        case Kind.SINGLE:
            amounts: tuple[int, ...] = (60_00,)
        case Kind.PARTS:
            amounts = (60_00, 40_00)
        case Kind.CONTESTED:
            amounts = (60_00, 60_00)
    return [Wish(f"refund-{order_id}-{place}", order_id, amount, kind) for place, amount in enumerate(amounts, start=1)]
