"""All services of the demo together: started, described to the worker, counted, and stopped.

::

    async with Services.running(Path("var/demo/1")) as services:
        worker = start_worker(environment=services.environment())
        hold = services.proxy.hold_next_refund()
        await hold.taken(within=timedelta(seconds=60))    # the money has moved, the answer is held
        os.kill(worker.pid, signal.SIGKILL)
        hold.drop()
        ...
        counts = await services.counts("1042")            # refunds=1, refunded_cents=25000, emails=1, notes=1
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from core.errors import CallerError
from core.record import Record
from demo.crm import Crm
from demo.mailbox import Mailbox
from demo.orders import SEED, Orders, SeedOrder
from demo.payments import API_KEY, Payments
from demo.proxy import HoldingProxy

SENDER = "Support <support@shop.example>"


class Counts(Record):
    """What the services themselves hold about one order. `booked_cents` is the shop's own books."""

    refunds: int
    refunded_cents: int
    emails: int
    notes: int
    booked_cents: int


@dataclass(frozen=True, slots=True)
class Services:
    """The running services. `proxy` stands before `payments`."""

    payments: Payments
    proxy: HoldingProxy
    mailbox: Mailbox
    crm: Crm
    orders: Orders

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path) -> AsyncIterator["Services"]:
        """Start everything with its files in `folder` (new or empty) and stop it at the end.

        Raises CallerError when the folder holds something, NotStarted when a program does not get ready. What runs as a
        process of its own ends with ours, even when ours is killed.
        """
        folder = _empty(folder)
        async with AsyncExitStack() as stack:
            payments, crm = await _start_programs(folder, stack)
            proxy = await HoldingProxy(payments.url).start()
            stack.push_async_callback(proxy.stop)
            mailbox = await Mailbox(folder / "mail").start()
            stack.push_async_callback(mailbox.stop)
            orders = Orders(folder / "orders.db")
            orders.create()
            services = cls(payments, proxy, mailbox, crm, orders)
            for order in SEED:
                await services.place(order)
            yield services

    async def place(self, order: SeedOrder) -> None:
        """Let a customer order something and, unless it says otherwise, pay for it."""
        self.orders.add(order, await self.payments.take(order) if order.is_paid else None)

    def environment(self) -> dict[str, str]:
        """Return the environment variables that the tools of `support_desk` need, for the worker."""
        return {
            "STRIPE_API_KEY": API_KEY,
            "STRIPE_API_BASE": self.proxy.url,
            "SUPPORT_DESK_ORDERS": self.orders.url,
            "SUPPORT_DESK_SMTP": self.mailbox.url,
            "SUPPORT_DESK_FROM": SENDER,
            "SUPPORT_DESK_CRM": self.crm.url,
            "SUPPORT_DESK_CRM_TOKEN": self.crm.token,
        }

    async def counts(self, order_id: str) -> Counts:
        """Count at the services what was done about an order."""
        entry = self.orders.find(order_id)
        refunds = await self.payments.refunds(entry.payment_intent) if entry.payment_intent else []
        return Counts(
            refunds=len(refunds),
            refunded_cents=sum(refund.amount_cents for refund in refunds),
            emails=len(self.mailbox.messages(to=entry.email)),
            notes=len(await self.crm.notes(order_id)),
            booked_cents=entry.refunded_cents,
        )


def _empty(folder: Path) -> Path:
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise CallerError(f"{folder} is not empty: give the demo's services a folder of their own")
    return folder


async def _start_programs(folder: Path, stack: AsyncExitStack) -> tuple[Payments, Crm]:
    """Start the two slow ones at the same time; whichever started is stopped if the other did not."""
    payments = asyncio.ensure_future(Payments.start(folder))
    crm = asyncio.ensure_future(Crm.start(folder))
    for started in await asyncio.gather(payments, crm, return_exceptions=True):
        if not isinstance(started, BaseException):
            stack.push_async_callback(started.stop)
    return payments.result(), crm.result()
