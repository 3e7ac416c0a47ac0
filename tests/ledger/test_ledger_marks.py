"""The dispatch mark: an approval authorises one call, and capped sums hold however many calls come at once."""

import asyncio

import pytest

from core.errors import ApprovalUsed, TotalExceeded
from core.receipts import Move, RowState, Total
from tests.ledger.calls import LEASE, LONG, WRITE_OFF, AnyLedger, Clock, approval, attempt, bring, claimed, sent


def total(amount: int, maximum: int = 10_000, bucket: str = "refunds of 1042") -> Total:
    return Total(bucket=bucket, amount=amount, maximum=maximum)


async def test_an_approval_is_consumed_by_one_call_only(ledger: AnyLedger, clock: Clock) -> None:
    await sent(ledger, clock, await claimed(ledger, "k1"), approvals=[approval()])
    other = await claimed(ledger, "k2")
    with pytest.raises(ApprovalUsed, match="q1 was used by call k1"):
        await sent(ledger, clock, other, approvals=[approval("q0"), approval("q1")])
    assert await ledger.find("k2") == other
    # what the refused mark had consumed before it failed is free again
    await sent(ledger, clock, await claimed(ledger, "k3"), approvals=[approval("q0")])


async def test_the_same_call_uses_its_approval_again(ledger: AnyLedger, clock: Clock) -> None:
    row = await sent(ledger, clock, await claimed(ledger), approvals=[approval()])
    await ledger.release("k1", row.fence, "connect refused")
    row = await sent(ledger, clock, await claimed(ledger), approvals=[approval()])
    assert (row.sends, row.approved_by) == (2, ("ana",))


async def test_all_who_approved_one_request_are_named_in_order(ledger: AnyLedger, clock: Clock) -> None:
    answers = [approval(by="zoe"), approval(by="ana")]
    row = await sent(ledger, clock, await claimed(ledger), approvals=answers)
    assert row.approved_by == ("zoe", "ana")
    assert await ledger.find("k1") == row


async def test_of_many_calls_with_one_approval_one_is_marked(ledger: AnyLedger, clock: Clock) -> None:
    rows = [await claimed(ledger, f"k{number}") for number in range(20)]
    marks = (sent(ledger, clock, row, approvals=[approval()]) for row in rows)
    outcomes = await asyncio.gather(*marks, return_exceptions=True)
    assert sum(isinstance(outcome, ApprovalUsed) for outcome in outcomes) == 19
    assert [row.state for row in await ledger.rows("refund-1")].count(RowState.IN_FLIGHT) == 1


async def test_of_many_marks_under_one_fence_one_counts(ledger: AnyLedger, clock: Clock) -> None:
    row = await claimed(ledger)
    marks = (attempt(ledger, clock, "k1", row.fence, Move.MARK) for _ in range(20))
    assert sum(found is not None for found in await asyncio.gather(*marks)) == 1
    found = await ledger.find("k1")
    assert found is not None
    assert found.sends == 1


async def test_a_sum_that_does_not_fit_changes_nothing(ledger: AnyLedger, clock: Clock) -> None:
    await sent(ledger, clock, await claimed(ledger, "k1"), totals=[total(7_000)])
    other = await claimed(ledger, "k2")
    with pytest.raises(TotalExceeded, match="refunds of 1042: 3001 on top of 7000"):
        await sent(ledger, clock, other, approvals=[approval()], totals=[total(3_001)])
    assert await ledger.find("k2") == other
    await sent(ledger, clock, other, totals=[total(3_000)])
    await sent(ledger, clock, await claimed(ledger, "k3"), approvals=[approval()], totals=[total(10_000, bucket="b")])
    assert await ledger.spent("refunds of 1042", besides="") == 10_000
    assert await ledger.spent("refunds of 1042", besides="k1") == 3_000


@pytest.mark.parametrize("move", [Move.REFUSE, Move.CANCEL])
async def test_what_failed_or_was_cancelled_is_not_spent(ledger: AnyLedger, clock: Clock, move: Move) -> None:
    row = await sent(ledger, clock, await claimed(ledger), totals=[total(7_000)])
    assert await ledger.spent("refunds of 1042", besides="") == 7_000
    if move is Move.CANCEL:
        await ledger.release("k1", row.fence, "connect refused")
    assert await attempt(ledger, clock, "k1", row.fence, move) is not None
    assert await ledger.spent("refunds of 1042", besides="") == 0


async def test_what_was_written_off_may_have_happened_and_stays_spent(ledger: AnyLedger, clock: Clock) -> None:
    row = await sent(ledger, clock, await claimed(ledger), totals=[total(7_000)])
    await ledger.doubt("k1", row.fence, "timed out")
    await ledger.move("k1", row.fence, Move.ASK, "no probe")
    assert await ledger.settle("k1", row.fence, WRITE_OFF) is not None
    assert await ledger.spent("refunds of 1042", besides="") == 7_000


async def test_a_call_that_is_marked_again_reserves_anew(ledger: AnyLedger, clock: Clock) -> None:
    row = await sent(ledger, clock, await claimed(ledger), totals=[total(7_000, bucket="monday")])
    await ledger.release("k1", row.fence, "connect refused")
    await sent(ledger, clock, await claimed(ledger), totals=[total(7_000, bucket="tuesday")])
    assert await ledger.spent("monday", besides="") == 0
    assert await ledger.spent("tuesday", besides="") == 7_000


async def test_a_sum_holds_however_many_calls_are_marked_at_once(ledger: AnyLedger, clock: Clock) -> None:
    rows = [await claimed(ledger, f"k{number}") for number in range(20)]
    both = [total(1_000, maximum=6_500), total(1, bucket="calls", maximum=100)]
    marks = (sent(ledger, clock, row, totals=both if number % 2 else both[::-1]) for number, row in enumerate(rows))
    outcomes = await asyncio.gather(*marks, return_exceptions=True)
    assert sum(isinstance(outcome, TotalExceeded) for outcome in outcomes) == 14
    assert await ledger.spent("refunds of 1042", besides="") == 6_000
    assert await ledger.spent("calls", besides="") == 6


async def test_nothing_is_consumed_when_the_mark_comes_too_late(ledger: AnyLedger, clock: Clock) -> None:
    row = await claimed(ledger)
    clock.pass_by(LONG)
    await claimed(ledger)
    times = {"deadline": clock.now + LEASE, "lease_until": clock.now + LEASE}
    assert await ledger.mark("k1", row.fence, approvals=[approval()], totals=[total(1)], **times) is None
    assert await ledger.spent("refunds of 1042", besides="") == 0
    await sent(ledger, clock, await bring(ledger, clock, RowState.RESERVED, "k2"), approvals=[approval()])
