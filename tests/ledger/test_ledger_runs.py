"""Which run a task is bound to, what an epoch fences off, and what stays possible for the run before."""

import asyncio

import pytest

from core.errors import Superseded
from core.receipts import Claimed, Fenced, Row, RowState, TaskRow
from ledger import open_ledger
from tests.ledger.calls import LEASE, LONG, REFUSAL, SUCCESS, AnyLedger, Clock, bring, call, claimed, marked, sent, task


async def opened(ledger: AnyLedger, **changes: object) -> TaskRow:
    found = await ledger.open_task(task(**changes))
    assert found is not None
    return found


async def reset(ledger: AnyLedger, run_id: str = "run-2", instead_of: str = "run-1") -> TaskRow:
    found = await ledger.open_epoch("refund-1", run_id, instead_of)
    assert found is not None
    return found


# -------------------------------------------------------------------------------------------------------------- opening


async def test_a_task_is_bound_to_its_first_run(ledger: AnyLedger) -> None:
    assert await opened(ledger, epoch=7) == task() == await ledger.task("refund-1")
    assert await opened(ledger, goal="another") == task(), "the same run again changes nothing"
    assert await ledger.task("refund-2") is None


async def test_a_run_of_another_chain_is_not_let_in(ledger: AnyLedger) -> None:
    first = await opened(ledger)
    assert await ledger.open_task(task(first_run_id="run-2", run_id="run-2", goal="another")) is None
    assert await ledger.task("refund-1") == first


async def test_a_reset_to_before_the_opening_opens_an_epoch_with_its_own_wish(ledger: AnyLedger) -> None:
    await opened(ledger)
    await ledger.amend_task("refund-1", "refund 7", {"order_id": "7"}, 1)
    wanted = task(run_id="run-2", goal="refund order 1042, kindly")
    assert await ledger.open_task(wanted) == wanted.model_copy(update={"epoch": 1}) == await ledger.task("refund-1")
    assert (await opened(ledger, run_id="run-2")).goal == wanted.goal


async def test_running_a_task_again_opens_an_epoch_with_its_own_wish(ledger: AnyLedger) -> None:
    await opened(ledger)
    again = task(first_run_id="run-2", run_id="run-2", again=True, goal="once more")
    bound = again.model_copy(update={"epoch": 1})
    assert await ledger.open_task(again) == bound
    assert await ledger.open_task(again) == bound


@pytest.mark.parametrize("again", [False, True])
async def test_a_run_that_was_bound_before_does_not_open_the_task_again(ledger: AnyLedger, again: bool) -> None:
    await opened(ledger)
    bound = await opened(ledger, run_id="run-2")
    assert await ledger.open_task(task(again=again)) is None
    assert await ledger.task("refund-1") == bound


# -------------------------------------------------------------------------------------------------------------- binding


async def test_a_run_that_continues_the_bound_one_is_bound_in_the_same_epoch(ledger: AnyLedger) -> None:
    first = await opened(ledger)
    bound = await ledger.bind_run("refund-1", "run-3", ["run-2", "run-1"])
    assert bound == first.model_copy(update={"run_id": "run-3"}) == await ledger.task("refund-1")
    assert await ledger.bind_run("refund-1", "run-3", []) == bound


async def test_a_run_that_nobody_announced_is_not_bound(ledger: AnyLedger) -> None:
    first = await opened(ledger)
    assert await ledger.bind_run("refund-1", "run-3", ["run-2"]) is None
    assert await ledger.task("refund-1") == first


async def test_a_run_whose_place_was_taken_is_told_so(ledger: AnyLedger) -> None:
    await opened(ledger)
    await ledger.bind_run("refund-1", "run-2", ["run-1"])
    with pytest.raises(Superseded, match="run run-2 of task refund-1 has taken the place of run run-1"):
        await ledger.bind_run("refund-1", "run-1", ["run-2"])
    with pytest.raises(Superseded):
        await ledger.open_epoch("refund-1", "run-1", "run-2")


async def test_a_task_that_nobody_opened_cannot_be_bound(ledger: AnyLedger) -> None:
    with pytest.raises(LookupError, match="knows no task refund-1"):
        await ledger.bind_run("refund-1", "run-1", [])
    with pytest.raises(LookupError, match="knows no task refund-1"):
        await ledger.open_epoch("refund-1", "run-2", "run-1")


# --------------------------------------------------------------------------------------------------------------- epochs


async def test_a_reset_opens_an_epoch_and_keeps_the_wish(ledger: AnyLedger) -> None:
    first = await opened(ledger)
    assert await reset(ledger) == first.model_copy(update={"run_id": "run-2", "epoch": 1})
    assert (await reset(ledger, "run-3", "run-2")).epoch == 2


async def test_of_many_calls_of_a_reset_one_opens_its_epoch(ledger: AnyLedger) -> None:
    await opened(ledger)
    found = await asyncio.gather(*(ledger.open_epoch("refund-1", "run-2", "run-1") for _ in range(10)))
    assert sum(each is not None for each in found) == 1
    bound = await ledger.bind_run("refund-1", "run-2", [])
    assert bound is not None
    assert bound.epoch == 1


async def test_an_epoch_cancels_what_was_never_sent_and_leaves_the_rest(ledger: AnyLedger, clock: Clock) -> None:
    await opened(ledger)
    before = {state: await bring(ledger, clock, state, state.lower()) for state in RowState}
    await claimed(ledger, "other", task_id="refund-2")
    await reset(ledger)
    after = {row.key: row for row in await ledger.rows("refund-1")}
    gone = after.pop("reserved")
    assert (gone.state, gone.settled_at) == (RowState.CANCELLED, clock.now)
    assert "later run" in gone.message
    assert after == {row.key: row for state, row in before.items() if state is not RowState.RESERVED}
    assert [row.state for row in await ledger.rows("refund-2")] == [RowState.RESERVED]


