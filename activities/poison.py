"""Calls that end their worker each time they are made: found by attempts that began and never ended, and put aside."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from activities.visit import Visit
from core.errors import LedgerDown
from core.ports import Ledger

MOST = 5
"""Attempts in a row that may vanish: a worker that is killed now and then is no fault of the call."""


@asynccontextmanager
async def counted(ledger: Ledger, visit: Visit) -> AsyncIterator[bool]:
    """Count an attempt from its beginning to its end; yield whether the call is to be put aside.

    The first attempt of a visit is not counted, so that a call that goes well costs nothing.
    """
    if visit.attempt == 1:
        yield False
        return
    before = await ledger.enter(visit.order.key, visit.id)
    try:
        yield before >= MOST
    except (Exception, asyncio.CancelledError):
        await _leave(ledger, visit)
        raise
    await _leave(ledger, visit)


async def _leave(ledger: Ledger, visit: Visit) -> None:
    with suppress(LedgerDown):  # then this attempt counts as one that vanished; the next ones count anew
        await ledger.leave(visit.order.key, visit.id)
