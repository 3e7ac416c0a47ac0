"""The kill switch holds inside the transaction that sends."""

import asyncio
from datetime import timedelta

import pytest

from core.errors import Stopped
from core.receipts import Move, RowState, Stop
from ledger import open_ledger
from ledger.switches import stopped
from tests.ledger.calls import LEASE, LONG, AnyLedger, Clock, approval, attempt, bring, claimed, marked, sent


def switch(clock: Clock, tool: str = "", agent: str = "", **more: str) -> Stop:
    return Stop(tool=tool, agent=agent, at=clock.now, **more)


@pytest.mark.parametrize(
    ("tool", "agent"), [("", ""), ("issue_refund", ""), ("", "support_desk"), ("issue_refund", "support_desk")]
)
async def test_nothing_is_sent_while_a_switch_covers_it(ledger: AnyLedger, clock: Clock, tool: str, agent: str) -> None:
    row = await claimed(ledger)
    stop = switch(clock, tool, agent, by="ana", reason="wrong amounts")
    await ledger.stop(stop)
    with pytest.raises(Stopped, match="is stopped by ana since 2026-03-01 12:00:00 UTC: wrong amounts"):
        await sent(ledger, clock, row, approvals=[approval()])
    assert await ledger.find("k1") == row
    assert await ledger.start(tool, agent) == stop
    # the approval was not used up by the mark that was stopped
    await sent(ledger, clock, await claimed(ledger, "k2"), approvals=[approval()])
    assert await sent(ledger, clock, row) is not None


@pytest.mark.parametrize(
    ("tool", "agent"), [("refund", ""), ("issue_refund.undo", ""), ("", "sales_desk"), ("issue_refund", "sales_desk")]
)
async def test_a_switch_for_something_else_stops_nothing(
    ledger: AnyLedger, clock: Clock, tool: str, agent: str
) -> None:
    await ledger.stop(switch(clock, tool, agent))
    await marked(ledger, clock)


@pytest.mark.parametrize("run_id", ["run-1", None])
@pytest.mark.parametrize("state", [RowState.IN_FLIGHT, RowState.IN_DOUBT])
async def test_nothing_is_sent_again_while_it_is_stopped(
    ledger: AnyLedger, clock: Clock, state: RowState, run_id: str | None
) -> None:
    row = await bring(ledger, clock, state)
    clock.pass_by(LONG)
    await ledger.stop(switch(clock))
    until = clock.now + LEASE
    with pytest.raises(Stopped, match="every tool is stopped"):
        await ledger.resend("k1", row.fence, deadline=until, lease_until=until, run_id=run_id)
    assert await ledger.find("k1") == row


async def test_what_was_sent_before_is_settled_while_it_is_stopped(ledger: AnyLedger, clock: Clock) -> None:
    row = await marked(ledger, clock)
    await ledger.stop(switch(clock))
    assert await attempt(ledger, clock, "k1", row.fence, Move.SUCCEED) is not None


async def test_who_comes_too_late_is_told_that_and_not_of_the_switch(ledger: AnyLedger, clock: Clock) -> None:
    row = await marked(ledger, clock)
    await ledger.stop(switch(clock))
    assert await attempt(ledger, clock, "k1", row.fence, Move.MARK) is None


async def test_the_oldest_switch_that_covers_a_call_is_named(ledger: AnyLedger, clock: Clock) -> None:
    await ledger.stop(switch(clock, tool="send_mail"))
    clock.pass_by(LONG)
    await ledger.stop(switch(clock, tool="issue_refund", reason="this one"))
    clock.pass_by(LONG)
    await ledger.stop(switch(clock, reason="another"))
    row = await claimed(ledger)
    with pytest.raises(Stopped, match="this one"):
        await sent(ledger, clock, row)


async def test_switches_are_listed_oldest_first_and_turned_off_one_by_one(ledger: AnyLedger, clock: Clock) -> None:
    first, second = switch(clock, tool="issue_refund"), switch(clock)
    await ledger.stop(first)
    clock.pass_by(timedelta(seconds=1))
    later = second.model_copy(update={"at": clock.now, "by": "ben", "reason": "a\ud800"})
    for each in (second, later):
        await ledger.stop(each)
    kept = later.model_copy(update={"reason": "a\ufffd"})
    assert await ledger.stops() == [first, kept]
    assert await ledger.start(tool="issue_refund", agent="support_desk") is None
    assert await ledger.start() == kept
    assert await ledger.start() is None
    assert await ledger.stops() == [first]


async def test_a_switch_that_is_lifted_while_it_is_read_still_stopped_the_call(ledger: AnyLedger) -> None:
    assert "issue_refund was stopped until a moment ago" in str(stopped(await claimed(ledger), []))


async def test_after_a_stop_has_returned_nothing_more_is_marked(url: str, clock: Clock) -> None:
    async with open_ledger(url, clock=clock) as ledger, open_ledger(url, clock=clock) as other:
        for number in range(15):
            await _race(ledger, other, clock, f"task-{number}")


async def _race(ledger: AnyLedger, other: AnyLedger, clock: Clock, task_id: str) -> None:
    rows = [await claimed(ledger, f"{task_id}-{number}", task_id=task_id) for number in range(6)]
    seen: list[str] = []

    async def stop() -> None:
        await other.stop(switch(clock))
        seen.extend(row.key for row in await other.rows(task_id) if row.state is RowState.IN_FLIGHT)

    marks = [attempt(ledger, clock, row.key, row.fence, Move.MARK) for row in rows]
    outcomes = await asyncio.gather(*marks[:2], stop(), *marks[2:], return_exceptions=True)
    assert {type(each) for each in outcomes if isinstance(each, Exception)} <= {Stopped}
    assert seen == [row.key for row in await ledger.rows(task_id) if row.state is RowState.IN_FLIGHT]
    await other.start()
