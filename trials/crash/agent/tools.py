"""One tool for each kind of effect, and two keyed ones whose provider forgets the key soon."""

# ruff: noqa: INP001 - an agent is a folder, loaded by path

from collections.abc import Callable
from typing import Any

from sqlalchemy import text

from tools import Call, Refused, tool

from .wire import ask

TIMEOUT = "3s"  # so a mark's lease is over after 5 s, like that of a claim
SETTLE = "1s"
WINDOW = "8s"  # half of it is over before the lease of a send is: it is never sent again with the same key
CAP = 100_000  # bytes; the provider's "big" answer has three times as many


class Odd:
    """What no JSON can hold."""


async def do(kind: str, ref: str, call: Call, **wish: Any) -> Any:
    """Have the provider do something."""
    status, body = await ask("POST", f"/do/{kind}/{ref}", call.key, {"key": call.key, **wish})
    match status:
        case 200:
            return Odd() if "odd" in body else body
        case 422:
            raise Refused("not_possible", "the provider says that this is not possible")
        case 412:
            raise Refused("http_412", "somebody changed it meanwhile")
    raise ConnectionError(f"the provider answered {status}")


async def find(call: Call, args: Any) -> Any:
    """Ask the provider whether it has the call's key."""
    _, body = await ask("GET", f"/find/{args.ref}?key={call.key}", call.key)
    return {"id": call.key} if body["found"] else None


@tool(effect="read", timeout=TIMEOUT, result_cap=CAP)
async def look_up(call: Call, ref: str) -> Any:
    """Read something."""
    return await do("read", ref, call)


@tool(effect="transactional", database="CRASH_BOOKS", timeout=TIMEOUT, settle_time=SETTLE, result_cap=CAP)
async def book(call: Call, ref: str) -> Any:
    """Write a line into our own database; the provider is asked in the middle of the transaction."""
    await call.connection.execute(text("INSERT INTO bookings (ref) VALUES (:ref)"), {"ref": ref})
    return await do("transactional", ref, call)


@tool(effect="idempotent", timeout=TIMEOUT, settle_time=SETTLE, result_cap=CAP)
async def set_value(call: Call, ref: str, version: int) -> Any:
    """Set a value, given that it still has the version that we know."""
    return await do("idempotent", ref, call, value=f"of {call.task_id}", version=version)


@tool(effect="keyed", key_window="24h", timeout=TIMEOUT, settle_time=SETTLE, result_cap=CAP)
async def pay(call: Call, ref: str) -> Any:
    """Pay at a provider that knows keys."""
    return await do("keyed", ref, call)


@tool(effect="probed", timeout=TIMEOUT, settle_time=SETTLE, result_cap=CAP)
async def refund(call: Call, ref: str) -> Any:
    """Refund at a provider that knows no keys, and can be asked."""
    return await do("probed", ref, call)


@tool(effect="unrepeatable", timeout=TIMEOUT, settle_time=SETTLE, result_cap=CAP)
async def tell(call: Call, ref: str) -> Any:
    """Tell somebody, once."""
    return await do("unrepeatable", ref, call)


@tool(effect="keyed", key_window=WINDOW, timeout=TIMEOUT, settle_time=SETTLE, result_cap=CAP)
async def pay_briefly(call: Call, ref: str) -> Any:
    """Pay at a provider that has forgotten the key whenever it is asked again."""
    return await do("brief", ref, call)


@tool(effect="keyed", key_window=WINDOW, timeout=TIMEOUT, settle_time=SETTLE, result_cap=CAP)
async def pay_briefly_and_look(call: Call, ref: str) -> Any:
    """Pay as `pay_briefly` does; this provider can be asked."""
    return await do("brief", ref, call)


_PROBED: tuple[Callable[..., Any], ...] = (refund.probe(find), pay_briefly_and_look.probe(find))
