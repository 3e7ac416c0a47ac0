"""The provider of the trial: localstripe, filled with paid orders, and mitmproxy before it, which loses answers."""

import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from demo.child import Child, free_port
from demo.orders import Customer, Orders, SeedOrder
from demo.payments import API_KEY, Payment, Payments
from trials.world.installed import program
from trials.world.stripe.wishes import PAID_CENTS, Wish

_ADDON = Path(__file__).with_name("losing.py")


@dataclass(slots=True)
class Losses:
    """The proxy at `url`; what it did with the answers to refunds stands in `log`."""

    url: str
    log: Path

    @property
    def fates(self) -> list[str]:
        """One word for each refund that the provider took: lost or passed."""
        return self.log.read_text("utf-8").split() if self.log.exists() else []

    @property
    def lost(self) -> int:
        """How many answers were lost."""
        return self.fates.count("lost")


@dataclass(frozen=True, slots=True)
class Shop:
    """`payments`: what the provider has, asked past the proxy. `intents`: its payments by order."""

    folder: Path
    payments: Payments
    orders: Orders
    intents: dict[str, str] = field(default_factory=dict)

    async def take(self, wishes: Sequence[Wish]) -> None:
        """Let somebody pay for each order."""
        for order_id in dict.fromkeys(wish.order_id for wish in wishes):
            customer = Customer(id=f"c-{order_id}", name="Ada Marten", email="ada.marten@example.com")
            order = SeedOrder(id=order_id, customer=customer, item="Coffee grinder", total_cents=PAID_CENTS)
            self.intents[order_id] = await self.payments.take(order)
            self.orders.add(order, self.intents[order_id])

    async def refunds(self, wishes: Sequence[Wish]) -> dict[str, Sequence[Payment]]:
        """Ask the provider for all refunds, by order."""
        ids = dict.fromkeys(wish.order_id for wish in wishes)
        return {order_id: await self.payments.refunds(self.intents[order_id]) for order_id in ids}

    @asynccontextmanager
    async def losing(self, name: str, share: float, seed: int) -> AsyncIterator[Losses]:
        """Have the proxy run. Raises NotInstalled, NotStarted."""
        port, log = free_port(), self.folder / f"{name}.fates"
        command = [str(program("mitmproxy", "mitmdump")), "-q", "--mode", f"reverse:{self.payments.url}"]
        command += ["--listen-host", "127.0.0.1", "-p", str(port), "-s", str(_ADDON)]
        command += ["--set", f"confdir={self.folder}"]
        environ = {**os.environ, "LOST_SHARE": str(share), "LOST_SEED": str(seed), "LOST_LOG": str(log)}
        child = Child("mitmproxy", command, self.folder / f"{name}.log", environ=environ)
        try:
            await child.ready(lambda: _listens(port))
            yield Losses(f"http://127.0.0.1:{port}", log)
        finally:
            await child.stop()

    def environ(self, losses: Losses) -> dict[str, str]:
        """Return what the tools of the support desk need to know."""
        return {"STRIPE_API_KEY": API_KEY, "STRIPE_API_BASE": losses.url, "SUPPORT_DESK_ORDERS": self.orders.url}


async def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@asynccontextmanager
async def shop(folder: Path) -> AsyncIterator[Shop]:
    """Open the shop with its files in `folder`. Raises NotStarted."""
    payments = await Payments.start(folder)
    try:
        orders = Orders(folder / "orders.db")
        orders.create()
        yield Shop(folder, payments, orders)
    finally:
        await payments.stop()
