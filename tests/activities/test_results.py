"""Results of every size and shape: one effect, one receipt, a small report."""

import json
from typing import Any

import pytest
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.arguments import complete_origin, numbers_as_text
from activities.results import pack, shorten
from core.messages import Deferred, ToolRefused, ToolSucceeded
from core.receipts import RowState
from tests.activities.bench import WRITES, Bench

MB = 1024 * 1024


def size_in_history(report: Any) -> int:
    [payload] = pydantic_data_converter.payload_converter.to_payloads([report])
    return len(payload.data)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("tool", [f"refund_{effect}" for effect in ("read", *WRITES)])
async def test_result_of_3_mb_is_one_effect_one_receipt_and_a_small_report(bench: Bench, tool: str) -> None:
    bench.provider.result = {"pdf": "é" * (3 * MB // 2)}
    report = await bench.call(tool)
    assert isinstance(report, ToolSucceeded)
    assert (report.result, report.size, len(report.preview)) == (None, 3 * MB + 10, 501)
    assert size_in_history(report) < 4_000
    assert report.blob is not None
    body = await bench.ledger.fetch(report.blob)
    assert json.loads(body) == bench.provider.result
    assert bench.provider.requests == 1


async def test_stored_large_result_is_told_as_it_was(bench: Bench) -> None:
    bench.provider.result = {"text": "x" * 20_000}
    assert await bench.call("refund_keyed") == await bench.call("refund_keyed")


async def test_result_of_64_mb_is_cut_and_says_so(bench: Bench) -> None:
    bench.use_tools(timeout="60s")
    bench.provider.result = "x" * (64 * MB)
    report = await bench.call("refund_unrepeatable")
    assert isinstance(report, ToolSucceeded)
    assert f"{64 * MB + 2} bytes" in report.preview
    assert report.size <= 8 * MB
    assert (await bench.row(bench.order("refund_unrepeatable"))).state is RowState.SUCCEEDED


STRANGE = [float("nan"), {"a": float("inf")}, "\ud800", {1: 2}, object(), {"a": {1, 2}}, 2**80, b"\xff", nested(5_000)]


@pytest.mark.parametrize("result", STRANGE, ids=[type(one).__name__ + str(n) for n, one in enumerate(STRANGE)])
@pytest.mark.parametrize("effect", ["unrepeatable", "transactional"])
async def test_result_that_is_no_json_is_a_success_all_the_same(bench: Bench, effect: str, result: Any) -> None:
    bench.provider.result = result
    report = await bench.call(f"refund_{effect}")
    assert isinstance(report, ToolSucceeded)
    assert size_in_history(report) < 20_000
    assert (len(bench.provider.applied), bench.provider.requests) == (1, 1)


@pytest.mark.parametrize("value", [*STRANGE, nested(300), nested(100_000), None, {}, [], "", 0, False])
def test_packing_never_raises_and_always_gives_what_can_be_sent(value: Any) -> None:
    packed = pack(value, 1_000)
    assert json.loads(packed.body) == packed.value
    assert size_in_history(ToolSucceeded(step="s", result=packed.value)) < 4_000


@pytest.mark.parametrize("cap", [0, 1, 300, 5_000])
def test_cut_result_stays_under_its_cap_or_nearly(cap: int) -> None:
    packed = pack('"' * 100_000, cap)
    assert len(packed.body) <= max(cap, 200)
    assert "100000" in packed.body.decode() or "200002" in packed.body.decode()


@pytest.mark.parametrize(
    "value", [{"a": "x" * 10**6}, ["y" * 1_000] * 10_000, {str(n): n for n in range(10**5)}, nested(900)]
)
def test_shortened_value_is_short(value: Any) -> None:
    assert len(json.dumps(shorten(value, 16_000))) < 40_000
    assert size_in_history(ToolSucceeded(step="s", result=shorten(value, 16_000))) < 40_000


# ----------------------------------------------------------------------------------------- references to large results


async def kept(bench: Bench, value: Any) -> str:
    digest = await bench.ledger.keep("refund-RR-1042", json.dumps(value).encode())
    assert isinstance(digest, str)
    return digest


async def test_late_reference_is_filled_in_before_the_fingerprint(bench: Bench) -> None:
    blob = await kept(bench, {"orders": [{"id": "77"}], "pad": "x" * 50_000})
    late = Deferred(
        at="/order_id", expression={"$from": "r1.s0", "path": "/orders/0/id"}, blobs={"r1.s0": blob}, origins=LISTED
    )
    order = bench.order("refund_keyed", args={"order_id": None}, deferred=(late,))
    assert isinstance(await bench.call("refund_keyed", order), ToolSucceeded)
    row = await bench.row(order)
    assert (row.args["order_id"], row.origin["/order_id"]) == ("77", "tool:list_orders")


LISTED = {"r1.s0": "tool:list_orders"}


async def test_late_text_is_rendered_from_stored_and_given_values(bench: Bench) -> None:
    blob = await kept(bench, {"name": "Ana"})
    late = Deferred(
        at="/note", expression="Dear {{s0/name}}, {{s1/id}}", blobs={"s0": blob}, values={"s1": {"id": "re_1"}}
    )
    args = {"order_id": "1042", "note": None}
    await bench.call("refund_keyed", args=args, deferred=(late,))
    assert (await bench.row(bench.order("refund_keyed"))).args["note"] == "Dear Ana, re_1"


@pytest.mark.parametrize("path", ["/nothing", "/orders/9"])
async def test_late_reference_to_nothing_is_refused_by_name(bench: Bench, path: str) -> None:
    blob = await kept(bench, {"orders": []})
    late = Deferred(at="/order_id", expression={"$from": "s0", "path": path}, blobs={"s0": blob})
    report = await bench.call("refund_keyed", args={"order_id": None}, deferred=(late,))
    assert isinstance(report, ToolRefused)
    assert report.code == "not_resolved"
    assert path in report.message


async def test_late_reference_to_a_lost_result_is_refused(bench: Bench) -> None:
    late = Deferred(at="/order_id", expression={"$from": "s0", "path": ""}, blobs={"s0": "0" * 32})
    report = await bench.call("refund_keyed", args={"order_id": None}, deferred=(late,))
    assert isinstance(report, ToolRefused)
    assert (report.code, bench.provider.requests) == ("not_resolved", 0)


def test_origin_is_said_for_every_value() -> None:
    args = {"to": {"name": "a", "tags": ["x", "y"]}, "body": "b", "a/b": 1, "empty": {}}
    assert complete_origin(args, {"/to": "tool:get", "/to/tags/1": "person"}) == {
        "/to": "tool:get",
        "/to/name": "tool:get",
        "/to/tags/0": "tool:get",
        "/to/tags/1": "person",
        "/body": "model",
        "/a~1b": "model",
        "/empty": "model",
    }


def test_integer_of_the_request_becomes_text_at_any_depth_where_only_text_fits() -> None:
    order = {"type": "object", "properties": {"id": {"type": "string"}, "count": {"type": "integer"}}}
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "order": {"$ref": "#/$defs/Order"},
            "ids": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
            "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            "anything": {},
        },
        "$defs": {"Order": order},
    }
    args = {"order": {"id": 7, "count": 7}, "ids": [7, -8, None], "either": 7, "anything": 7}
    origin = {
        "/order": "request",
        "/ids": "request",
        "/ids/0": "tool:get",
        "/either": "request",
        "/anything": "request",
    }
    written = numbers_as_text(args, origin, schema)
    assert written == {"order": {"id": "7", "count": 7}, "ids": [7, "-8", None], "either": 7, "anything": 7}
    assert args["order"] == {"id": 7, "count": 7}, "what came in stays as it is"
