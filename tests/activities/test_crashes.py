"""The table "crash point x effect" of the design, row by row, with the applications counted at the provider."""

from datetime import timedelta
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.results import pack, settle_with
from core.messages import OutcomeUnknown, Ruling, ToolRefused, ToolSucceeded, ToolUnavailable
from core.receipts import Evidence, RowState
from tests.activities.bench import NOT_SENT, REFUSAL, WRITES, Bench

SUCCEEDED, REFUSED, PERSON = ToolSucceeded, ToolRefused, OutcomeUnknown

# where the worker is killed: (method of the ledger, fault) or the fate of the request at the provider
BEFORE_CLAIM = {"claim": "crash"}
CLAIMED = {"mark": "crash"}
MARKED = {"mark": "crash_after"}
LOST = "crash_lost"
APPLIED = "crash_applied"
NO_RECEIPT = {"settle": "crash"}
UNREPORTED = {"settle": "crash_after"}


async def crash_at(bench: Bench, tool: str, point: Any) -> None:
    if isinstance(point, dict):
        for method, fault in point.items():
            bench.ledger.faults[method] = [fault]
    else:
        bench.provider.script = [point]
    await bench.crash(tool)


@pytest.mark.parametrize("effect", WRITES)
@pytest.mark.parametrize("point", [BEFORE_CLAIM, CLAIMED], ids=["before the claim", "claimed, no mark"])
async def test_crash_before_the_mark_is_free(bench: Bench, effect: str, point: Any) -> None:
    await crash_at(bench, f"refund_{effect}", point)
    assert isinstance(await bench.call(f"refund_{effect}"), ToolSucceeded)
    assert (len(bench.provider.applied), bench.provider.requests) == (1, 1)


CRASHES = [
    # crash point, effect, report, applications in all, requests in all, evidence
    (MARKED, "transactional", SUCCEEDED, 1, 1, Evidence.TRANSACTION),
    (MARKED, "idempotent", SUCCEEDED, 1, 1, Evidence.ANSWER),
    (MARKED, "keyed", SUCCEEDED, 1, 1, Evidence.ANSWER),
    (MARKED, "probed", SUCCEEDED, 1, 1, Evidence.ANSWER),
    (MARKED, "unrepeatable", PERSON, 0, 0, None),
    (LOST, "transactional", SUCCEEDED, 1, 2, Evidence.TRANSACTION),
    (LOST, "idempotent", SUCCEEDED, 1, 2, Evidence.ANSWER),
    (LOST, "keyed", SUCCEEDED, 1, 2, Evidence.ANSWER),
    (LOST, "probed", SUCCEEDED, 1, 2, Evidence.ANSWER),
    (LOST, "unrepeatable", PERSON, 0, 1, None),
    (APPLIED, "idempotent", SUCCEEDED, 1, 2, Evidence.ANSWER),
    (APPLIED, "keyed", SUCCEEDED, 1, 2, Evidence.ANSWER),
    (APPLIED, "probed", SUCCEEDED, 1, 1, Evidence.PROBE),
    (APPLIED, "unrepeatable", PERSON, 1, 1, None),
    (NO_RECEIPT, "transactional", SUCCEEDED, 1, 1, Evidence.TRANSACTION),
    (NO_RECEIPT, "idempotent", SUCCEEDED, 1, 2, Evidence.ANSWER),
    (NO_RECEIPT, "keyed", SUCCEEDED, 1, 2, Evidence.ANSWER),
    (NO_RECEIPT, "probed", SUCCEEDED, 1, 1, Evidence.PROBE),
    (NO_RECEIPT, "unrepeatable", PERSON, 1, 1, None),
    *((UNREPORTED, effect, SUCCEEDED, 1, 1, ...) for effect in WRITES),
]


