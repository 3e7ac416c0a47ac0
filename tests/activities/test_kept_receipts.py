"""The ledger is down after the effect, for longer than the attempt lasts: the answer goes into history instead."""

import asyncio
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from core.messages import Kept, OutcomeUnknown, ReceiptKept, ToolRefused, ToolSucceeded
from core.receipts import Evidence, RowState
from tests.activities.bench import REFUSAL, Bench

LONG = ["down"] * 99


async def kept_by(bench: Bench, tool: str) -> Kept:
    """Make a call whose receipt cannot be written; the ledger is back afterwards."""
    bench.ledger.faults["settle"] = list(LONG)
    report = await bench.attempt(tool, bench.order(tool))
    assert isinstance(report, ReceiptKept)
    bench.ledger.faults.clear()
    return report.receipt


@pytest.mark.parametrize("effect", ["idempotent", "keyed", "probed", "unrepeatable"])
async def test_answer_is_kept_and_written_by_the_next_visit_without_sending(bench: Bench, effect: str) -> None:
    tool = f"refund_{effect}"
    kept = await kept_by(bench, tool)
    assert (kept.move, kept.result, kept.evidence) == ("succeed", {"id": "re_1"}, Evidence.ANSWER)
    report = await bench.call(tool, receipt=kept)
    assert isinstance(report, ToolSucceeded)
    assert (report.result, bench.provider.requests) == ({"id": "re_1"}, 1)
    row = await bench.row(bench.order(tool))
    assert (row.state, row.evidence, row.size) == (RowState.SUCCEEDED, Evidence.ANSWER, 13)


async def test_definite_no_is_kept_too(bench: Bench) -> None:
    bench.provider.script = [REFUSAL]
    kept = await kept_by(bench, "refund_unrepeatable")
    assert (kept.move, kept.code) == ("refuse", "not_refundable")
    report = await bench.call("refund_unrepeatable", receipt=kept)
    assert isinstance(report, ToolRefused)
    assert (report.code, report.outcome, bench.provider.requests) == ("not_refundable", "failed", 1)


async def test_transaction_keeps_its_receipt_where_its_effect_is(bench: Bench) -> None:
    bench.ledger.faults["settle"] = ["down"] * 25
    report = await bench.call("refund_transactional")
    assert isinstance(report, ToolSucceeded)
    assert (len(bench.provider.applied), bench.provider.requests) == (1, 1)


async def test_kept_receipt_waits_for_the_ledger(bench: Bench) -> None:
    kept = await kept_by(bench, "refund_unrepeatable")
    bench.ledger.faults["settle"] = ["down"]
    with pytest.raises(ApplicationError) as raised:
        await bench.attempt("refund_unrepeatable", bench.order("refund_unrepeatable", receipt=kept))
    assert not raised.value.non_retryable
    assert isinstance(await bench.call("refund_unrepeatable", receipt=kept), ToolSucceeded)


@pytest.mark.parametrize("times", [1, 3])
async def test_kept_receipt_settles_what_a_person_was_asked_about(bench: Bench, times: int) -> None:
    tool = "refund_unrepeatable"
    kept = await kept_by(bench, tool)
    bench.clock.advance(minutes=5)
    assert isinstance(await bench.call(tool), OutcomeUnknown)
    for _ in range(times):
        assert isinstance(await bench.call(tool, receipt=kept), ToolSucceeded)
    assert "receipt.arrived_late" not in await bench.events()


async def test_kept_receipt_that_lost_its_fence_is_evidence_and_the_ledger_speaks(bench: Bench) -> None:
    kept = await kept_by(bench, "refund_keyed")
    bench.clock.advance(minutes=5)
    assert isinstance(await bench.call("refund_keyed"), ToolSucceeded)  # sent again under the next fence
    report = await bench.call("refund_keyed", receipt=kept.model_copy(update={"result": {"id": "other"}}))
    assert isinstance(report, ToolSucceeded)
    assert report.result == {"id": "re_1"}
    assert "receipt.arrived_late" in await bench.events()


async def test_large_answer_is_cut_and_says_so(bench: Bench) -> None:
    bench.provider.result = {"text": "x" * 500_000}
    kept = await kept_by(bench, "refund_unrepeatable")
    assert len(kept.model_dump_json()) < 250_000
    assert kept.size == 500_011
    report = await bench.call("refund_unrepeatable", receipt=kept)
    assert isinstance(report, ToolSucceeded)
    assert "500011 bytes" in report.preview


async def test_ledger_that_hangs_does_not_cost_the_answer(bench: Bench) -> None:
    """A database that neither answers nor refuses: the attempt reports before Temporal cuts it off."""

    async def slow() -> dict[str, str]:
        bench.clock.advance(seconds=14)
        return {"id": "slow"}

    async def hang(*_: Any) -> None:
        await asyncio.Event().wait()

    bench.provider.script = [slow]
    bench.ledger.inner.settle = hang  # type: ignore[assignment,method-assign] # no real database hangs on demand
    tool = "refund_unrepeatable"
    report = await asyncio.wait_for(bench.attempt(tool, bench.order(tool)), 5)
    assert isinstance(report, ReceiptKept)
    assert report.receipt.result == {"id": "slow"}
