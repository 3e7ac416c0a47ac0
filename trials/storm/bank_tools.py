"""The tools of the storm's agents: one for each kind of effect, at the bank (STORM_BANK) or in STORM_DATABASE.

Every wish has a memo, its business id: calls with the same memo are the same intent, whatever else they say.
"""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt
from sqlalchemy import text

from tools import Call, Refused, tool
from trials.storm.bank_answers import PATIENCE_S, SETTLE_S
from trials.storm.truth import CLOSED_PREFIX, undo_memo

BANK, DATABASE = "STORM_BANK", "STORM_DATABASE"

Memo = Annotated[str, Field(min_length=1, max_length=100, description="The number of the wish, such as T00017-2")]
Account = Annotated[str, Field(min_length=1, max_length=100)]

_LIMITS: dict[str, Any] = {
    "timeout": PATIENCE_S,
    "settle_time": SETTLE_S,
    "attempts": 6,
    "identity": ("memo",),
    "result_cap": 100_000,
    "approve_hint": "move {amount_cents} cents to {account} for {memo}",
}
_BOOK = text("insert into transfers (memo, account, amount_cents, at) values (:memo, :account, :amount_cents, :at)")
_REQUEST_S = PATIENCE_S - 0.2
"""The client gives up a little before the door does."""


class Receipt(BaseModel):
    """What the bank says of a transfer; anything else in its answer is left out."""

    model_config = ConfigDict(frozen=True)

    memo: str
    account: str
    amount_cents: int


class AccountView(BaseModel):
    """What the bank says of an account."""

    model_config = ConfigDict(frozen=True)

    account: str
    fee_cents: int
    open: bool


class Limit(BaseModel):
    """A value that was set under a memo; version 0: none was."""

    model_config = ConfigDict(frozen=True)

    memo: str
    account: str
    amount_cents: int
    version: int


@tool(effect="read", timeout=PATIENCE_S, attempts=6, fresh_for="1h")
async def look_up_account(call: Call, account: Account) -> AccountView:
    """Look an account up: its number, its fee in cents, and whether it is open."""
    return AccountView.model_validate(await _ask(call, f"/accounts/{account}"))


@tool(effect="read", timeout=PATIENCE_S, attempts=6)
async def look_up_limit(call: Call, memo: Memo) -> Limit:
    """Look up what is set under a memo, and its version."""
    return Limit.model_validate(await _ask(call, f"/idempotent/{memo}"))


@tool(effect="keyed", key_window="24h", **_LIMITS)
async def transfer_keyed(call: Call, memo: Memo, account: Account, amount_cents: PositiveInt) -> Receipt:
    """Transfer money; the bank remembers the key."""
    return Receipt.model_validate(await _send(call, "POST", "/keyed", _wish(memo, account, amount_cents)))


@transfer_keyed.verify
async def key_is_known(call: Call, args: Any, result: Any) -> bool:  # noqa: ARG001 - the bank's word counts
    """Ask the bank for what it did under the key."""
    found = (await _ask(call, "/keyed", key=call.key))["found"]
    return found is not None and found["memo"] == args.memo and found["amount_cents"] == args.amount_cents


@transfer_keyed.undo(effect="keyed", key_window="24h")
async def transfer_keyed_back(call: Call, args: Any, result: Any) -> None:  # noqa: ARG001 - what was asked is known
    """Take the money back, under a key of its own."""
    await _send(call, "POST", "/keyed", _back(args))


@tool(effect="probed", **_LIMITS)
async def transfer_probed(call: Call, memo: Memo, account: Account, amount_cents: PositiveInt) -> dict[str, Any]:
    """Transfer money; the bank can be asked whether it did. The answer comes as it is, also one of 3 MB."""
    answer: dict[str, Any] = await _send(call, "POST", "/probed", _wish(memo, account, amount_cents))
    return answer


@transfer_probed.probe
async def find_by_memo(call: Call, args: Any) -> dict[str, Any] | None:
    """Look for the transfer."""
    found: dict[str, Any] | None = (await _ask(call, "/probed", memo=args.memo))["found"]
    return found


@transfer_probed.undo(effect="unrepeatable")
async def transfer_probed_back(call: Call, args: Any, result: Any) -> None:  # noqa: ARG001 - as above
    """Take the money back, in a way that nobody can ask about."""
    await _send(call, "POST", "/plain", _back(args))


@tool(effect="unrepeatable", **_LIMITS)
async def transfer_plain(call: Call, memo: Memo, account: Account, amount_cents: PositiveInt) -> Receipt:
    """Transfer money, in a way that nobody can ask about."""
    return Receipt.model_validate(await _send(call, "POST", "/plain", _wish(memo, account, amount_cents)))


@tool(effect="idempotent", **_LIMITS)
async def transfer_set(
    call: Call, memo: Memo, account: Account, amount_cents: PositiveInt, version: NonNegativeInt = 0
) -> Limit:
    """Set the amount under a memo, if it still has the version that was looked up (0: nothing is set)."""
    wish = _wish(memo, account, amount_cents)
    return Limit.model_validate(await _send(call, "PUT", f"/idempotent/{memo}", wish, version))


@transfer_set.verify
async def is_set(call: Call, args: Any, result: Any) -> bool:  # noqa: ARG001 - the bank's word counts
    """Read the value back."""
    limit = Limit.model_validate(await _ask(call, f"/idempotent/{args.memo}"))
    wanted = (args.account, args.amount_cents, args.version + 1)
    return (limit.account, limit.amount_cents, limit.version) == wanted


@tool(effect="transactional", database=DATABASE, **_LIMITS)
async def transfer_booked(call: Call, memo: Memo, account: Account, amount_cents: PositiveInt) -> Receipt:
    """Book money in our own database."""
    if account.startswith(CLOSED_PREFIX):
        raise Refused("account_closed", f"account {account} is closed")
    await call.connection.execute(_BOOK, {**_wish(memo, account, amount_cents), "at": time.time()})
    return Receipt(memo=memo, account=account, amount_cents=amount_cents)


def _wish(memo: str, account: str, amount_cents: int) -> dict[str, Any]:
    return {"memo": memo, "account": account, "amount_cents": amount_cents}


def _back(args: Any) -> dict[str, Any]:
    return _wish(undo_memo(args.memo), args.account, -args.amount_cents)


async def _send(call: Call, method: str, path: str, wish: dict[str, Any], version: int | None = None) -> Any:
    """Make one request; what comes back is read as JSON or raises, and what raises is sorted by the runtime."""
    headers = {"Idempotency-Key": call.key, "Deadline": repr(call.deadline.timestamp())}
    headers |= {} if version is None else {"If-Match": f'"{version}"'}
    async with _client() as bank, bank.request(method, path, json=wish, headers=headers) as answer:
        return await answer.json()


async def _ask(call: Call, path: str, **query: str) -> Any:
    headers = {"Deadline": repr(call.deadline.timestamp())}
    async with _client() as bank, bank.get(path, params=query, headers=headers) as answer:
        return await answer.json()


@asynccontextmanager
async def _client() -> AsyncIterator[aiohttp.ClientSession]:
    url = os.environ.get(BANK, "")
    if not url:
        raise Refused("not_configured", f"the worker's environment variable {BANK} (the bank's address) is not set")
    patience = aiohttp.ClientTimeout(total=_REQUEST_S)
    async with aiohttp.ClientSession(url, timeout=patience, raise_for_status=True) as session:
        # by itself it sends a PUT again whose connection broke, and the door takes the 412 to that for the first answer
        session._retry_connection = False  # noqa: SLF001
        yield session
