"""Which run may act: its own, one that continues it, a reset; and what a reset is told instead of acting."""

import asyncio
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities import Opening
from core.messages import (
    Adopted,
    EpochOpened,
    OpenOrder,
    OutcomeUnknown,
    ToolReport,
    ToolSucceeded,
    ToolUnavailable,
)
from core.receipts import RowState, TaskRow
from tests.activities.bench import REFUSAL, TASK, Bench
from tests.activities.test_opening_and_closing import open_task

TOOL = "refund_unrepeatable"


async def task_of(bench: Bench) -> TaskRow:
    task = await bench.ledger.task(TASK)
    assert isinstance(task, TaskRow)
    return task


def be(bench: Bench, run_id: str, *, is_open: bool = True) -> None:
    """Act as another run; `is_open`: Temporal says that it is the one that is open."""
    bench.run_id = run_id
    bench.runs.open_run = run_id if is_open else "another"


async def reset(bench: Bench, run_id: str = "run-2", tool: str = TOOL, **changes: Any) -> EpochOpened:
    be(bench, run_id)
    report = await bench.call(tool, **changes)
    assert isinstance(report, EpochOpened)
    return report


def told(report: EpochOpened) -> list[tuple[str, str, str]]:
    return [(one.step, one.tool, one.outcome) for one in report.adopted]


async def test_run_that_continues_the_bound_one_acts_at_once(bench: Bench) -> None:
    be(bench, "run-2", is_open=False)
    assert isinstance(await bench.call(TOOL, ancestors=["run-0", "run-1"]), ToolSucceeded)
    task = await task_of(bench)
    assert (task.run_id, task.epoch) == ("run-2", 0)


async def test_run_that_nobody_announced_is_told_of_a_new_epoch_instead_of_acting(bench: Bench) -> None:
    await bench.call("refund_keyed", intent=4)
    report = await reset(bench)
    assert (report.epoch, report.next_intent, told(report)) == (1, 5, [("r1.s4", "refund_keyed", "succeeded")])
    assert bench.provider.requests == 1
    task = await task_of(bench)
    assert (task.run_id, task.epoch) == ("run-2", 1)


async def test_every_call_of_a_reset_is_told_until_it_knows(bench: Bench) -> None:
    be(bench, "run-2")
    orders = [bench.order(TOOL, intent=intent, args={"order_id": str(intent)}) for intent in (1, 2, 3)]
    reports = await asyncio.gather(*(bench.attempt(TOOL, order) for order in orders))
    assert [(type(report), getattr(report, "epoch", None)) for report in reports] == [(EpochOpened, 1)] * 3
    assert bench.provider.requests == 0
    assert isinstance(await bench.call(TOOL, intent=9, epoch=1), ToolSucceeded)


@pytest.mark.parametrize("tool", ["refund_read", TOOL])
async def test_call_of_a_run_that_was_reset_sends_nothing(bench: Bench, tool: str) -> None:
    await reset(bench)
    be(bench, "run-1", is_open=False)
    with pytest.raises(ApplicationError, match="taken the place") as raised:
        await bench.call(tool)
    assert (raised.value.non_retryable, raised.value.type) == (True, "Superseded")
    assert bench.provider.requests == 0


async def test_run_that_is_not_open_any_more_is_no_reset(bench: Bench) -> None:
    be(bench, "run-2", is_open=False)
    with pytest.raises(ApplicationError, match="taken the place"):
        await bench.call(TOOL)
    task = await task_of(bench)
    assert (task.run_id, task.epoch, bench.provider.requests) == ("run-1", 0, 0)


async def test_temporal_that_cannot_be_asked_is_waited_for(bench: Bench) -> None:
    be(bench, "run-2")
    bench.runs.away = True
    with pytest.raises(ApplicationError, match="cannot ask") as raised:
        await bench.attempt(TOOL, bench.order(TOOL))
    assert not raised.value.non_retryable
    bench.runs.away = False
    assert (await reset(bench)).epoch == 1


async def test_second_reset_opens_a_second_epoch(bench: Bench) -> None:
    await reset(bench)
    assert isinstance(await bench.call(TOOL, intent=7, epoch=1), ToolSucceeded)
    report = await reset(bench, "run-3")
    assert (report.epoch, report.next_intent, told(report)) == (2, 8, [("r1.s7", TOOL, "succeeded")])


