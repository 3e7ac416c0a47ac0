# ruff: noqa: INP001, ARG001 - an agent is a folder, loaded by path; a tool declares what it does not use
"""Tools that stop where a trial closes a gate: before the mark, in mid effect, and when `conclude` reads back."""

import os
from collections.abc import Mapping

import aiohttp

from core.record import Json
from tools import Call, tool


async def tell(what: str, call: Call) -> bool:
    """Tell the counter; it says yes, or no."""
    body = {"what": what, "task": call.task_id, "key": call.key, "pid": os.getpid()}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{os.environ['TRIAL_COUNTER']}/count", json=body) as answer,
    ):
        return bool((await answer.json())["ok"])


@tool(effect="keyed", key_window="24h", timeout="2s")
async def grant(call: Call, amount_cents: int) -> int:
    """Grant money; a person is asked."""
    await tell("grant", call)
    return amount_cents


@tool(effect="keyed", key_window="24h", timeout="2s")
async def pay(call: Call, amount_cents: int) -> int:
    """Pay; the provider honours the key."""
    await tell("pay", call)
    return amount_cents


@tool(effect="keyed", key_window="24h", timeout="2s")
async def ship(call: Call, order_id: str) -> str:
    """Ship an order, once it is known to exist."""
    await tell("ship", call)
    return order_id


@ship.preflight
async def _(call: Call, order_id: str) -> dict[str, Json]:
    await tell("preflight", call)
    return {"order_id": order_id}


@tool(effect="keyed", key_window="24h", timeout="2s")
async def book(call: Call, order_id: str) -> str:
    """Book an order; the books are slow to show it."""
    await tell("book", call)
    return order_id


@book.verify
async def _(call: Call, args: Mapping[str, Json], result: Json) -> bool:
    return await tell("verify", call)
