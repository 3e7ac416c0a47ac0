"""Every move of the table is made, every other one is refused, and an old fence moves nothing."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, Select

from core.receipts import TRANSITIONS, Move, RowState
from ledger import open_ledger
from ledger.rows import _DOUBTS, _OVERDUE, origins, target
from tests.ledger.calls import LONG, AnyLedger, Clock, attempt, bring, call, claimed, marked

# giving back the lease of a row that is still RESERVED is no move, but the same method does it
_ANSWERED = TRANSITIONS | {(RowState.RESERVED, Move.RELEASE): RowState.RESERVED}
# DOUBT makes a row doubtful, so that a row in doubt can only come back by ABSENT
NEEDS = RowState.NEEDS_PERSON
_FENCED = [move for move in Move if move is not Move.TAKE_OVER]


@pytest.mark.parametrize("move", list(Move))
@pytest.mark.parametrize("state", list(RowState))
async def test_only_moves_of_the_table_are_made(ledger: AnyLedger, clock: Clock, state: RowState, move: Move) -> None:
    before = await bring(ledger, clock, state)
    clock.pass_by(LONG)
    after = await attempt(ledger, clock, "k1", before.fence, move)
    expected = _ANSWERED.get((state, move))
    assert (after and after.state) == expected
    assert await ledger.find("k1") == (before if after is None else after)


@pytest.mark.parametrize("move", _FENCED)
@pytest.mark.parametrize("state", list(RowState))
async def test_a_zombie_with_an_old_fence_moves_nothing(
    ledger: AnyLedger, clock: Clock, state: RowState, move: Move
) -> None:
    old = await claimed(ledger)
    clock.pass_by(LONG)
    before = await bring(ledger, clock, state)
    clock.pass_by(LONG)
    assert before.fence == old.fence + 1
    assert await attempt(ledger, clock, "k1", old.fence, move) is None
    assert await ledger.find("k1") == before


@pytest.mark.parametrize("move", _FENCED)
async def test_a_row_that_is_not_there_is_not_moved(ledger: AnyLedger, clock: Clock, move: Move) -> None:
    assert await attempt(ledger, clock, "k1", 1, move) is None
    assert await ledger.find("k1") is None


@pytest.mark.parametrize("move", list(Move))
def test_each_move_leads_to_one_state(move: Move) -> None:
    assert all(TRANSITIONS[state, move] is target(move) for state in origins(move))


async def test_a_mark_counts_and_dates_the_send(ledger: AnyLedger, clock: Clock) -> None:
    row = await marked(ledger, clock)
    assert (row.sends, row.marked_at, row.first_marked_at, row.doubtful) == (1, clock.now, clock.now, False)
    assert row.lease_until == row.send_deadline != clock.now


async def test_a_resend_is_a_new_send_of_a_doubtful_row(ledger: AnyLedger, clock: Clock) -> None:
    first = await marked(ledger, clock)
    clock.pass_by(LONG)
    row = await attempt(ledger, clock, "k1", first.fence, Move.RESEND)
    assert row is not None
    assert (row.fence, row.sends, row.doubtful) == (first.fence + 1, 2, True)
    assert (row.first_marked_at, row.marked_at) == (first.marked_at, clock.now)


async def test_a_live_lease_keeps_others_from_sending_again(ledger: AnyLedger, clock: Clock) -> None:
    row = await marked(ledger, clock)
    assert await attempt(ledger, clock, "k1", row.fence, Move.RESEND) is None
    clock.now = row.lease_until
    assert await attempt(ledger, clock, "k1", row.fence, Move.RESEND) is not None


async def test_a_row_in_doubt_is_sent_again_without_waiting_for_its_lease(ledger: AnyLedger, clock: Clock) -> None:
    row = await bring(ledger, clock, RowState.IN_DOUBT)
    assert await attempt(ledger, clock, "k1", row.fence, Move.RESEND) is not None


async def test_a_send_that_did_not_leave_frees_the_row_at_once(ledger: AnyLedger, clock: Clock) -> None:
    row = await marked(ledger, clock)
    released = await ledger.release("k1", row.fence, "connect refused")
    assert released is not None
    assert (released.state, released.lease_until, released.message) == (RowState.RESERVED, clock.now, "connect refused")
    again = await claimed(ledger)
    assert (again.fence, again.sends) == (row.fence + 1, 1)


async def test_an_earlier_doubt_survives_a_later_send_that_did_not_leave(ledger: AnyLedger, clock: Clock) -> None:
    before = await bring(ledger, clock, RowState.IN_DOUBT)
    row = await attempt(ledger, clock, "k1", before.fence, Move.RESEND)
    assert row is not None
    released = await ledger.release("k1", row.fence, "connect refused")
    assert released is not None
    assert (released.state, released.doubtful) == (RowState.IN_DOUBT, True)


async def test_giving_back_an_unused_lease_lets_the_next_one_claim(ledger: AnyLedger) -> None:
    row = await claimed(ledger)
    assert await ledger.release("k1", row.fence, "the worker stops") is not None
    assert (await claimed(ledger)).fence == row.fence + 1


@pytest.mark.parametrize("state", [RowState.IN_DOUBT, RowState.NEEDS_PERSON])
async def test_proof_of_absence_ends_the_doubt_and_the_lease(ledger: AnyLedger, clock: Clock, state: RowState) -> None:
    before = await bring(ledger, clock, state)
    assert before.doubtful
    row = await ledger.move("k1", before.fence, Move.ABSENT, "the provider has never seen it")
    assert row is not None
    assert (row.state, row.doubtful, row.sends) == (RowState.RESERVED, False, 1)
    taken = await claimed(ledger)
    assert taken.fence == before.fence + 1
    cancelled = await ledger.move("k1", taken.fence, Move.CANCEL, "not wanted any more")
    assert cancelled is not None
    assert cancelled.settled_at == clock.now


async def test_effects_of_a_task_are_listed_in_the_order_of_their_claims(ledger: AnyLedger, clock: Clock) -> None:
    for key in ("k2", "k1", "k3"):
        await claimed(ledger, key)
    await claimed(ledger, "k4", task_id="another")
    await attempt(ledger, clock, "k2", 1, Move.CANCEL)
    assert [row.key for row in await ledger.rows("refund-1")] == ["k2", "k1", "k3"]


async def test_only_effects_without_an_outcome_and_with_their_lease_over_are_overdue(
    ledger: AnyLedger, clock: Clock
) -> None:
    for state in RowState:
        await bring(ledger, clock, state, key=state.lower(), task_id=f"task of {state}")
    assert [row.key for row in await ledger.overdue()] == ["in_doubt"]
    clock.pass_by(LONG)
    await marked(ledger, clock, "live")
    assert [row.key for row in await ledger.overdue()] == ["in_doubt", "in_flight"], "longest first"
    assert [row.key for row in await ledger.overdue(limit=1)] == ["in_doubt"]


async def test_doubts_are_all_whose_outcome_nobody_knows_oldest_first(ledger: AnyLedger, clock: Clock) -> None:
    for state in (RowState.NEEDS_PERSON, *RowState):
        await bring(ledger, clock, state, key=f"{state.lower()}-{clock.now:%S}", task_id=f"task of {state}")
        clock.pass_by(timedelta(seconds=1))
    assert [row.state for row in await ledger.doubts()] == [NEEDS, RowState.IN_DOUBT, NEEDS]
    clock.pass_by(LONG)
    await marked(ledger, clock, "live")
    late = [NEEDS, RowState.IN_FLIGHT, RowState.IN_DOUBT, NEEDS]
    assert [row.state for row in await ledger.doubts()] == late
    assert [row.state for row in await ledger.doubts(limit=2)] == late[:2]


async def test_a_sqlite_ledger_finds_what_is_not_settled_by_its_index(sqlite_url: str) -> None:
    async with open_ledger(sqlite_url) as ledger:
        for query in (_OVERDUE, _DOUBTS):
            plan = await ledger._store.read(partial(_plan, query=query))
            assert "lastmile_effects_unsettled" in plan, plan


def _plan(db: Connection, query: Select[Any]) -> str:
    text = str(query.compile(dialect=db.dialect))
    found = db.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", (None,) * text.count("?"))
    return "; ".join(str(row) for row in found)


async def test_a_row_says_what_was_claimed(ledger: AnyLedger) -> None:
    wanted = call(undoes="k0", repeat_of="r0.s1")
    await ledger.claim(wanted, LONG)
    row = await ledger.find("k1")
    assert row is not None
    assert row.model_dump(include=set(type(wanted).model_fields)) == wanted.model_dump()
