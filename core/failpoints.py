"""Named places at which a trial may stop the process: between what is done and what is written down.

Nothing is armed in the product: a place costs one comparison with None. A trial's own worker arms them.

::

    door.arrived    the order was read, nothing was looked up
    door.admitted   checked, judged, approved; nothing is claimed
    door.claimed    the row is RESERVED
    door.marked     the dispatch mark is durable, nothing was sent
    door.answered   the tool has answered (or refused), no receipt is written
    door.settled    the receipt is durable, nothing was reported
    door.reporting  the report is made, Temporal does not have it
    ledger.read     before a transaction that reads
    ledger.write    before a transaction that writes
    ledger.wrote    after its commit
"""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

Fail: TypeAlias = Callable[[str, str], Awaitable[None] | None]
"""Called with the name of the place and the key of the call ("" in the ledger); may raise, or never return."""

_armed: Fail | None = None


def arm(fail: Fail | None) -> None:
    """Have `fail` called at every place from now on; None: nothing any more. For trials only."""
    global _armed  # noqa: PLW0603 - one process, one trial
    _armed = fail


async def reach(place: str, key: str = "") -> None:
    """Say that the process is at a place."""
    if _armed is not None and (waiting := _armed(place, key)) is not None:
        await waiting
