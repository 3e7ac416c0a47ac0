"""What the door does with one call that nothing crashes: checks, similar calls, failures, cancellation."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from core.errors import NotSent, Refused
from core.messages import Deferred, OutcomeUnknown, ToolRefused, ToolSucceeded, ToolUnavailable
from core.receipts import RowState
from tests.activities.bench import CANCEL, NOT_SENT, REFUSAL, SHUTDOWN, WRITES, Bench, Crash

ORDER = ("/order_id", "/amount")


@pytest.mark.parametrize("effect", WRITES)
async def test_success_takes_three_durable_writes_and_is_settled(bench: Bench, effect: str) -> None:
    report = await bench.call(f"refund_{effect}")
    assert isinstance(report, ToolSucceeded)
    assert (report.result, report.step, report.verified) == ({"id": "re_1"}, "r1.s1", None)
    writes = [name for name in bench.ledger.calls if name not in ("open_task", "task", "find", "twin")]
    assert writes == ["claim", "mark", "settle"]


async def test_tool_is_told_key_attempt_and_inputs(bench: Bench) -> None:
    seen: list[Any] = []
    bench.provider.script = [NOT_SENT]
    original = bench.tools["refund_keyed"].send

    async def spy(call: Any, args: Any) -> Any:
        seen.append(call)
        return await original(call, args)

    bench.tools["refund_keyed"].send = spy  # type: ignore[method-assign]
    order = bench.order("refund_keyed")
    await bench.call("refund_keyed", order)
    assert [call.attempt for call in seen] == [1, 2]
    assert {call.key for call in seen} == {order.key}
    assert seen[1].inputs == {"order_id": "1042"}
    assert seen[1].deadline == bench.clock() + timedelta(seconds=10)


async def test_unknown_tool_is_refused(bench: Bench) -> None:
    report = await bench.call("refund_everything")
    assert isinstance(report, ToolRefused)
    assert report.code == "contract_changed"


async def test_unknown_agent_is_refused(bench: Bench) -> None:
    report = await bench.call("refund_keyed", agent="nobody")
    assert isinstance(report, ToolRefused)
    assert report.code == "contract_changed"


async def test_changed_contract_is_refused_before_anything_happens(bench: Bench) -> None:
    report = await bench.call("refund_keyed", digest="0" * 16)
    assert isinstance(report, ToolRefused)
    assert (report.code, bench.provider.requests) == ("contract_changed", 0)


async def test_receipt_is_told_even_if_the_tool_is_gone(bench: Bench) -> None:
    order = bench.order("refund_keyed")
    await bench.call("refund_keyed", order)
    del bench.tools["refund_keyed"]
    assert isinstance(await bench.call("refund_keyed", order), ToolSucceeded)


@pytest.mark.parametrize("effect", ["transactional", "keyed", "probed", "unrepeatable"])
async def test_doubt_about_a_tool_that_is_gone_is_a_persons(bench: Bench, effect: str) -> None:
    order = bench.order(f"refund_{effect}")
    bench.provider.script = ["crash_applied"]
    await bench.crash(f"refund_{effect}", order)
    del bench.tools[f"refund_{effect}"]
    assert isinstance(await bench.call(f"refund_{effect}", order), OutcomeUnknown)


async def test_doubt_survives_a_change_of_contract_that_leaves_the_call_as_it_was(bench: Bench) -> None:
    order = bench.order("refund_keyed")
    bench.provider.script = ["crash_applied"]
    await bench.crash("refund_keyed", order)
    bench.use_tools(timeout="20s")
    assert isinstance(await bench.call("refund_keyed", order), ToolSucceeded)
    assert len(bench.provider.applied) == 1


async def test_bad_arguments_are_refused_by_name(bench: Bench) -> None:
    report = await bench.call("refund_keyed", args={"order_id": "1042", "colour": "red"})
    assert isinstance(report, ToolRefused)
    assert report.code == "bad_arguments"
    assert "colour" in report.message


async def test_integer_of_the_request_is_passed_as_text_where_the_tool_takes_only_text(bench: Bench) -> None:
    order = bench.order("refund_keyed", args={"order_id": 1042, "amount": 7}, origin=dict.fromkeys(ORDER, "request"))
    assert isinstance(await bench.call("refund_keyed", order), ToolSucceeded)
    [case] = bench.rules.cases
    assert (case.args["order_id"], case.args["amount"], case.origin["/order_id"]) == ("1042", 7, "request")
    assert bench.provider.applied == [(order.key, ["1042", 7])]
    assert (await bench.row(order)).args["order_id"] == "1042"


async def test_integer_of_the_request_that_only_the_door_finds_is_passed_as_text(bench: Bench) -> None:
    late = Deferred(
        at="/order_id",
        expression={"$from": "inputs", "path": "/order"},
        blobs={},
        values={"inputs": {"order": 1042}},
        origins={"inputs": "request"},
    )
    report = await bench.call("refund_keyed", args={"order_id": None}, deferred=(late,))
    assert isinstance(report, ToolSucceeded)


@pytest.mark.parametrize(
    ("value", "source"), [(1042, "model"), (1042, "tool:get_order"), (True, "request"), (10.5, "request")]
)
async def test_nothing_but_an_integer_of_the_request_becomes_text(bench: Bench, value: Any, source: str) -> None:
    report = await bench.call("refund_keyed", args={"order_id": value}, origin={"/order_id": source})
    assert isinstance(report, ToolRefused)
    assert (report.code, bench.provider.requests) == ("bad_arguments", 0)


@pytest.mark.parametrize("effect", WRITES)
async def test_same_key_with_other_arguments_is_a_conflict(bench: Bench, effect: str) -> None:
    tool = f"refund_{effect}"
    await bench.call(tool)
    report = await bench.call(tool, args={"order_id": "1042", "amount": 6})
    assert isinstance(report, ToolRefused)
    assert (report.code, bench.provider.requests) == ("key_conflict", 1)


async def test_same_key_with_other_arguments_is_a_conflict_before_the_mark_too(bench: Bench) -> None:
    bench.ledger.faults["mark"] = ["crash"]
    await bench.crash("refund_keyed")
    report = await bench.call("refund_keyed", args={"order_id": "1042", "amount": 6})
    assert isinstance(report, ToolRefused)
    assert (report.code, bench.provider.requests) == ("key_conflict", 0)


# ----------------------------------------------------------------------------------------------------- similar calls


async def test_similar_call_that_succeeded_is_not_made_again(bench: Bench) -> None:
    await bench.call("refund_unrepeatable")
    report = await bench.call("refund_unrepeatable", intent=2, args={"order_id": "1042", "note": "again"})
    assert isinstance(report, ToolSucceeded)
    assert (report.already, report.of, report.step, report.result) == (True, "r1.s1", "r1.s2", {"id": "re_1"})
    assert bench.provider.requests == 1


async def test_rightful_repetition_names_the_step(bench: Bench) -> None:
    await bench.call("refund_unrepeatable")
    report = await bench.call("refund_unrepeatable", intent=2, repeat_of="r1.s1")
    assert isinstance(report, ToolSucceeded)
    assert (report.already, bench.provider.requests) == (False, 2)
    assert bench.rules.cases[-1].facts["repeat_of"] == "r1.s1"


@pytest.mark.parametrize("repeat_of", [None, "r1.s1"])
async def test_similar_call_in_doubt_stands_in_the_way(bench: Bench, repeat_of: str | None) -> None:
    bench.provider.script = ["lost"]
    await bench.call("refund_unrepeatable")
    report = await bench.call("refund_unrepeatable", intent=2, repeat_of=repeat_of)
    assert isinstance(report, ToolRefused)
    assert (report.code, bench.provider.requests) == ("in_the_way", 1)
    assert "r1.s1" in report.message


async def test_similar_call_that_failed_for_good_does_not_count(bench: Bench) -> None:
    bench.provider.script = [REFUSAL]
    assert isinstance(await bench.call("refund_unrepeatable"), ToolRefused)
    assert isinstance(await bench.call("refund_unrepeatable", intent=2), ToolSucceeded)


async def test_two_similar_calls_at_once_are_one_effect(bench: Bench) -> None:
    tool = "refund_unrepeatable"
    orders = [bench.order(tool, intent=intent) for intent in (1, 2)]
    reports = await asyncio.gather(*(bench.attempt(tool, order) for order in orders))
    assert sorted(type(report).__name__ for report in reports) == ["ToolRefused", "ToolSucceeded"]
    assert bench.provider.requests == 1


async def test_two_attempts_at_once_are_one_effect(bench: Bench) -> None:
    tool = "refund_unrepeatable"
    attempts = [bench.attempt(tool, bench.order(tool)) for _ in range(4)]
    reports = await asyncio.gather(*attempts, return_exceptions=True)
    assert bench.provider.requests == 1
    assert {type(report) for report in reports} <= {ToolSucceeded, ApplicationError}
    assert isinstance(await bench.call(tool), ToolSucceeded)
    assert bench.provider.requests == 1


async def test_earlier_revision_that_was_never_sent_makes_way(bench: Bench) -> None:
    bench.ledger.faults["mark"] = ["crash"]
    await bench.crash("refund_keyed")
    bench.clock.advance(minutes=1)
    report = await bench.call("refund_keyed", revision=2, args={"order_id": "1042", "amount": 7})
    assert isinstance(report, ToolSucceeded)
    assert (await bench.row(bench.order("refund_keyed"))).state is RowState.CANCELLED


# ---------------------------------------------------------------------------------------------------------- failures


async def test_definite_no_is_kept(bench: Bench) -> None:
    bench.provider.script = [REFUSAL]
    for _ in range(2):
        report = await bench.call("refund_keyed")
        assert isinstance(report, ToolRefused)
        assert (report.code, report.outcome) == ("not_refundable", "failed")
    assert bench.provider.requests == 1


@pytest.mark.parametrize("effect", WRITES)
async def test_call_that_is_never_sent_is_unavailable_and_stays_so(bench: Bench, effect: str) -> None:
    bench.provider.script = [NOT_SENT] * 9
    for _ in range(2):
        report = await bench.call(f"refund_{effect}")
        assert isinstance(report, ToolUnavailable)
        assert report.attempts == 3
        assert "connection refused" in report.reason
    assert bench.provider.requests == 3


async def test_other_side_says_when_to_come_back(bench: Bench) -> None:
    bench.provider.script = [NotSent("rate limited", retry_after=42)]
    with pytest.raises(ApplicationError) as raised:
        await bench.attempt("refund_keyed", bench.order("refund_keyed"))
    assert (raised.value.next_retry_delay, raised.value.non_retryable) == (timedelta(seconds=42), False)


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf"), -1.0, 1e12])
async def test_nonsense_in_retry_after_does_not_park_a_call(bench: Bench, nonsense: float) -> None:
    bench.provider.script = [NotSent("rate limited", retry_after=nonsense)]
    with pytest.raises(ApplicationError) as raised:
        await bench.attempt("refund_keyed", bench.order("refund_keyed"))
    assert raised.value.next_retry_delay is not None
    assert raised.value.next_retry_delay <= timedelta(hours=1)


async def test_not_sent_after_a_doubt_stays_a_doubt(bench: Bench) -> None:
    bench.provider.script = ["answer_lost", *[NOT_SENT] * 999]
    report = await bench.call("refund_keyed")
    assert isinstance(report, OutcomeUnknown), "the first send may have been applied, and was"
    assert len(bench.provider.applied) == 1


async def test_not_sent_after_a_doubt_is_sent_again_until_it_is_answered(bench: Bench) -> None:
    bench.provider.script = ["answer_lost", *[NOT_SENT] * 5]
    assert isinstance(await bench.call("refund_keyed"), ToolSucceeded)
    assert (len(bench.provider.applied), bench.provider.requests) == (1, 7)


@pytest.mark.parametrize("code", ["http_412", "http_404", "already_exists"])
async def test_conflict_after_a_doubt_is_not_believed(bench: Bench, code: str) -> None:
    """The precondition of an idempotent call fails because its own first send was applied."""
    bench.provider.script = ["answer_lost", *[Refused(code)] * 9]
    report = await bench.call("refund_idempotent")
    assert isinstance(report, OutcomeUnknown)
    assert code in report.reason
    assert bench.provider.requests == 3, "it would say so again"


async def test_missing_credentials_say_nothing_of_an_earlier_send(bench: Bench) -> None:
    bench.provider.script = ["answer_lost", *[Refused("http_401")] * 5]
    assert isinstance(await bench.call("refund_keyed"), ToolSucceeded)
    assert len(bench.provider.applied) == 1


async def test_tool_that_does_not_answer_is_cut_off(bench: Bench) -> None:
    bench.use_tools(timeout="50ms")

    async def hang() -> None:
        await asyncio.Event().wait()

    bench.provider.script = [hang]
    report = await bench.call("refund_unrepeatable")
    assert isinstance(report, OutcomeUnknown)
    assert bench.provider.requests == 1


async def test_tool_that_does_not_listen_is_left_behind(bench: Bench) -> None:
    bench.use_tools(timeout="50ms")
    go = asyncio.Event()

    async def stubborn() -> None:
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                continue
        raise KeyError("nobody hears this")

    bench.provider.script = [stubborn]
    assert isinstance(await bench.call("refund_unrepeatable"), OutcomeUnknown)
    go.set()
    await asyncio.sleep(0)


async def test_unexpected_error_before_the_mark_is_loud(bench: Bench) -> None:
    def broken(case: Any) -> Any:
        raise ZeroDivisionError("a bug")

    bench.rules.judge = broken  # type: ignore[method-assign]
    with pytest.raises(ApplicationError) as raised:
        await bench.attempt("refund_keyed", bench.order("refund_keyed"))
    assert (raised.value.non_retryable, raised.value.type) == (True, "ZeroDivisionError")
    assert raised.value.__cause__ is None, "a cause enters history with its traceback, of any size"


async def test_unexpected_error_of_the_tool_leaves_a_doubt(bench: Bench) -> None:
    bench.provider.script = [ZeroDivisionError("a bug")]
    assert isinstance(await bench.call("refund_unrepeatable"), OutcomeUnknown)
    assert (await bench.row(bench.order("refund_unrepeatable"))).state is RowState.NEEDS_PERSON
    assert "send.failed" in await bench.events()


# --------------------------------------------------------------------------------------------------------- preflight


async def test_preflight_refuses_before_anybody_is_asked(bench: Bench) -> None:
    bench.provider.preflight_script = [REFUSAL]
    report = await bench.call("refund_checked")
    assert isinstance(report, ToolRefused)
    assert (report.code, bench.provider.requests, bench.rules.cases) == ("not_refundable", 0, [])


async def test_preflights_facts_reach_policy(bench: Bench) -> None:
    bench.provider.facts = {"paid_cents": 500}
    await bench.call("refund_checked")
    assert bench.rules.cases[0].facts == {"paid_cents": 500}


async def test_preflight_that_fails_is_tried_again(bench: Bench) -> None:
    bench.provider.preflight_script = [ConnectionResetError("down")] * 2
    assert isinstance(await bench.call("refund_checked"), ToolSucceeded)
    assert bench.provider.preflights == 3


async def test_preflight_that_keeps_failing_is_unavailable(bench: Bench) -> None:
    bench.provider.preflight_script = [ConnectionResetError("down")] * 9
    assert isinstance(await bench.call("refund_checked"), ToolUnavailable)
    assert (bench.provider.preflights, bench.provider.requests) == (3, 0)


async def test_nothing_is_sent_when_its_answer_could_come_too_late(bench: Bench) -> None:
    """Temporal cuts an attempt off at its budget: a send that is under way then would be a doubt for nothing."""
    original = bench.tools["refund_checked"].preflight

    async def slow(call: Any, args: Any) -> Any:
        bench.clock.advance(seconds=15)
        return await original(call, args)

    bench.tools["refund_checked"].preflight = slow  # type: ignore[method-assign]
    with pytest.raises(ApplicationError, match="too little time"):
        await bench.attempt("refund_checked", bench.order("refund_checked"))
    assert bench.provider.requests == 0


async def test_success_is_not_turned_into_a_refusal_by_its_own_preflight(bench: Bench) -> None:
    bench.ledger.faults["settle"] = ["crash_after"]
    await bench.crash("refund_checked")
    bench.provider.preflight_script = [Refused("already_refunded")] * 9
    assert isinstance(await bench.call("refund_checked"), ToolSucceeded)


async def test_refusal_after_a_claim_frees_the_similarity(bench: Bench) -> None:
    bench.ledger.faults["mark"] = ["crash"]
    await bench.crash("refund_checked")
    bench.provider.preflight_script = [REFUSAL]
    assert isinstance(await bench.call("refund_checked"), ToolRefused)
    assert (await bench.row(bench.order("refund_checked"))).state is RowState.CANCELLED
    assert isinstance(await bench.call("refund_checked", intent=2), ToolSucceeded)


# ----------------------------------------------------------------------------------------------------------- verify


@pytest.mark.parametrize(
    ("verdicts", "verified"),
    [
        ([True], True),
        ([False, False, True], True),
        ([False] * 9, False),
        ([KeyError("a bug")] * 9, False),
    ],
)
async def test_read_back_decides_whether_it_is_confirmed(bench: Bench, verdicts: list[Any], verified: bool) -> None:
    bench.provider.verdicts = verdicts
    report = await bench.call("refund_verified")
    assert isinstance(report, ToolSucceeded)
    assert (report.verified, bench.provider.requests) == (verified, 1)
    assert (await bench.row(bench.order("refund_verified"))).verified is verified


async def test_crash_during_the_read_back_keeps_the_known_answer(bench: Bench) -> None:
    bench.provider.verdicts = [Crash()]
    await bench.crash("refund_verified")
    report = await bench.call("refund_verified")
    assert isinstance(report, ToolSucceeded)
    assert (bench.provider.requests, report.result) == (1, {"id": "re_1"})


# ------------------------------------------------------------------------------------------------------ cancellation


class Gate:
    """A request that stays open until it is let go."""

    def __init__(self) -> None:
        self.reached, self.go = asyncio.Event(), asyncio.Event()

    async def __call__(self) -> dict[str, str]:
        self.reached.set()
        await self.go.wait()
        return {"id": "slow"}


@pytest.mark.parametrize("details", [CANCEL, SHUTDOWN], ids=["cancelled", "worker stops"])
@pytest.mark.parametrize("effect", WRITES)
async def test_cancel_in_mid_send_waits_for_the_receipt(bench: Bench, effect: str, details: Any) -> None:
    tool, gate = f"refund_{effect}", Gate()
    bench.provider.script = [gate]
    env = bench.environment(tool)
    running = asyncio.create_task(bench.attempt(tool, bench.order(tool), env=env))
    await asyncio.wait_for(gate.reached.wait(), 5)
    env.cancel(details)
    await asyncio.sleep(0)
    gate.go.set()
    report = await asyncio.wait_for(running, 5)
    assert isinstance(report, ToolSucceeded)
    assert report.result == {"id": "slow"}
    assert (len(bench.provider.applied), bench.provider.requests) == (1, 1)


@pytest.mark.parametrize("details", [CANCEL, SHUTDOWN], ids=["called back", "stops"])
async def test_cancel_before_the_mark_sends_nothing(bench: Bench, details: Any) -> None:
    tool = "refund_unrepeatable"
    env = bench.environment(tool)
    bench.ledger.faults["claim"] = [lambda: env.cancel(details)]
    with pytest.raises(asyncio.CancelledError):
        await bench.attempt(tool, bench.order(tool), env=env)
    assert bench.provider.requests == 0
    row = await bench.row(bench.order(tool))
    assert (row.state, row.lease_until) == (RowState.RESERVED, bench.clock())
    assert isinstance(await bench.call(tool, settle_only=True), ToolUnavailable)
    assert (await bench.row(bench.order(tool))).state is RowState.CANCELLED
    assert bench.provider.requests == 0


async def test_call_of_a_stopped_worker_goes_on_elsewhere(bench: Bench) -> None:
    tool = "refund_unrepeatable"
    env = bench.environment(tool)
    bench.ledger.faults["claim"] = [lambda: env.cancel(SHUTDOWN)]
    with pytest.raises(asyncio.CancelledError):
        await bench.attempt(tool, bench.order(tool), env=env)
    assert isinstance(await bench.call(tool), ToolSucceeded)
    assert bench.provider.requests == 1


async def test_heart_beats_while_a_tool_takes_its_time(bench: Bench) -> None:
    gate = Gate()
    bench.provider.script = [gate]
    running = asyncio.create_task(bench.call("refund_keyed"))
    await asyncio.wait_for(gate.reached.wait(), 5)
    async with asyncio.timeout(10):
        while bench.heartbeats < 2:
            await asyncio.sleep(0.05)
    gate.go.set()
    await running


# -------------------------------------------------------------------------------------------------- the task is ending


async def test_ending_task_sends_nothing_new(bench: Bench) -> None:
    report = await bench.call("refund_keyed", settle_only=True)
    assert isinstance(report, ToolUnavailable)
    assert bench.provider.requests == 0


async def test_ending_task_gives_up_a_claim(bench: Bench) -> None:
    bench.ledger.faults["mark"] = ["crash"]
    await bench.crash("refund_keyed")
    assert isinstance(await bench.call("refund_keyed", settle_only=True), ToolUnavailable)
    assert (await bench.row(bench.order("refund_keyed"))).state is RowState.CANCELLED


@pytest.mark.parametrize(
    ("effect", "fate", "report", "requests"),
    [
        ("transactional", "crash_applied", ToolUnavailable, 1),
        ("keyed", "crash_applied", ToolSucceeded, 2),
        ("keyed", "crash_lost", ToolSucceeded, 2),
        ("idempotent", "crash_applied", ToolSucceeded, 2),
        ("probed", "crash_applied", ToolSucceeded, 1),
        ("probed", "crash_lost", ToolUnavailable, 1),
        ("unrepeatable", "crash_applied", OutcomeUnknown, 1),
    ],
)
async def test_ending_task_finds_out_and_begins_nothing(
    bench: Bench, effect: str, fate: str, report: type, requests: int
) -> None:
    bench.provider.script = [fate]
    await bench.crash(f"refund_{effect}")
    assert type(await bench.call(f"refund_{effect}", settle_only=True)) is report
    assert bench.provider.requests == requests


async def test_settling_takes_the_arguments_that_were_sent(bench: Bench) -> None:
    """Those of an adopted call may be cut in the order."""
    bench.provider.script = ["crash_applied"]
    await bench.crash("refund_keyed")
    assert isinstance(await bench.call("refund_keyed", settle_only=True, args={}), ToolSucceeded)
    assert bench.provider.applied == [(bench.order("refund_keyed").key, ["1042", 5])]


# ------------------------------------------------------------------------------------------------------------- reads


async def test_read_leaves_an_observation_and_no_receipt(bench: Bench) -> None:
    report = await bench.call("refund_read")
    assert isinstance(report, ToolSucceeded)
    assert await bench.ledger.rows("refund-RR-1042") == []
    [line] = [line async for line in bench.ledger.lines("refund-RR-1042")]
    assert (line.event, line.fields["result"], line.tool) == ("tool.observed", {"id": "re_1"}, "refund_read")


async def test_read_is_tried_again_until_its_attempts_are_used_up(bench: Bench) -> None:
    bench.provider.script = ["lost"] * 9
    report = await bench.call("refund_read")
    assert isinstance(report, ToolUnavailable)
    assert (report.attempts, bench.provider.requests) == (3, 3)


async def test_read_that_is_refused_is_not_tried_again(bench: Bench) -> None:
    bench.provider.script = [Refused("not_found", "no such order")]
    report = await bench.call("refund_read")
    assert isinstance(report, ToolRefused)
    assert (report.code, bench.provider.requests) == ("not_found", 1)


@pytest.mark.parametrize("choice", ["happened", "write_off"])
async def test_ruling_on_a_call_that_was_never_sent_does_not_send_it(bench: Bench, choice: str) -> None:
    tool = "refund_unrepeatable"
    report = await bench.call(tool, ruling={"choice": choice, "request_id": "q1", "by": "lead"})
    assert isinstance(report, ToolRefused)
    assert report.code == "not_wanted"
    assert bench.provider.requests == 0


async def test_half_a_surrogate_pair_in_an_error_does_not_hold_up_the_report(bench: Bench) -> None:
    bench.provider.script = [RuntimeError("half \ud800")] * 9
    report = await bench.call("refund_read")
    assert isinstance(report, ToolUnavailable)
    report.model_dump_json()
