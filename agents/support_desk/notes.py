"""Notes about customers in the CRM, PocketBase (SUPPORT_DESK_CRM, SUPPORT_DESK_CRM_TOKEN).

The effect is *idempotent*, for good and not for some window: the record's id is made from the effect's key, and the CRM
refuses a second record of one id, so sending again sets what is already set.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated, Any

import httpx
from pydantic import BaseModel, ConfigDict, Field

from tools import Call, FreeText, Refused, tool

from .orders import OrderId
from .settings import setting

_RECORDS = "/api/collections/notes/records"
_ID_LENGTH = 15
"""What PocketBase wants of an id: exactly so many of [a-z0-9]."""

CustomerId = Annotated[str, Field(min_length=1, max_length=64, description="The customer's id, from the order")]
NoteText = Annotated[FreeText, Field(min_length=1, max_length=10_000)]


class Note(BaseModel):
    """A note that stands in the CRM."""

    model_config = ConfigDict(frozen=True)

    note_id: str
    customer_id: str
    order_id: str


@tool(effect="idempotent", timeout="15s", approve_hint="note on customer {customer_id}: {text}")
async def add_customer_note(call: Call, customer_id: CustomerId, order_id: OrderId, text: NoteText) -> Note:
    """Write down for colleagues what was done about an order, in the customer's file."""
    record = {"id": _note_id(call), "customer": customer_id, "order_id": order_id, "text": text}
    async with _crm() as crm:
        answer = await crm.post(_RECORDS, json=record)
        if not _stands_already(answer):
            answer.raise_for_status()
        elif not await _holds(crm, record):
            raise Refused("note_differs", f"the CRM holds another note under the id {record['id']}")
    return Note(note_id=record["id"], customer_id=customer_id, order_id=order_id)


@add_customer_note.verify
async def is_there(call: Call, args: Any, result: Any) -> bool:  # noqa: ARG001 - the id follows from the key
    """Read the note back."""
    record = {
        "id": _note_id(call),
        "customer": args.customer_id,
        "order_id": args.order_id,
        "text": args.text,
    }
    async with _crm() as crm:
        return await _holds(crm, record)


@asynccontextmanager
async def _crm() -> AsyncIterator[httpx.AsyncClient]:
    base = setting("SUPPORT_DESK_CRM", "the address of the CRM")
    token = setting("SUPPORT_DESK_CRM_TOKEN", "a token for the CRM")
    async with httpx.AsyncClient(base_url=base, timeout=5, headers={"Authorization": token}) as client:
        yield client


def _note_id(call: Call) -> str:
    return call.key[:_ID_LENGTH]  # keys are hexadecimal digests; so many digits are 60 bits


def _stands_already(answer: httpx.Response) -> bool:
    """Tell whether a record of this id is there: PocketBase says so with 400 and this code."""
    if answer.status_code != HTTPStatus.BAD_REQUEST:
        return False
    faults = answer.json().get("data", {})
    return bool(faults.get("id", {}).get("code") == "validation_not_unique")


async def _holds(crm: httpx.AsyncClient, record: dict[str, str]) -> bool:
    answer = await crm.get(f"{_RECORDS}/{record['id']}")
    if answer.status_code == HTTPStatus.NOT_FOUND:
        return False
    answer.raise_for_status()
    found = answer.json()
    return all(found.get(name) == value for name, value in record.items())
