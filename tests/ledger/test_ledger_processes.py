"""Real processes on one ledger: they start at once, claim at once, and are killed at the worst moment."""

import asyncio
import signal
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from core.receipts import Busy, Claimed, Move, RowState, Standing
from ledger import open_ledger
from tests.ledger.calls import LEASE, LONG, Clock, approval, call

_ROOT = Path(__file__).parents[2]


async def run(deed: str, url: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.ledger.process", deed, url, cwd=_ROOT, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_of_two_processes_with_fifty_claims_each_one_claim_gets_the_row(url: str) -> None:
    ended = await asyncio.gather(run("claim", url), run("claim", url))
    assert [code for code, _ in ended] == [0, 0]
    counts: Counter[str] = Counter()
    for _, out in ended:
        counts.update({name: int(count) for name, count in (word.split("=") for word in out.split())})
    assert counts == {"Claimed": 1, "Busy": 99}


async def test_a_process_killed_after_its_mark_leaves_the_row_in_flight(url: str) -> None:
    code, _ = await run("die_in_flight", url)
    assert code == -signal.SIGKILL
    clock = Clock()
    clock.now = datetime.now(UTC)
    async with open_ledger(url, clock=clock) as ledger:
        claim = await ledger.claim(call(), LEASE)
        assert isinstance(claim, Busy)
        assert (claim.row.state, claim.row.sends, claim.until) == (RowState.IN_FLIGHT, 1, claim.row.lease_until)
        clock.pass_by(LONG)
        assert await ledger.claim(call(), LEASE) == Standing(row=claim.row)
        assert await ledger.overdue() == [claim.row]
        until = clock.now + LEASE
        again = await ledger.resend("k1", claim.row.fence, deadline=until, lease_until=until)
        assert again is not None
        assert (again.doubtful, again.approved_by) == (True, ("ana",))


async def test_a_process_killed_before_its_mark_has_harmed_nothing(url: str) -> None:
    code, _ = await run("die_reserved", url)
    assert code == -signal.SIGKILL
    clock = Clock()
    clock.now = datetime.now(UTC) + LONG
    async with open_ledger(url, clock=clock) as ledger:
        claim = await ledger.claim(call(), LEASE)
        assert isinstance(claim, Claimed)
        assert (claim.row.fence, claim.row.sends) == (2, 0)
        until = clock.now + LEASE
        assert await ledger.mark("k1", 1, deadline=until, lease_until=until, approvals=[approval()]) is None
        assert await ledger.mark("k1", 2, deadline=until, lease_until=until, approvals=[approval()]) is not None
        assert await ledger.move("k1", 2, Move.CANCEL, "too late") is None
