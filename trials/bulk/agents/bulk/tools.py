# ruff: noqa: INP001, ARG001 - an agent is a folder, loaded by path; a tool declares what it does not use
"""Tools of the trials in bulk. Every write tells the trial's counter before it answers."""

import json
import os

import aiohttp
from pydantic import BaseModel, ConfigDict

from core.record import Json
from tools import Call, tool


class Customer(BaseModel):
    """Who ordered."""

    model_config = ConfigDict(extra="forbid")

    email: str
    tags: list[str]


class Order(BaseModel):
    """What a look-up finds."""

    model_config = ConfigDict(extra="forbid")

    order_id: str
    total_cents: int
    is_paid: bool
    customer: Customer


class Payment(BaseModel):
    """What a payment answers."""

    model_config = ConfigDict(extra="forbid")

    payment_id: str
    amount_cents: int


async def count(what: str, call: Call) -> int:
    """Tell the counter."""
    body = {"what": what, "task": call.task_id, "key": call.key, "pid": os.getpid()}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{os.environ['TRIAL_COUNTER']}/count", json=body) as answer,
    ):
        return int((await answer.json())["number"])


@tool(effect="read")
async def look_up(call: Call, order_id: str) -> Order:
    """Look an order up."""
    customer = Customer(email="jane@example.org", tags=["new"])
    return Order(order_id=order_id, total_cents=25_000, is_paid=True, customer=customer)


@tool(effect="read")
async def step_on(call: Call, number: int) -> dict[str, int]:
    """Read nothing, and say so."""
    return {"number": number}


@tool(effect="read", timeout="60s")
async def measure(call: Call, value: Json) -> int:
    """Say how many bytes of JSON a value has."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


@tool(effect="keyed", key_window="24h")
async def pay(call: Call, order_id: str, amount_cents: int) -> Payment:
    """Pay money back."""
    await count("pay", call)
    return Payment(payment_id=f"p-{order_id}", amount_cents=amount_cents)


@tool(effect="unrepeatable")
async def mail(call: Call, to: str, lines: list[str], urgent: bool = False) -> str:
    """Send a mail."""
    await count("mail", call)
    return to


@tool(effect="keyed", key_window="24h")
async def note(call: Call, text: str) -> int:
    """Write a note."""
    await count("note", call)
    return len(text)


@tool(effect="keyed", key_window="24h")
async def grant(call: Call, amount_cents: int) -> int:
    """Grant money; five people are asked."""
    await count("grant", call)
    return amount_cents


@tool(effect="keyed", key_window="24h", timeout="60s")
async def fetch(call: Call, size: int) -> str:
    """Do something whose answer has so many bytes of JSON (two are the quotes; 0 and 1: so many of text)."""
    await count("fetch", call)
    return "x" * (size if size < 2 else size - 2)
