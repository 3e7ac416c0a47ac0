"""Attempts that begin and never end are counted, so that a call which ends its worker each time is put aside."""

import asyncio

from tests.ledger.calls import AnyLedger


async def test_attempts_that_never_left_are_counted(ledger: AnyLedger) -> None:
    assert [await ledger.enter("k1", "run-1/5") for _ in range(3)] == [0, 1, 2]


async def test_an_attempt_that_left_starts_the_count_anew(ledger: AnyLedger) -> None:
    await ledger.leave("k1", "run-1/5")
    for _ in range(2):
        await ledger.enter("k1", "run-1/5")
    await ledger.leave("k1", "run-1/5")
    assert [await ledger.enter("k1", "run-1/5") for _ in range(2)] == [0, 1]


async def test_visits_and_keys_are_counted_apart(ledger: AnyLedger) -> None:
    await ledger.enter("k1", "run-1/5")
    assert await ledger.enter("k1", "run-1/6") == 0
    assert await ledger.enter("k2", "run-1/5") == 0
    await ledger.leave("k1", "run-1/6")
    assert await ledger.enter("k1", "run-1/5") == 1


async def test_attempts_that_begin_at_once_are_all_counted(ledger: AnyLedger) -> None:
    counts = await asyncio.gather(*(ledger.enter("k1", "run-1/5") for _ in range(10)))
    assert sorted(counts) == list(range(10))