@pytest.mark.parametrize("way", ["again", "same chain"])
async def test_opening_anew_cancels_what_was_never_sent(ledger: AnyLedger, way: str) -> None:
    await opened(ledger)
    await claimed(ledger)
    await opened(ledger, run_id="run-2", again=way == "again", first_run_id="run-2" if way == "again" else "run-1")
    assert [row.state for row in await ledger.rows("refund-1")] == [RowState.CANCELLED]


async def test_a_continued_run_takes_over_what_was_reserved(ledger: AnyLedger, clock: Clock) -> None:
    await opened(ledger)
    await claimed(ledger)
    await ledger.bind_run("refund-1", "run-2", ["run-1"])
    clock.pass_by(LONG)
    row = await claimed(ledger, run_id="run-2")
    assert (await sent(ledger, clock, row)).run_id == "run-2"


# --------------------------------------------------------------------------------------------------------------- fences


@pytest.mark.parametrize("state", [None, *RowState])
async def test_a_run_whose_place_was_taken_claims_nothing(
    ledger: AnyLedger, clock: Clock, state: RowState | None
) -> None:
    await opened(ledger)
    if state is not None:
        await bring(ledger, clock, state)
    bound = await reset(ledger)
    clock.pass_by(LONG)
    before = await ledger.find("k1")
    assert await ledger.claim(call(), LEASE) == Fenced(task=bound)
    assert await ledger.find("k1") == before


async def test_a_task_without_a_row_fences_nobody_off(ledger: AnyLedger, clock: Clock) -> None:
    await opened(ledger)
    await marked(ledger, clock, task_id="refund-2", run_id="run-9")


async def test_what_a_run_claimed_is_not_sent_after_another_was_bound(ledger: AnyLedger, clock: Clock) -> None:
    await opened(ledger)
    row = await claimed(ledger)
    await ledger.bind_run("refund-1", "run-2", ["run-1"])
    assert await mark(ledger, clock) is None
    assert await ledger.find("k1") == row


async def test_a_call_that_was_given_back_after_the_epoch_opened_is_not_sent_again(
    ledger: AnyLedger, clock: Clock
) -> None:
    await opened(ledger)
    row = await marked(ledger, clock)
    await reset(ledger)
    assert await ledger.release("k1", row.fence, "connect refused") is not None
    assert await mark(ledger, clock) is None
    assert isinstance(await ledger.claim(call(run_id="run-2"), LEASE), Claimed)


@pytest.mark.parametrize("settlement", [SUCCESS, REFUSAL])
async def test_the_run_before_still_writes_its_receipt(ledger: AnyLedger, clock: Clock, settlement: object) -> None:
    await opened(ledger)
    row = await marked(ledger, clock)
    await reset(ledger)
    assert await ledger.settle("k1", row.fence, settlement) is not None  # type: ignore[arg-type]


@pytest.mark.parametrize("state", [RowState.IN_FLIGHT, RowState.IN_DOUBT])
async def test_only_the_bound_run_and_the_completer_send_again(
    ledger: AnyLedger, clock: Clock, state: RowState
) -> None:
    await opened(ledger)
    row = await bring(ledger, clock, state)
    await reset(ledger)
    clock.pass_by(LONG)
    assert await resend(ledger, clock, row, "run-1") is None
    assert await ledger.find("k1") == row
    mine = await resend(ledger, clock, row, "run-2")
    assert mine is not None
    assert (mine.run_id, mine.fence) == ("run-2", row.fence + 1)
    clock.pass_by(LONG)
    swept = await resend(ledger, clock, mine, None)
    assert swept is not None
    assert (swept.run_id, swept.fence) == ("run-2", row.fence + 2)


async def resend(ledger: AnyLedger, clock: Clock, row: Row, run_id: str | None) -> Row | None:
    until = clock.now + LEASE
    return await ledger.resend(row.key, row.fence, deadline=until, lease_until=until, run_id=run_id)


async def mark(ledger: AnyLedger, clock: Clock, key: str = "k1", fence: int = 1) -> object:
    return await ledger.mark(key, fence, deadline=clock.now + LEASE, lease_until=clock.now + LEASE)


# ---------------------------------------------------------------------------------------------------------------- races


async def test_whatever_comes_at_once_nothing_is_marked_unseen_by_the_epoch(url: str, clock: Clock) -> None:
    """What the reset reads after its epoch opened is all that the run before will ever have sent."""
    async with open_ledger(url, clock=clock) as ledger, open_ledger(url, clock=clock) as other:
        for number in range(20):
            await _race(ledger, other, clock, f"task-{number}")


async def _race(ledger: AnyLedger, other: AnyLedger, clock: Clock, task_id: str) -> None:
    await ledger.open_task(task(task_id=task_id))
    seen: set[str] = set()

    async def work(number: int) -> None:
        key = f"{task_id}-{number}"
        claim = await ledger.claim(call(key, task_id=task_id), LEASE)
        if isinstance(claim, Claimed):
            await mark(ledger, clock, key)

    async def epoch() -> None:
        assert await other.open_epoch(task_id, "run-2", "run-1") is not None
        seen.update(row.key for row in await other.rows(task_id) if row.state is RowState.IN_FLIGHT)

    await asyncio.gather(*(work(number) for number in range(3)), epoch(), *(work(number) for number in range(3, 9)))
    rows = await ledger.rows(task_id)
    assert {row.key for row in rows if row.state is RowState.IN_FLIGHT} == seen
    assert {row.state for row in rows} <= {RowState.IN_FLIGHT, RowState.CANCELLED}
