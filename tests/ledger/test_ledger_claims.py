"""Who gets a row, and which similar calls stand in the way of another."""

import asyncio
from datetime import timedelta

import pytest

from core.receipts import Busy, Claim, Claimed, Conflict, Fenced, Move, RowState, Standing, Twin
from tests.ledger.calls import LEASE, LONG, WRITE_OFF, AnyLedger, Clock, attempt, bring, call, claimed, marked

_OPEN = [RowState.RESERVED, RowState.IN_FLIGHT, RowState.IN_DOUBT, RowState.NEEDS_PERSON]


async def similar(ledger: AnyLedger, key: str = "k2", repeat_of: str | None = None) -> Claim:
    return await ledger.claim(call(key, similarity="like k1", repeat_of=repeat_of), LEASE)


async def test_a_new_call_is_reserved_under_fence_one(ledger: AnyLedger, clock: Clock) -> None:
    row = await claimed(ledger)
    assert (row.state, row.fence, row.sends) == (RowState.RESERVED, 1, 0)
    assert (row.opened_at, row.lease_until) == (clock.now, clock.now + LEASE)
    assert row.opened_at.utcoffset() == timedelta()


@pytest.mark.parametrize("state", list(RowState))
async def test_other_arguments_under_the_same_key_are_a_conflict(
    ledger: AnyLedger, clock: Clock, state: RowState
) -> None:
    row = await bring(ledger, clock, state)
    clock.pass_by(LONG)
    assert await ledger.claim(call(fingerprint="another"), LEASE) == Conflict(row=row)


@pytest.mark.parametrize("state", [state for state in RowState if state is not RowState.RESERVED])
async def test_what_is_sent_or_settled_stands_once_its_lease_is_over(
    ledger: AnyLedger, clock: Clock, state: RowState
) -> None:
    row = await bring(ledger, clock, state)
    clock.pass_by(LONG)
    assert await ledger.claim(call(), LEASE) == Standing(row=row)


@pytest.mark.parametrize("state", [RowState.RESERVED, RowState.IN_FLIGHT])
async def test_a_live_lease_says_when_to_look_again(ledger: AnyLedger, clock: Clock, state: RowState) -> None:
    row = await bring(ledger, clock, state)
    clock.now = row.lease_until - timedelta(microseconds=1)
    assert await ledger.claim(call(), LEASE) == Busy(row=row, until=row.lease_until)


async def test_a_reservation_whose_lease_is_over_is_taken_over(ledger: AnyLedger, clock: Clock) -> None:
    row = await claimed(ledger)
    clock.now = row.lease_until
    taken = await claimed(ledger, run_id="run-2")
    assert (taken.fence, taken.lease_until, taken.run_id) == (2, clock.now + LEASE, "run-2")


@pytest.mark.parametrize("state", [*_OPEN, RowState.SUCCEEDED])
async def test_a_similar_call_is_blocked(ledger: AnyLedger, clock: Clock, state: RowState) -> None:
    row = await bring(ledger, clock, state)
    clock.pass_by(LONG)
    assert await similar(ledger) == Twin(row=row)
    assert await ledger.twin("refund-1", "like k1", "k2") == row
    assert await ledger.find("k2") is None


@pytest.mark.parametrize("state", [RowState.FAILED, RowState.CANCELLED])
async def test_a_definite_failure_blocks_nobody(ledger: AnyLedger, clock: Clock, state: RowState) -> None:
    await bring(ledger, clock, state)
    assert isinstance(await similar(ledger), Claimed)
    assert await ledger.twin("refund-1", "like k1", "k2") is None


async def test_a_call_that_was_written_off_still_blocks(ledger: AnyLedger, clock: Clock) -> None:
    before = await bring(ledger, clock, RowState.NEEDS_PERSON)
    row = await ledger.settle("k1", before.fence, WRITE_OFF)
    assert row is not None
    assert row.written_off
    assert await similar(ledger) == Twin(row=row)


async def test_a_call_is_no_twin_of_itself_nor_of_another_task(ledger: AnyLedger, clock: Clock) -> None:
    await bring(ledger, clock, RowState.SUCCEEDED)
    assert await ledger.twin("refund-1", "like k1", "k1") is None
    assert isinstance(await ledger.claim(call("k2", similarity="like k1", task_id="refund-2"), LEASE), Claimed)


@pytest.mark.parametrize("name", ["k1", "r1.k1"])
async def test_a_rightful_repetition_names_the_step_or_the_key(ledger: AnyLedger, clock: Clock, name: str) -> None:
    await bring(ledger, clock, RowState.SUCCEEDED)
    assert isinstance(await similar(ledger, repeat_of="r9.s9"), Twin)
    assert isinstance(await similar(ledger, repeat_of=name), Claimed)


@pytest.mark.parametrize("state", _OPEN)
async def test_nothing_is_repeated_while_its_outcome_is_open(ledger: AnyLedger, clock: Clock, state: RowState) -> None:
    row = await bring(ledger, clock, state)
    clock.pass_by(LONG)
    assert await similar(ledger, repeat_of="k1") == Twin(row=row)


async def test_the_last_similar_call_is_the_one_to_name(ledger: AnyLedger, clock: Clock) -> None:
    await bring(ledger, clock, RowState.SUCCEEDED)
    second = await bring(ledger, clock, RowState.SUCCEEDED, "k2", similarity="like k1", repeat_of="k1")
    assert await similar(ledger, "k3", repeat_of="k1") == Twin(row=second)
    assert isinstance(await similar(ledger, "k3", repeat_of="k2"), Claimed)


async def test_an_effect_blocks_nobody_once_its_undo_has_succeeded(ledger: AnyLedger, clock: Clock) -> None:
    row = await bring(ledger, clock, RowState.SUCCEEDED)
    undo = await marked(ledger, clock, "u1", tool="issue_refund.undo", undoes="k1")
    assert await similar(ledger) == Twin(row=row)
    await attempt(ledger, clock, "u1", undo.fence, Move.SUCCEED)
    assert isinstance(await similar(ledger), Claimed)


async def test_of_many_claims_at_once_one_gets_the_row(ledger: AnyLedger) -> None:
    claims = await asyncio.gather(*(ledger.claim(call(), LEASE) for _ in range(30)))
    assert sorted(type(claim).__name__ for claim in claims) == ["Busy"] * 29 + ["Claimed"]


async def test_of_many_similar_calls_at_once_one_is_reserved(ledger: AnyLedger) -> None:
    claims = await asyncio.gather(*(similar(ledger, f"k{number}") for number in range(30)))
    assert sorted(type(claim).__name__ for claim in claims) == ["Claimed"] + ["Twin"] * 29


async def test_of_many_takeovers_at_once_one_gets_the_row(ledger: AnyLedger, clock: Clock) -> None:
    await claimed(ledger)
    clock.pass_by(LONG)
    claims = await asyncio.gather(*(ledger.claim(call(), LEASE) for _ in range(30)))
    assert sorted(claim.row.fence for claim in claims if not isinstance(claim, Fenced)) == [2] * 30
    assert sum(isinstance(claim, Claimed) for claim in claims) == 1