@pytest.mark.parametrize("case", CRASHES, ids=lambda case: f"{case[0]}-{case[1]}")
async def test_crash_after_the_mark_is_resolved_by_the_kind_of_effect(bench: Bench, case: Any) -> None:
    point, effect, report, applied, requests, evidence = case
    tool = f"refund_{effect}"
    await crash_at(bench, tool, point)
    told = await bench.call(tool)
    assert type(told) is report
    assert (len(bench.provider.applied), bench.provider.requests) == (applied, requests)
    if evidence is not ...:
        assert (await bench.row(bench.order(tool))).evidence == evidence
    if isinstance(told, ToolSucceeded) and evidence is not ...:  # the provider's own answer goes without saying
        assert told.evidence == ("" if evidence is Evidence.ANSWER else evidence)
    assert type(await bench.call(tool)) is report, "a further attempt has to find the same"
    assert (len(bench.provider.applied), bench.provider.requests) == (applied, requests)


@pytest.mark.parametrize(
    ("effect", "report", "requests"),
    [
        ("transactional", REFUSED, 2),
        ("idempotent", REFUSED, 2),
        ("keyed", REFUSED, 2),
        ("probed", REFUSED, 2),
        ("unrepeatable", PERSON, 1),
    ],
)
async def test_a_definite_no_that_was_not_recorded_is_found_again(
    bench: Bench, effect: str, report: type, requests: int
) -> None:
    bench.provider.script = [REFUSAL, REFUSAL]
    await crash_at_settle(bench, f"refund_{effect}")
    assert type(await bench.call(f"refund_{effect}")) is report
    assert (bench.provider.applied, bench.provider.requests) == ([], requests)


async def crash_at_settle(bench: Bench, tool: str) -> None:
    bench.ledger.faults["settle"] = ["crash"]
    await bench.crash(tool)


async def test_read_runs_again_after_a_crash(bench: Bench) -> None:
    bench.provider.script = ["crash_applied"]
    await bench.crash("refund_read")
    assert isinstance(await bench.call("refund_read"), ToolSucceeded)
    assert bench.provider.requests == 2


@pytest.mark.parametrize("effect", WRITES)
@pytest.mark.parametrize("method", ["task", "find", "twin", "claim", "mark"])
@pytest.mark.parametrize("fault", ["down", "down_after"])
async def test_ledger_down_before_the_send_is_tried_again(bench: Bench, effect: str, method: str, fault: str) -> None:
    bench.ledger.faults[method] = [fault]
    assert isinstance(await bench.call(f"refund_{effect}"), ToolSucceeded)
    assert (len(bench.provider.applied), bench.provider.requests) == (1, 1)


@pytest.mark.parametrize("effect", WRITES)
@pytest.mark.parametrize("fault", ["down", "down_after"])
async def test_receipt_is_written_as_soon_as_the_ledger_is_back(bench: Bench, effect: str, fault: str) -> None:
    bench.ledger.faults["settle"] = [fault] * 3
    assert isinstance(await bench.attempt(f"refund_{effect}", bench.order(f"refund_{effect}")), ToolSucceeded)
    assert (len(bench.provider.applied), bench.provider.requests) == (1, 1)


@pytest.mark.parametrize(
    ("effect", "report", "requests"),
    [
        ("idempotent", SUCCEEDED, 2),
        ("keyed", SUCCEEDED, 2),
        ("probed", SUCCEEDED, 1),
        ("unrepeatable", PERSON, 1),
    ],
)
async def test_answer_lost_on_the_network_counts_as_doubt(
    bench: Bench, effect: str, report: type, requests: int
) -> None:
    bench.provider.script = ["answer_lost"]
    assert type(await bench.call(f"refund_{effect}")) is report
    assert (len(bench.provider.applied), bench.provider.requests) == (1, requests)


@pytest.mark.parametrize(("fate", "requests"), [("lost", 2), ("answer_lost", 1)])
async def test_commit_whose_answer_was_lost_is_looked_up_in_the_tools_database(
    bench: Bench, fate: str, requests: int
) -> None:
    bench.database.commit_fate = [fate]
    report = await bench.call("refund_transactional")
    assert isinstance(report, ToolSucceeded)
    assert report.result == {"id": "re_1"}
    assert (len(bench.provider.applied), bench.provider.requests) == (1, requests)


async def test_last_send_that_was_committed_unheard_is_no_failure(bench: Bench) -> None:
    bench.use_tools(attempts=1)
    bench.database.commit_fate = ["answer_lost"]
    assert isinstance(await bench.call("refund_transactional"), ToolSucceeded)
    assert len(bench.provider.applied) == 1


