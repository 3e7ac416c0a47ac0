"""What a receipt keeps: results small and large, late answers, and the lines of the audit."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from core.names import blob_digest, canonical
from core.ports import Ledger
from core.receipts import Evidence, Line, Move, RowState, Settlement, TaskRow
from ledger.audit import PAGE
from ledger.blobs import INLINE_BYTES
from tests.ledger.calls import (
    LEASE,
    LONG,
    REFUSAL,
    SUCCESS,
    AnyLedger,
    Clock,
    attempt,
    bring,
    claimed,
    line,
    marked,
    task,
)


def success(result: object, body: bytes | None = None) -> Settlement:
    return Settlement(move=Move.SUCCEED, evidence=Evidence.PROBE, result=result, body=body)


async def recorded(ledger: Ledger, task_id: str = "refund-1") -> list[Line]:
    return [each async for each in ledger.lines(task_id)]


async def test_a_receipt_says_what_it_rests_on(ledger: AnyLedger, clock: Clock) -> None:
    row = await marked(ledger, clock)
    clock.pass_by(timedelta(seconds=1))
    settled = await ledger.settle("k1", row.fence, SUCCESS)
    assert settled is not None
    assert (settled.state, settled.evidence, settled.settled_at) == (RowState.SUCCEEDED, Evidence.ANSWER, clock.now)
    assert (settled.result, settled.size, settled.blob, settled.verified) == ({"id": "re_1"}, 13, None, None)
    refused = await bring(ledger, clock, RowState.FAILED, "k2")
    assert (refused.code, refused.message, refused.result) == ("not_refundable", "too late", None)
    assert not refused.written_off


@pytest.mark.parametrize("extra", [0, 1])
async def test_a_result_over_the_limit_is_kept_beside_the_row(ledger: AnyLedger, clock: Clock, extra: int) -> None:
    result = "x" * (INLINE_BYTES - 2 + extra)
    body = canonical(result)
    row = await marked(ledger, clock)
    settled = await ledger.settle("k1", row.fence, success(None, body))
    assert settled is not None
    assert settled.size == len(body) == INLINE_BYTES + extra
    assert (settled.result, settled.blob) == ((None, blob_digest(body)) if extra else (result, None))
    assert await ledger.fetch(blob_digest(body)) == (body if extra else None)


async def test_a_large_result_without_a_body_leaves_the_row_too(ledger: AnyLedger, clock: Clock) -> None:
    row = await marked(ledger, clock)
    settled = await ledger.settle("k1", row.fence, success(["é"] * INLINE_BYTES))
    assert settled is not None
    assert settled.blob is not None
    body = await ledger.fetch(settled.blob)
    assert body is not None
    assert json.loads(body) == ["é"] * INLINE_BYTES


async def test_the_same_bytes_are_stored_once(ledger: AnyLedger) -> None:
    body = b"\x00\xff" * 50_000
    first = await ledger.keep("refund-1", body)
    assert await ledger.keep("refund-2", body) == first == blob_digest(body)
    assert await ledger.fetch(first) == body
    assert await ledger.fetch("no such digest") is None


async def test_reading_back_is_noted_on_what_succeeded(ledger: AnyLedger, clock: Clock) -> None:
    await bring(ledger, clock, RowState.SUCCEEDED)
    failed = await bring(ledger, clock, RowState.FAILED, "k2")
    await ledger.verified("k1", verified=False)
    await ledger.verified("k2", verified=True)
    await ledger.verified("k3", verified=True)
    row = await ledger.find("k1")
    assert row is not None
    assert row.verified is False
    assert await ledger.find("k2") == failed


@pytest.mark.parametrize("move", [Move.SUCCEED, Move.REFUSE])
async def test_a_late_answer_is_kept_as_evidence(ledger: AnyLedger, clock: Clock, move: Move) -> None:
    old = await marked(ledger, clock)
    clock.pass_by(LONG)
    new = await attempt(ledger, clock, "k1", old.fence, Move.RESEND)
    assert await ledger.settle("k1", old.fence, SUCCESS if move is Move.SUCCEED else REFUSAL) is None
    assert await ledger.find("k1") == new
    (late,) = await recorded(ledger)
    assert (late.event, late.key, late.step, late.tool) == ("receipt.arrived_late", "k1", "r1.k1", "issue_refund")
    assert (late.fields["move"], late.fields["fence"], late.fields["row_fence"]) == (move, old.fence, old.fence + 1)
    assert (late.at, late.fields["state"]) == (clock.now, "IN_FLIGHT")
    assert late.fields["result"] == ({"id": "re_1"} if move is Move.SUCCEED else None)


async def test_a_second_receipt_changes_nothing_and_is_kept(ledger: AnyLedger, clock: Clock) -> None:
    row = await bring(ledger, clock, RowState.FAILED)
    body = canonical("x" * INLINE_BYTES)
    assert await ledger.settle("k1", row.fence, success(None, body)) is None
    assert await ledger.find("k1") == row
    (late,) = await recorded(ledger)
    assert late.fields["blob"] == blob_digest(body)
    assert await ledger.fetch(blob_digest(body)) == body


async def test_a_receipt_for_no_row_is_kept_too(ledger: AnyLedger) -> None:
    assert await ledger.settle("k9", 1, SUCCESS) is None
    (late,) = await recorded(ledger, "")
    assert (late.key, late.fields["result"]) == ("k9", {"id": "re_1"})


async def test_text_that_no_database_holds_never_loses_a_receipt(ledger: AnyLedger, clock: Clock) -> None:
    row = await marked(ledger, clock)
    text = "cut\x00 \ud800 é 🙂"
    settlement = Settlement(move=Move.SUCCEED, evidence=Evidence.ANSWER, message=text, result={text[:5]: text})
    settled = await ledger.settle("k1", row.fence, settlement)
    assert settled is not None
    assert (settled.message, settled.result) == ("cut\ufffd \ufffd é 🙂", {text[:5]: text})
    assert await ledger.find("k1") == settled


async def test_the_audit_is_read_in_the_order_of_writing(ledger: AnyLedger, clock: Clock) -> None:
    written = [line(number, clock.now, step="r1.s1", key="k1", attempt=number) for number in range(PAGE // 100 + 3)]
    for each in written:
        await ledger.record(each)
    await ledger.record(line(0, clock.now, task_id="another"))
    assert await recorded(ledger) == written
    assert await recorded(ledger, "nobody's") == []


async def test_an_audit_longer_than_a_page_is_read_to_its_end(ledger: AnyLedger, clock: Clock) -> None:
    written = [line(number, clock.now) for number in range(PAGE + 1)]
    for each in written:
        await ledger.record(each)
    assert await recorded(ledger) == written


async def test_times_come_back_aware_and_in_utc(ledger: AnyLedger, clock: Clock) -> None:
    tokyo = timezone(timedelta(hours=9))
    row = await claimed(ledger)
    at = clock.now.astimezone(tokyo)
    found = await ledger.mark("k1", row.fence, deadline=at + LEASE, lease_until=at + LONG)
    await ledger.record(line(1, at))
    assert found is not None
    assert (found.send_deadline, found.lease_until) == (clock.now + LEASE, clock.now + LONG)
    assert found.lease_until.tzinfo is UTC
    assert [each.at.tzinfo for each in await recorded(ledger)] == [UTC]
    assert [each.at for each in await recorded(ledger)] == [clock.now]


async def test_a_time_without_zone_is_refused(ledger: AnyLedger) -> None:
    row = await claimed(ledger)
    naive = datetime(2026, 3, 1)  # noqa: DTZ001  the point of the test
    with pytest.raises(Exception, match="no time zone"):
        await ledger.mark("k1", row.fence, deadline=naive, lease_until=naive)
    assert await ledger.find("k1") == row


async def test_the_latest_amendment_stays(ledger: AnyLedger) -> None:
    await ledger.open_task(task())
    await ledger.amend_task("refund-1", "second", {"order_id": "2"}, 2)
    await ledger.amend_task("refund-1", "first", {"order_id": "1"}, 1)
    await ledger.amend_task("refund-2", "nobody's", {}, 1)
    found = await ledger.task("refund-1")
    assert isinstance(found, TaskRow)
    assert (found.goal, found.inputs, found.amendments) == ("second", {"order_id": "2"}, 2)
