"""The payment provider: localstripe as a process of its own, filled and counted with the official SDK."""

import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import stripe
from stripe.params import PaymentMethodCreateParamsCard

from core.record import Record
from demo.child import READY_S, Child
from demo.orders import SeedOrder

API_KEY = "sk_test_demo"
"""localstripe takes every secret key; a real one must never be sent to it."""

_SERVER = Path(__file__).with_name("localstripe_server.py")
_CARD: PaymentMethodCreateParamsCard = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2099, "cvc": "123"}


class Payment(Record):
    """One refund as the provider has it; the amount is in minor units."""

    id: str
    amount_cents: int
    currency: str
    status: str
    lastmile_key: str = ""


class Payments:
    """A running provider at `url`."""

    def __init__(self, child: Child, url: str) -> None:
        self.child, self.url = child, url
        self._http = stripe.HTTPXClient(timeout=READY_S)
        self._stripe = stripe.StripeClient(
            API_KEY, base_addresses={"api": url}, max_network_retries=0, http_client=self._http
        )

    @classmethod
    async def start(cls, folder: Path) -> Self:
        """Start the provider on a free port, and wait until it answers. Raises NotStarted."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            command = [sys.executable, str(_SERVER), str(listening.fileno())]
            child = Child("localstripe", command, folder / "payments.log", pass_fds=[listening.fileno()])
            payments = cls(child, f"http://127.0.0.1:{listening.getsockname()[1]}")
        try:
            await child.ready(payments.answers)
        except BaseException:
            await payments.stop()
            raise
        return payments

    async def answers(self) -> bool:
        """Whether the provider takes requests."""
        try:
            await self._stripe.v1.customers.list_async({"limit": 1})
        except stripe.APIConnectionError:
            return False
        return True

    async def take(self, order: SeedOrder) -> str:
        """Take the payment of an order, and give back what was refunded long ago. Return the payment's id."""
        intent = await self._charge(order)
        if order.refunded_cents:
            await self._stripe.v1.refunds.create_async({"payment_intent": intent, "amount": order.refunded_cents})
        return intent

    async def _charge(self, order: SeedOrder) -> str:
        api = self._stripe.v1
        customer = await api.customers.create_async({"name": order.customer.name, "email": order.customer.email})
        method = await api.payment_methods.create_async({"type": "card", "card": {**_CARD}})
        await api.payment_methods.attach_async(method.id, {"customer": customer.id})
        intent = await api.payment_intents.create_async(
            {
                "amount": order.total_cents,
                "currency": order.currency,
                "customer": customer.id,
                "payment_method": method.id,
                "confirm": True,
                "metadata": {"order_id": order.id},
            }
        )
        return intent.id

    async def refunds(self, payment_intent: str) -> Sequence[Payment]:
        """Ask the provider for all refunds of a payment, newest first."""
        found = await self._stripe.v1.refunds.list_async({"payment_intent": payment_intent, "limit": 100})
        return [_payment(refund) async for refund in found.auto_paging_iter()]

    async def stop(self) -> None:
        """End the process."""
        await self._http.close_async()  # type: ignore[no-untyped-call]
        await self.child.stop()


def _payment(refund: stripe.Refund) -> Payment:
    return Payment(
        id=refund.id,
        amount_cents=refund.amount,
        currency=refund.currency,
        status=refund.status or "",
        lastmile_key=(refund.metadata.to_dict() if refund.metadata else {}).get("lastmile_key", ""),
    )
