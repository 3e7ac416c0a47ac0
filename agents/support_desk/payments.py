"""Refunds at the payment provider, with Stripe's SDK (STRIPE_API_KEY; STRIPE_API_BASE for another server).

The effect is *probed*: our key goes into the refund's metadata, and the list of refunds tells whether it is there. The
key is also sent as Stripe's idempotency key. Stripe honours that one for 24 hours; the probe holds for ever, and with
servers that ignore it too.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import stripe
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from tools import Call, FreeText, Refused, tool

from .money import amount_text
from .orders import Order, OrderId, find_order
from .settings import setting

KEY_FIELD = "lastmile_key"
"""Where in a refund's metadata our key stands."""

_REQUEST_S = 10.0
"""Seconds that one request may take; a send makes one, so it ends before the tool's own deadline."""

_NO_MONEY_MOVES = frozenset({"failed", "canceled"})
"""States in which a refund gave nothing back (docs.stripe.com/refunds)."""


class Refund(BaseModel):
    """A refund as the provider took it; the amount in minor units and as text."""

    model_config = ConfigDict(frozen=True)

    refund_id: str
    order_id: str
    amount_cents: int
    amount_text: str
    currency: str
    status: str


@tool(effect="probed", timeout="15s", settle_time="5s", approve_hint="refund {amount_cents} cents on order {order_id}")
async def issue_refund(
    call: Call,
    order_id: OrderId,
    amount_cents: PositiveInt,
    reason: Annotated[FreeText, Field(max_length=500, description="Why, in a few words, for the books")] = "",
) -> Refund:
    """Give money back for a paid order, to the card it was paid with; all of it or a part, in cents."""
    order = await find_order(order_id)
    async with _provider() as api:
        refund = await api.refunds.create_async(
            {
                "payment_intent": _payment_of(order),
                "amount": amount_cents,
                "metadata": {KEY_FIELD: call.key, "task_id": call.task_id, "reason": reason},
            },
            {"idempotency_key": call.key},
        )
    return _described(refund, order)


@issue_refund.preflight
async def look_up_what_is_left(call: Call, order_id: str, amount_cents: int) -> dict[str, Any]:
    """Find out at the provider what was paid and refunded. A refund under this call's own key does not count.

    So the answer is the same before and after the refund was taken. Raises Refused when it cannot be refunded.
    """
    order = await find_order(order_id)
    async with _provider() as api:
        payment = await api.payment_intents.retrieve_async(_payment_of(order))
        refunded = [refund async for refund in _refunds(api, order) if _key_of(refund) != call.key]
    if payment.status != "succeeded":
        raise _not_paid(order)
    already = sum(refund.amount for refund in refunded if refund.status not in _NO_MONEY_MOVES)
    _check_amount(order, amount_cents, payment.amount - already)
    return _facts(order, amount_cents, payment.amount, already)


@issue_refund.verify
async def is_as_asked(call: Call, args: Any, result: Any) -> bool:
    """Read the refund back: it is ours, of the right amount, and has not failed."""
    if not isinstance(result, Refund):
        return False
    async with _provider() as api:
        found = await api.refunds.retrieve_async(result.refund_id)
    return found.amount == args.amount_cents and found.status not in _NO_MONEY_MOVES and _key_of(found) == call.key


@issue_refund.probe
async def find_by_key(call: Call, args: Any) -> Refund | None:
    """Look for the refund that carries this call's key."""
    order = await find_order(args.order_id)
    async with _provider() as api:
        async for refund in _refunds(api, order):
            if _key_of(refund) == call.key:
                return _described(refund, order)
    return None


@asynccontextmanager
async def _provider() -> AsyncIterator[Any]:
    """Open the SDK for one call; without retries of its own, which would hide what was sent."""
    key = setting("STRIPE_API_KEY", "the payment provider's secret key")
    base = os.environ.get("STRIPE_API_BASE", "").strip() or stripe.DEFAULT_API_BASE
    http = stripe.HTTPXClient(timeout=_REQUEST_S, verify_ssl_certs=base.startswith("https:"))
    try:
        yield stripe.StripeClient(key, base_addresses={"api": base}, max_network_retries=0, http_client=http).v1
    finally:
        await http.close_async()  # type: ignore[no-untyped-call]


async def _refunds(api: Any, order: Order) -> AsyncIterator[stripe.Refund]:
    found = await api.refunds.list_async({"payment_intent": _payment_of(order), "limit": 100})
    async for refund in found.auto_paging_iter():
        yield refund


def _key_of(refund: stripe.Refund) -> str | None:
    return refund.metadata.to_dict().get(KEY_FIELD) if refund.metadata else None


def _described(refund: stripe.Refund, order: Order) -> Refund:
    return Refund(
        refund_id=refund.id,
        order_id=order.order_id,
        amount_cents=refund.amount,
        amount_text=amount_text(refund.amount, refund.currency),
        currency=refund.currency,
        status=refund.status or "unknown",
    )


def _payment_of(order: Order) -> str:
    if order.payment_intent is None:
        raise _not_paid(order)
    return order.payment_intent


def _not_paid(order: Order) -> Refused:
    return Refused("not_paid", f"order {order.order_id} has not been paid, so there is nothing to refund")


def _check_amount(order: Order, amount_cents: int, remainder_cents: int) -> None:
    if remainder_cents <= 0:
        raise Refused("already_refunded", f"order {order.order_id} has been refunded completely")
    if amount_cents > remainder_cents:
        asked, left = amount_text(amount_cents, order.currency), amount_text(remainder_cents, order.currency)
        raise Refused(
            "exceeds_remainder", f"{asked} is more than the {left} that can still be refunded on order {order.order_id}"
        )


def _facts(order: Order, amount_cents: int, paid_cents: int, already_cents: int) -> dict[str, Any]:
    return {
        "customer": order.customer.name,
        "item": order.item,
        "amount": amount_text(amount_cents, order.currency),
        "paid": amount_text(paid_cents, order.currency),
        "already_refunded": amount_text(already_cents, order.currency),
        "paid_cents": paid_cents,
        "already_refunded_cents": already_cents,
        "remainder_cents": paid_cents - already_cents,
    }