async def test_reset_to_before_an_epoch_is_told_of_the_latest(bench: Bench) -> None:
    await reset(bench)
    assert (await reset(bench, "run-3", epoch=1)).epoch == 2
    assert isinstance(await bench.call(TOOL, epoch=1), EpochOpened)


async def test_call_that_was_claimed_is_given_up_by_a_reset(bench: Bench) -> None:
    bench.ledger.faults["mark"] = ["crash"]
    await bench.crash(TOOL)
    report = await reset(bench)
    assert report.adopted == ()
    assert (await bench.row(bench.order(TOOL))).state is RowState.CANCELLED


async def test_claim_of_a_run_that_is_reset_meanwhile_is_fenced_off(bench: Bench) -> None:
    async def taken() -> None:
        await bench.ledger.inner.open_epoch(TASK, "run-2", instead_of="run-1")

    original = bench.ledger.inner.claim

    async def claim(*args: Any) -> Any:
        await taken()
        return await original(*args)

    bench.ledger.inner.claim = claim  # type: ignore[method-assign,assignment] # between its binding and its claim
    with pytest.raises(ApplicationError, match="taken the place") as raised:
        await bench.attempt(TOOL, bench.order(TOOL))
    assert (raised.value.type, bench.provider.requests) == ("Superseded", 0)


async def test_answer_of_a_call_in_flight_is_written_although_its_run_was_reset(bench: Bench) -> None:
    reached, go = asyncio.Event(), asyncio.Event()

    async def slow() -> dict[str, str]:
        reached.set()
        await go.wait()
        return {"id": "late"}

    bench.provider.script = [slow]
    running = asyncio.create_task(bench.attempt(TOOL, bench.order(TOOL)))
    await asyncio.wait_for(reached.wait(), 5)
    report = await reset(bench)
    assert told(report) == [("r1.s1", TOOL, "open")]
    go.set()
    assert isinstance(await asyncio.wait_for(running, 5), ToolSucceeded)
    settled = await settle(bench, report.adopted[0])
    assert isinstance(settled, ToolSucceeded)
    assert (settled.result, bench.provider.requests) == ({"id": "late"}, 1)


async def settle(bench: Bench, one: Adopted) -> ToolReport:
    """Look after an adopted effect as the core does: with its own key, and the arguments as they were shown."""
    return await bench.call(
        one.tool,
        step=f"r2.{one.step.replace('.', '_')}",
        intent=one.intent,
        key=one.key,
        digest=one.terms.digest,
        args=one.args,
        settle_only=True,
        epoch=1,
    )


@pytest.mark.parametrize(
    ("effect", "fate", "report", "requests"),
    [
        ("transactional", "crash_applied", ToolUnavailable, 1),
        ("idempotent", "crash_applied", ToolSucceeded, 2),
        ("keyed", "crash_applied", ToolSucceeded, 2),
        ("probed", "crash_applied", ToolSucceeded, 1),
        ("probed", "crash_lost", ToolUnavailable, 1),
        ("unrepeatable", "crash_applied", OutcomeUnknown, 1),
    ],
)
async def test_open_effect_of_the_abandoned_branch_is_settled_by_the_reset(
    bench: Bench, effect: str, fate: str, report: type, requests: int
) -> None:
    bench.provider.script = [fate]
    await bench.crash(f"refund_{effect}")
    opened = await reset(bench, tool=f"refund_{effect}")
    assert told(opened) == [("r1.s1", f"refund_{effect}", "open")]
    assert type(await settle(bench, opened.adopted[0])) is report
    assert bench.provider.requests == requests


async def test_person_who_says_that_it_did_not_happen_has_nothing_sent_by_the_reset(bench: Bench) -> None:
    bench.provider.script = ["lost"]
    await bench.call(TOOL)
    [one] = (await reset(bench)).adopted
    settled = await bench.call(
        TOOL,
        key=one.key,
        digest=one.terms.digest,
        settle_only=True,
        epoch=1,
        ruling={"choice": "did_not_happen", "request_id": "q9", "by": "lead"},
    )
    assert isinstance(settled, ToolUnavailable)
    assert bench.provider.requests == 1


