"""Calls that end their worker each time are put aside; the kill switch holds calls back, and loses nothing."""

from datetime import timedelta

import pytest
from temporalio.exceptions import ApplicationError

from core.messages import GrownOld, OutcomeUnknown, ToolRefused, ToolSucceeded, ToolUnavailable
from core.receipts import RowState, Stop
from tests.activities.bench import NOT_SENT, WRITES, Bench, Crash

TOOL = "refund_keyed"


async def die(bench: Bench, tool: str, times: int, first: int = 1) -> None:
    """Make attempts of one visit of which each ends its worker, as Temporal would: one after the lease of the other."""
    for number in range(first, first + times):
        bench.provider.script = ["crash_lost"]
        bench.clock.advance(minutes=1)
        with pytest.raises(Crash):
            await bench.attempt(tool, bench.order(tool), number)
    bench.clock.advance(minutes=1)


async def test_write_that_ends_its_worker_each_time_is_a_persons(bench: Bench) -> None:
    await die(bench, TOOL, 6)
    report = await bench.attempt(TOOL, bench.order(TOOL), 7)
    assert isinstance(report, OutcomeUnknown)
    assert "put aside" in report.reason
    assert (await bench.row(bench.order(TOOL))).state is RowState.NEEDS_PERSON
    assert bench.provider.requests == 6


async def test_write_that_ended_its_worker_now_and_then_goes_on(bench: Bench) -> None:
    await die(bench, TOOL, 5)
    assert isinstance(await bench.attempt(TOOL, bench.order(TOOL), 6), ToolSucceeded)


async def test_attempt_that_ends_in_good_order_starts_the_count_anew(bench: Bench) -> None:
    await die(bench, TOOL, 5)
    bench.provider.script = ["lost"]
    with pytest.raises(ApplicationError):  # in doubt: sent again later
        await bench.attempt(TOOL, bench.order(TOOL), 6)
    await die(bench, TOOL, 4, first=7)
    assert isinstance(await bench.attempt(TOOL, bench.order(TOOL), 11), ToolSucceeded)


async def test_read_that_ends_its_worker_each_time_is_unavailable(bench: Bench) -> None:
    await die(bench, "refund_read", 6)
    report = await bench.attempt("refund_read", bench.order("refund_read"), 7)
    assert isinstance(report, ToolUnavailable)
    assert "put aside" in report.reason


@pytest.mark.parametrize(("choice", "report"), [("did_not_happen", ToolSucceeded), ("write_off", ToolRefused)])
async def test_write_that_ended_its_worker_before_it_was_sent_is_a_persons_too(
    bench: Bench, choice: str, report: type
) -> None:
    for number in range(1, 7):
        bench.ledger.faults["claim"] = ["crash"]
        with pytest.raises(Crash):
            await bench.attempt(TOOL, bench.order(TOOL), number)
    asked = await bench.attempt(TOOL, bench.order(TOOL), 7)
    assert isinstance(asked, OutcomeUnknown)
    assert "before it was sent" in asked.reason
    said = await bench.call(TOOL, ruling={"choice": choice, "request_id": "q1", "by": "lead"})
    assert type(said) is report


@pytest.mark.parametrize("choice", ["happened", "write_off"])
async def test_put_aside_call_that_was_tried_before_is_sent_only_if_a_person_wants_it(
    bench: Bench, choice: str
) -> None:
    bench.provider.script = [NOT_SENT]
    with pytest.raises(ApplicationError):
        await bench.attempt(TOOL, bench.order(TOOL), 1)
    for number in range(2, 7):
        bench.ledger.faults["claim"] = ["crash"]
        with pytest.raises(Crash):
            await bench.attempt(TOOL, bench.order(TOOL), number)
    assert isinstance(await bench.attempt(TOOL, bench.order(TOOL), 7), OutcomeUnknown)
    said = await bench.call(TOOL, ruling={"choice": choice, "request_id": "q1", "by": "lead"})
    assert isinstance(said, ToolRefused)
    assert (said.code, bench.provider.requests) == ("not_wanted", 1)
    assert (await bench.row(bench.order(TOOL))).state is RowState.CANCELLED


