"""The naive way: the same call of the same SDK, made again with a fresh idempotency key until an answer comes."""

import asyncio
import uuid
from collections.abc import Mapping, Sequence

import stripe

from demo.payments import API_KEY
from trials.world.stripe.wishes import Wish

_AT_ONCE = 6
_REQUEST_S = 10.0


async def refund_all(url: str, wishes: Sequence[Wish], intents: Mapping[str, str]) -> None:
    """Fulfil all wishes, some side by side."""
    http = stripe.HTTPXClient(timeout=_REQUEST_S)
    api = stripe.StripeClient(API_KEY, base_addresses={"api": url}, max_network_retries=0, http_client=http)
    gate = asyncio.Semaphore(_AT_ONCE)
    try:
        await asyncio.gather(*(_refund(api, gate, wish, intents[wish.order_id]) for wish in wishes))
    finally:
        await http.close_async()  # type: ignore[no-untyped-call]


async def _refund(api: stripe.StripeClient, gate: asyncio.Semaphore, wish: Wish, intent: str) -> None:
    async with gate:
        while True:
            try:
                await api.v1.refunds.create_async(
                    {"payment_intent": intent, "amount": wish.amount_cents, "metadata": {"task_id": wish.id}},
                    {"idempotency_key": str(uuid.uuid4())},
                )
            except stripe.APIConnectionError:
                continue
            return