async def test_what_a_reset_inherits_leaves_out_what_did_not_happen(bench: Bench) -> None:
    bench.provider.script = [REFUSAL]
    await bench.call(TOOL, intent=1, args={"order_id": "1"})
    bench.provider.script = ["lost"]
    await bench.call(TOOL, intent=2, args={"order_id": "2"})
    off = {"choice": "write_off", "request_id": "q1", "by": "lead"}
    await bench.call(TOOL, intent=2, args={"order_id": "2"}, ruling=off)
    await bench.call(TOOL, intent=3, args={"order_id": "3"})
    report = await reset(bench, intent=4)
    assert told(report) == [("r1.s2", TOOL, "unknown"), ("r1.s3", TOOL, "succeeded")]
    assert report.adopted[1].result == {"id": "re_1"}
    assert report.adopted[1].args == {"order_id": "3", "amount": 5, "note": ""}


async def test_large_result_is_inherited_by_its_digest(bench: Bench) -> None:
    bench.provider.result = {"text": "x" * 5_000}
    await bench.call(TOOL)
    [one] = (await reset(bench)).adopted
    assert one.blob is not None
    assert (one.result, one.preview.startswith('{"text":"xxx')) == (None, True)
    body = await bench.ledger.fetch(one.blob)
    assert isinstance(body, bytes)
    assert body.startswith(b'{"text":"xxx')


async def test_inheritance_that_does_not_fit_keeps_what_is_open_and_the_latest(bench: Bench) -> None:
    bench.provider.script = ["lost"]
    await bench.call(TOOL, intent=1, args={"order_id": "0"})
    for intent in range(2, 130):
        await bench.call("refund_keyed", intent=intent, args={"order_id": str(intent)})
    report = await reset(bench)
    steps = [one.step for one in report.adopted]
    assert (steps[0], steps[-1], len(steps)) == ("r1.s1", "r1.s129", 100)
    assert (report.not_shown, report.next_intent) == (29, 130)
    assert len(report.model_dump_json()) < 200_000


async def test_effect_of_a_tool_that_is_gone_is_inherited_on_the_terms_of_its_row(bench: Bench) -> None:
    bench.provider.script = ["crash_applied"]
    await bench.crash("refund_keyed")
    row = await bench.row(bench.order("refund_keyed"))
    del bench.tools["refund_keyed"]
    [one] = (await reset(bench)).adopted
    assert (one.terms.digest, one.terms.effect) == (row.contract_digest, "keyed")
    assert isinstance(await settle(bench, one), OutcomeUnknown)


# ------------------------------------------------------------------------------------------------------------- opening


async def test_reset_to_before_the_opening_opens_an_epoch(bench: Bench) -> None:
    await bench.call(TOOL, intent=3)
    report: Any = await open_task(bench, run_id="run-2", task_id=TASK, first_run_id="run-1")
    assert (report.epoch, report.next_intent, report.is_reset) == (1, 4, True)
    assert [one.step for one in report.adopted] == ["r1.s3"]
    assert report == await open_task(bench, run_id="run-2", task_id=TASK, first_run_id="run-1"), "a second attempt"


async def test_task_that_is_run_again_is_no_reset_and_knows_what_was_done(bench: Bench) -> None:
    await bench.call(TOOL, intent=3)
    report: Any = await open_task(bench, run_id="run-2", task_id=TASK, first_run_id="run-2", again=True)
    assert (report.epoch, report.next_intent, report.is_reset) == (1, 4, False)
    assert [one.step for one in report.adopted] == ["r1.s3"]


async def test_first_opening_knows_of_nothing(bench: Bench) -> None:
    report: Any = await open_task(bench, first_run_id="run-1")
    assert (report.epoch, report.next_intent, report.adopted, report.is_reset) == (0, 1, (), False)


async def test_opening_of_a_run_that_is_not_open_any_more_binds_nothing(bench: Bench) -> None:
    be(bench, "run-0", is_open=False)
    env = bench.environment("open_task")
    opening = Opening(bench.staff, bench.ledger, bench.runs, bench.clock)
    order = OpenOrder(task_id=TASK, agent="support_desk", goal="g", first_run_id="run-1")
    report = await env.run(opening.open_task, order)
    assert (report.kind, (await task_of(bench)).run_id) == ("TaskRefused", "run-1")
