"""Operations of an OpenAPI document through the door, with a real ledger and a real server whose answers get lost."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from core.messages import OutcomeUnknown, ToolRefused, ToolSucceeded
from tests.activities.bench import Bench
from tests.tools.openapi.serving import CONTRACTS, TOKEN, Billing, billing

REFUND = {"invoice_id": "INV-7", "amount_cents": 2_000}
CREDIT = {"customer": "ana", "amount_cents": 500}


@pytest.fixture
async def desk(bench: Bench) -> AsyncIterator[Billing]:
    async with billing() as found:
        install(bench, found)
        yield found


def install(bench: Bench, found: Billing) -> None:
    bench.tools = found.tools
    bench.agent = replace(bench.agent, tools=found.tools)
    bench.staff.agents["support_desk"] = bench.agent


async def test_read_brings_the_typed_answer(bench: Bench, desk: Billing) -> None:
    report = await bench.call("getInvoice", args={"invoice_id": "INV-7"})
    assert isinstance(report, ToolSucceeded)
    assert report.result == desk.book.invoices["INV-7"].shown()


async def test_write_leaves_a_receipt_with_the_answer(bench: Bench, desk: Billing) -> None:
    report = await bench.call("createRefund", args=REFUND)
    assert isinstance(report, ToolSucceeded)
    assert report.result == {"id": "re_1", **REFUND}
    assert desk.book.refunds == [report.result]


@pytest.mark.parametrize("fate", ["answer_lost", "lost", "broken", "busy"])
async def test_keyed_write_is_applied_once_whatever_is_lost(bench: Bench, desk: Billing, fate: str) -> None:
    desk.faults.script = [fate, fate]
    report = await bench.call("createRefund", args=REFUND)
    assert isinstance(report, ToolSucceeded)
    assert len(desk.book.refunds) == 1
    assert desk.writes == 3
    keys = {request.headers["Idempotency-Key"] for request in desk.faults.requests}
    assert keys == {bench.order("createRefund", args=REFUND).key}


@pytest.mark.parametrize(("fate", "writes"), [("answer_lost", 1), ("lost", 2), ("broken", 1), ("busy", 2)])
async def test_probed_write_is_looked_up_by_the_other_operation(
    bench: Bench, desk: Billing, fate: str, writes: int
) -> None:
    desk.faults.script = [fate]
    order = bench.order("createCredit", args=CREDIT)
    report = await bench.call("createCredit", order)
    assert isinstance(report, ToolSucceeded)
    assert desk.writes == writes
    assert desk.book.credits == [{"id": "cr_1", **CREDIT, "reference": order.key}]
    assert report.result == desk.book.credits[0]


@pytest.mark.parametrize("fate", ["ok", "answer_lost", "lost"])
async def test_write_is_taken_back_by_the_other_operation(bench: Bench, desk: Billing, fate: str) -> None:
    done = bench.order("createCredit", args=CREDIT)
    await bench.call("createCredit", done)
    [first] = desk.book.credits
    desk.book.credits.append({"id": "cr_other", **CREDIT, "reference": "somebody else's"})
    desk.faults.script = [fate]
    undo = bench.order("createCredit.undo", intent=2, undoes=done.key)
    report = await bench.call("createCredit.undo", undo)
    assert isinstance(report, ToolSucceeded)
    assert [one["id"] for one in desk.book.credits] == ["cr_other"]
    assert desk.faults.requests[-1].path == f"/credits/{first['id']}"
    assert (await bench.row(undo)).undoes == done.key


async def test_probe_s_answer_of_another_shape_is_kept_and_marked(bench: Bench) -> None:
    probe = CONTRACTS["createCredit"]["probe"] | {"found": "", "where": {}, "more": None}
    contracts = {"createCredit": CONTRACTS["createCredit"] | {"probe": probe, "undo": None}}
    async with billing(contracts=contracts) as listing:
        install(bench, listing)
        listing.faults.script = ["answer_lost"]
        order = bench.order("createCredit", args=CREDIT)
        report = await bench.call("createCredit", order)
    assert isinstance(report, ToolSucceeded)
    assert (report.evidence, len(listing.book.credits)) == ("probe", 1)
    assert isinstance(report.result, dict)
    assert report.result["value"] == {"data": listing.book.credits, "has_more": False}
    assert "'id' is a required property" in report.result["problem"]


async def test_probe_s_answer_stands_where_the_answer_s_body_would(bench: Bench) -> None:
    contracts = {"createCredit": CONTRACTS["createCredit"] | {"headers": ["ETag"], "undo": None}}
    async with billing(contracts=contracts) as headed:
        install(bench, headed)
        headed.faults.script = ["answer_lost"]
        report = await bench.call("createCredit", bench.order("createCredit", args=CREDIT))
    assert isinstance(report, ToolSucceeded)
    assert report.result == {"body": headed.book.credits[0], "headers": {}}


@pytest.mark.parametrize("fate", ["answer_lost", "lost"])
async def test_put_with_if_match_is_settled_by_reading_back(bench: Bench, desk: Billing, fate: str) -> None:
    desk.faults.script = [fate]
    args = {"invoice_id": "INV-7", "If-Match": '"1"', "note": "refunded"}
    report = await bench.call("setNote", args=args)
    assert isinstance(report, ToolSucceeded)
    assert (desk.book.invoices["INV-7"].note, desk.book.invoices["INV-7"].version) == ("refunded", 2)


async def test_put_against_another_version_is_a_definite_no(bench: Bench, desk: Billing) -> None:
    report = await bench.call("setNote", args={"invoice_id": "INV-7", "If-Match": '"9"', "note": "refunded"})
    assert isinstance(report, ToolRefused)
    assert report.code == "http_412"
    assert desk.book.invoices["INV-7"].note == ""


async def test_undeclared_post_is_never_sent_again(bench: Bench) -> None:
    async with billing(contracts={}) as bare:
        install(bench, bare)
        bare.faults.script = ["answer_lost"]
        report = await bench.call("createRefund", args=REFUND)
        assert isinstance(report, OutcomeUnknown)
        assert (len(bare.book.refunds), bare.writes) == (1, 1)


async def test_refusal_tells_the_planner_what_the_service_said(bench: Bench, desk: Billing) -> None:
    report = await bench.call("createRefund", args={"invoice_id": "INV-7", "amount_cents": 99_000})
    assert isinstance(report, ToolRefused)
    assert report.code == "http_422"
    assert "more than was paid" in report.message
    assert desk.book.refunds == []


async def test_arguments_that_do_not_fit_are_refused_before_anything_is_sent(bench: Bench, desk: Billing) -> None:
    report = await bench.call("createRefund", args={"invoice_id": "INV-7", "amount_cents": "many", "extra": 1})
    assert isinstance(report, ToolRefused)
    assert report.code == "bad_arguments"
    assert "extra" in report.message
    assert "/amount_cents" in report.message
    assert desk.faults.requests == []


async def test_ledger_and_audit_never_hold_the_secret(bench: Bench, desk: Billing) -> None:
    desk.faults.script = ["answer_lost"]
    order = bench.order("createRefund", args=REFUND)
    await bench.call("createRefund", order)
    row = await bench.row(order)
    lines = [line.model_dump_json() async for line in bench.ledger.lines(order.task_id)]
    assert desk.faults.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in row.model_dump_json() + "".join(lines)