async def test_call_in_doubt_is_sent_again_after_a_pause(bench: Bench) -> None:
    bench.provider.script = ["lost"]
    with pytest.raises(ApplicationError) as raised:
        await bench.attempt("refund_keyed", bench.order("refund_keyed"))
    assert (raised.value.next_retry_delay, bench.provider.requests) == (timedelta(milliseconds=200), 1)


async def test_error_inside_a_transaction_rolls_back_and_is_tried_again(bench: Bench) -> None:
    bench.provider.script = [KeyError("a bug in the tool"), "answer_lost"]
    assert isinstance(await bench.call("refund_transactional"), ToolSucceeded)
    assert (len(bench.provider.applied), bench.provider.requests) == (1, 3)


async def test_transaction_that_never_works_is_unavailable(bench: Bench) -> None:
    bench.provider.script = ["lost"] * 9
    report = await bench.call("refund_transactional")
    assert isinstance(report, ToolUnavailable)
    assert (bench.provider.applied, bench.provider.requests) == ([], 3)


@pytest.mark.parametrize("settle_only", [False, True], ids=["runs", "ends"])
@pytest.mark.parametrize("effect", ["idempotent", "keyed"])
async def test_doubt_is_settled_by_sending_again_beyond_the_attempts(
    bench: Bench, effect: str, settle_only: bool
) -> None:
    bench.provider.script = ["crash_applied", *["answer_lost"] * 5]
    await bench.crash(f"refund_{effect}")
    assert isinstance(await bench.call(f"refund_{effect}", settle_only=settle_only), ToolSucceeded)
    assert (len(bench.provider.applied), bench.provider.requests) == (1, 7)


@pytest.mark.parametrize("effect", ["idempotent", "keyed"])
async def test_doubt_that_sending_again_does_not_settle_in_an_hour_is_a_persons(bench: Bench, effect: str) -> None:
    bench.provider.script = ["lost"] * 999
    started = bench.clock()
    report = await bench.call(f"refund_{effect}")
    assert isinstance(report, OutcomeUnknown)
    assert f"{bench.provider.requests} times" in report.reason
    assert timedelta(minutes=59) < bench.clock() - started < timedelta(minutes=61)
    assert bench.provider.requests > 300, "every 10 s"


async def test_doubt_is_settled_inside_half_of_the_key_window_only(bench: Bench) -> None:
    bench.use_tools(key_window="10m")
    bench.provider.script = ["lost"] * 999
    started = bench.clock()
    report = await bench.call("refund_keyed", settle_only=False)
    assert isinstance(report, OutcomeUnknown)
    assert "may have forgotten the key" in report.reason
    assert timedelta(minutes=4) < bench.clock() - started < timedelta(minutes=6)


async def test_attempts_bound_what_was_certainly_not_applied(bench: Bench) -> None:
    bench.provider.script = [NOT_SENT] * 9
    assert isinstance(await bench.call("refund_keyed"), ToolUnavailable)
    assert bench.provider.requests == 3


async def test_probed_call_that_never_arrives_is_unavailable(bench: Bench) -> None:
    bench.provider.script = ["lost"] * 9
    assert isinstance(await bench.call("refund_probed"), ToolUnavailable)
    assert (bench.provider.applied, bench.provider.requests, bench.provider.probes) == ([], 3, 6)


async def test_absent_is_believed_only_after_the_settle_time(bench: Bench) -> None:
    bench.use_tools(settle_time="60s")
    bench.provider.script = ["lost"]
    started = bench.clock()
    assert isinstance(await bench.call("refund_probed"), ToolSucceeded)
    assert (bench.clock() - started).total_seconds() >= 70, "deadline of 10 s, then 60 s to settle"


async def test_late_arrival_within_the_settle_time_is_found(bench: Bench) -> None:
    bench.provider.script = ["lost"]
    order = bench.order("refund_probed")
    with pytest.raises(Exception, match="may still arrive"):
        await bench.attempt("refund_probed", order)
    bench.provider.applied.append((order.key, ["1042", 5]))
    assert isinstance(await bench.call("refund_probed"), ToolSucceeded)
    assert (bench.provider.requests, (await bench.row(order)).evidence) == (1, Evidence.PROBE)


