"""Tools of a small shop that count, at their own side, what really happened."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tools import Call, NotSent, Refused, tool
from tools.declaration import Declaration


@dataclass
class Shop:
    """Each effect is counted by tool and by key. Tests set how the next calls behave.

    ``refuse``, ``down``: tools that answer with a definite no, or are not to be reached. ``lost``: tools whose effect
    happens and whose answer is lost. ``gate``: while it is closed, `pay` waits in the middle of sending.
    """

    looked: int = 0
    keys: Counter[str] = field(default_factory=Counter)
    effects: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    refuse: set[str] = field(default_factory=set)
    down: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    sending: asyncio.Event = field(default_factory=asyncio.Event)
    blob_bytes: int = 3_000_000

    def __post_init__(self) -> None:
        self.gate.set()

    def done(self, name: str) -> int:
        """Count what a tool did."""
        return sum(tool_name == name for tool_name, _ in self.effects)

    async def _do(self, call: Call, name: str, **args: Any) -> dict[str, Any]:
        if name in self.refuse:
            raise Refused("not_possible", f"{name} is not possible")
        if name in self.down:
            raise NotSent(f"{name} is not to be reached", retry_after=0.01)
        self.sending.set()
        await self.gate.wait()
        self.keys[call.key] += 1
        self.effects.append((name, args))
        if name in self.lost:
            raise TimeoutError("the answer was lost")
        return {"id": f"{name}-{len(self.effects)}", **args}

    @property
    def tools(self) -> list[Declaration]:
        """All tools, for an agent."""
        return [self.look, self.pay, self.pay_elsewhere, self.mail, self.note, self.report, self.measure]

    @property
    def look(self) -> Declaration:
        @tool(effect="read")
        async def look(call: Call, order_id: str) -> dict[str, Any]:
            """Look an order up."""
            self.looked += 1
            return {"order_id": order_id, "total": 25000, "customer": {"email": "jane@example.org"}}

        return look

    @property
    def pay(self) -> Declaration:
        @tool(effect="keyed", key_window="24h", timeout="20s", attempts=2, fallback="pay_elsewhere")
        async def pay(call: Call, order_id: str, amount: int) -> dict[str, Any]:
            """Pay money back."""
            return await self._do(call, "pay", order_id=order_id, amount=amount)

        return pay

    @property
    def pay_elsewhere(self) -> Declaration:
        @tool(effect="keyed", key_window="24h", attempts=2)
        async def pay_elsewhere(call: Call, order_id: str, amount: int) -> dict[str, Any]:
            """Pay money back in another way."""
            return await self._do(call, "pay_elsewhere", order_id=order_id, amount=amount)

        return pay_elsewhere

    @property
    def mail(self) -> Declaration:
        @tool(effect="unrepeatable", attempts=2)
        async def mail(call: Call, to: str, body: str) -> dict[str, Any]:
            """Send a mail."""
            return await self._do(call, "mail", to=to, body=body)

        return mail

    @property
    def note(self) -> Declaration:
        @tool(effect="idempotent", attempts=2)
        async def note(call: Call, text: str) -> dict[str, Any]:
            """Write a note."""
            return await self._do(call, "note", text=text)

        return note

    @property
    def report(self) -> Declaration:
        @tool(effect="keyed", key_window="24h")
        async def report(call: Call, text: str = "") -> dict[str, Any]:
            """Write a report, and get all of it back."""
            await self._do(call, "report", text=text)
            return {"title": "report", "body": "x" * self.blob_bytes}

        return report

    @property
    def book(self) -> Declaration:
        @tool(effect="keyed", key_window="24h", attempts=2)
        async def book(call: Call, room: str) -> dict[str, Any]:
            """Book a room."""
            return await self._do(call, "book", room=room)

        @book.undo(effect="keyed")
        async def unbook(call: Call, args: Any, result: Any) -> dict[str, Any]:
            return await self._do(call, "unbook", booking=result["id"])

        return book

    @property
    def price(self) -> Declaration:
        @tool(effect="read", fresh_for="2s")
        async def price(call: Call, order_id: str) -> dict[str, Any]:
            """Say what an order costs now."""
            self.looked += 1
            return {"order_id": order_id, "total": 25000}

        return price

    @property
    def ring(self) -> Declaration:
        @tool(effect="unrepeatable", timeout="1s", attempts=2)
        async def ring(call: Call, bell: str) -> dict[str, Any]:
            """Ring a bell."""
            return await self._do(call, "ring", bell=bell)

        return ring

    @property
    def measure(self) -> Declaration:
        @tool(effect="read")
        async def measure(call: Call, text: str) -> int:
            """Measure a text."""
            return len(text)

        return measure