async def test_receipt_is_told_however_often_the_report_was_lost(bench: Bench) -> None:
    bench.ledger.faults["settle"] = ["crash_after"]
    await bench.crash(TOOL)
    for _ in range(5):
        await bench.ledger.enter(bench.order(TOOL).key, bench_visit(bench))
    assert isinstance(await bench.attempt(TOOL, bench.order(TOOL), 7), ToolSucceeded)
    assert bench.provider.requests == 1


def bench_visit(bench: Bench) -> str:
    return f"{bench.run_id}/{bench.environment(TOOL).info.activity_id}"


@pytest.mark.parametrize("effect", WRITES)
async def test_first_attempt_costs_no_write_for_counting(bench: Bench, effect: str) -> None:
    await bench.call(f"refund_{effect}")
    assert not {"enter", "leave"} & set(bench.ledger.calls)


# --------------------------------------------------------------------------------------------------------- kill switch


def switch(bench: Bench, tool: str = "", agent: str = "") -> Stop:
    return Stop(tool=tool, agent=agent, by="ana", reason="the bank said so", at=bench.clock())


@pytest.mark.parametrize(("tool", "agent"), [("", ""), (TOOL, ""), ("", "support_desk"), (TOOL, "support_desk")])
async def test_stopped_call_is_not_sent_and_goes_on_once_the_switch_is_off(bench: Bench, tool: str, agent: str) -> None:
    await bench.ledger.stop(switch(bench, tool, agent))
    with pytest.raises(ApplicationError, match="the bank said so") as raised:
        await bench.attempt(TOOL, bench.order(TOOL))
    assert (raised.value.next_retry_delay, raised.value.non_retryable) == (timedelta(seconds=5), False)
    row = await bench.row(bench.order(TOOL))
    assert (row.state, row.lease_until, row.sends) == (RowState.RESERVED, bench.clock(), 0)
    await bench.ledger.start(tool, agent)
    assert isinstance(await bench.call(TOOL), ToolSucceeded)
    assert bench.provider.requests == 1


async def test_stopped_call_whose_ground_grew_old_is_given_back_once_the_switch_is_off(bench: Bench) -> None:
    order = bench.order(TOOL, fresh_until=bench.clock() + timedelta(minutes=5))
    await bench.ledger.stop(switch(bench, TOOL))
    bench.clock.advance(minutes=6)
    with pytest.raises(ApplicationError, match="the bank said so"):
        await bench.attempt(TOOL, order)
    await bench.ledger.start(TOOL)
    reports = [await bench.call(TOOL, order), await bench.call(TOOL, order)]  # the first one may not arrive
    assert reports == [GrownOld(step=order.step)] * 2
    assert ((await bench.row(order)).state, bench.provider.requests) == (RowState.CANCELLED, 0)


async def test_call_whose_ground_is_fresh_is_sent(bench: Bench) -> None:
    order = bench.order(TOOL, fresh_until=bench.clock() + timedelta(minutes=5))
    assert isinstance(await bench.call(TOOL, order), ToolSucceeded)


async def test_doubt_is_settled_with_what_was_sent_however_old_its_ground_is(bench: Bench) -> None:
    order = bench.order(TOOL, fresh_until=bench.clock() + timedelta(seconds=30))
    bench.provider.script = ["crash_applied"]
    await bench.crash(TOOL, order)
    bench.clock.advance(minutes=1)
    assert isinstance(await bench.call(TOOL, order), ToolSucceeded)
    assert len(bench.provider.applied) == 1


async def test_switch_for_something_else_stops_nothing(bench: Bench) -> None:
    await bench.ledger.stop(switch(bench, "refund_probed"))
    assert isinstance(await bench.call(TOOL), ToolSucceeded)


async def test_doubt_is_not_sent_again_while_it_is_stopped(bench: Bench) -> None:
    bench.provider.script = ["crash_applied"]
    await bench.crash(TOOL)
    bench.clock.advance(minutes=1)
    await bench.ledger.stop(switch(bench, TOOL))
    with pytest.raises(ApplicationError, match="is stopped by ana") as raised:
        await bench.attempt(TOOL, bench.order(TOOL))
    assert (raised.value.next_retry_delay, bench.provider.requests) == (timedelta(seconds=5), 1)
    await bench.ledger.start(TOOL)
    assert isinstance(await bench.call(TOOL), ToolSucceeded)
    assert len(bench.provider.applied) == 1
