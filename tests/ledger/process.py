"""What a second worker process does to a ledger, for the tests: ``python -m tests.ledger.process DEED URL``."""

import asyncio
import os
import signal
import sys
from collections import Counter
from datetime import UTC, datetime

from ledger import SqlLedger, open_ledger
from tests.ledger.calls import LEASE, approval, call, claimed


async def claim(url: str) -> None:
    """Claim one key fifty times at once; print how the claims ended."""
    async with open_ledger(url) as ledger:
        claims = await asyncio.gather(*(ledger.claim(call(), LEASE) for _ in range(50)))
    print(*(f"{name}={count}" for name, count in Counter(type(each).__name__ for each in claims).items()))  # noqa: T201


async def die_in_flight(url: str) -> None:
    """Claim and mark, then die as by the kernel's hand."""
    await _mark(open_ledger(url))
    os.kill(os.getpid(), signal.SIGKILL)


async def die_reserved(url: str) -> None:
    """Claim, then die as by the kernel's hand."""
    ledger = open_ledger(url)
    await ledger.create()
    await ledger.claim(call(), LEASE)
    os.kill(os.getpid(), signal.SIGKILL)


async def _mark(ledger: SqlLedger) -> None:
    await ledger.create()
    row = await claimed(ledger)
    until = datetime.now(UTC) + LEASE
    await ledger.mark(row.key, row.fence, deadline=until, lease_until=until, approvals=[approval()])


if __name__ == "__main__":
    deeds = {"claim": claim, "die_in_flight": die_in_flight, "die_reserved": die_reserved}
    asyncio.run(deeds[sys.argv[1]](sys.argv[2]))