async def test_failing_probe_is_tried_again(bench: Bench) -> None:
    bench.provider.script = ["answer_lost"]
    bench.provider.probe_script = [ConnectionResetError("down")] * 4
    assert isinstance(await bench.call("refund_probed"), ToolSucceeded)
    assert (bench.provider.requests, bench.provider.probes) == (1, 5)


async def test_probe_that_fails_for_an_hour_asks_a_person(bench: Bench) -> None:
    bench.provider.script = ["answer_lost"]
    bench.provider.probe_script = [ConnectionResetError("down")] * 999
    order = bench.order("refund_probed")
    with pytest.raises(Exception, match="cannot ask"):
        await bench.attempt("refund_probed", order)
    bench.clock.advance(hours=2)
    report = await bench.call("refund_probed")
    assert isinstance(report, OutcomeUnknown)
    assert "cannot be asked" in report.reason


@pytest.mark.parametrize(
    ("hours", "report", "requests"), [(11.9, SUCCEEDED, 2), (12.1, PERSON, 1)], ids=["inside", "over"]
)
async def test_key_is_used_again_for_half_its_window(bench: Bench, hours: float, report: type, requests: int) -> None:
    await crash_at(bench, "refund_keyed", APPLIED)
    bench.clock.advance(hours=hours)
    assert type(await bench.call("refund_keyed")) is report
    assert (len(bench.provider.applied), bench.provider.requests) == (1, requests)


async def test_live_lease_is_waited_for(bench: Bench) -> None:
    await crash_at(bench, "refund_keyed", APPLIED)
    with pytest.raises(Exception, match="another attempt") as raised:
        await bench.attempt("refund_keyed", bench.order("refund_keyed"))
    delay = getattr(raised.value, "next_retry_delay", None)
    assert delay is not None
    assert 11 <= delay.total_seconds() <= 12, "the deadline of 10 s and 2 s more"


async def test_found_by_a_probe_counts_under_a_live_lease(bench: Bench) -> None:
    await crash_at(bench, "refund_probed", APPLIED)
    report = await bench.attempt("refund_probed", bench.order("refund_probed"))
    assert isinstance(report, ToolSucceeded)
    assert report.verified is True, "asking the provider is reading back"


async def test_mark_that_is_too_old_sends_nothing(bench: Bench) -> None:
    """A process that was stopped between mark and send wakes up: somebody else may have the row by then."""
    bench.ledger.faults["mark"] = [lambda: bench.clock.advance(seconds=3)]
    order = bench.order("refund_unrepeatable")
    with pytest.raises(Exception, match="too old"):
        await bench.attempt("refund_unrepeatable", order)
    assert bench.provider.requests == 0
    assert (await bench.row(order)).state is RowState.RESERVED
    assert isinstance(await bench.call("refund_unrepeatable"), ToolSucceeded)
    assert len(bench.provider.applied) == 1


async def test_zombie_in_reserved_is_fenced_off(bench: Bench) -> None:
    order = bench.order("refund_unrepeatable")
    await crash_at(bench, "refund_unrepeatable", CLAIMED)
    asleep = await bench.row(order)
    assert isinstance(await bench.call("refund_unrepeatable"), ToolSucceeded)
    deadline = bench.clock()
    assert await bench.ledger.mark(order.key, asleep.fence, deadline=deadline, lease_until=deadline) is None
    assert bench.provider.requests == 1


async def test_late_answer_settles_what_a_person_was_asked_about(bench: Bench) -> None:
    tool, order = "refund_unrepeatable", bench.order("refund_unrepeatable")
    bench.provider.script = ["answer_lost"]
    assert isinstance(await bench.call(tool), OutcomeUnknown)
    row = await bench.row(order)
    late = settle_with(pack({"id": "late"}, 1_000), Evidence.ANSWER)
    await bench.ledger.settle(order.key, row.fence, late)
    report = await bench.call(tool, bench.order(tool, ruling=Ruling(choice="did_not_happen", request_id="q1")))
    assert isinstance(report, ToolSucceeded), "what the ledger knows wins over what a person believes"
    assert report.result == {"id": "late"}
    assert bench.provider.requests == 1
