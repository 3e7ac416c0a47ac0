"""How a task starts, and how it is proven to be done."""

import json
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities import Closing, Opening
from core.messages import (
    ConcludeOrder,
    ConcludeReport,
    Deferred,
    OpenOrder,
    OpenReport,
    OutcomeNotVerified,
    OutcomeVerified,
    Ruling,
    TaskOpened,
    TaskRefused,
    ToolSucceeded,
)
from core.receipts import RowState
from tests.activities.bench import NOT_SENT, REFUSAL, TASK, Bench

# -------------------------------------------------------------------------------------------------------------- opening


async def open_task(bench: Bench, run_id: str = "run-1", attributes: bool = True, **changes: Any) -> OpenReport:
    opening = Opening(bench.staff, bench.ledger, bench.runs, bench.clock, attributes)
    bench.run_id = bench.runs.open_run = run_id
    env = bench.environment("open_task")
    fields = {"task_id": "new", "agent": "support_desk", "goal": "g", "inputs": {"a": 1}, "requested_by": "rita"}
    return await env.run(opening.open_task, OpenOrder.model_validate(fields | changes))


@pytest.mark.parametrize("attributes", [True, False])
async def test_task_is_bound_to_its_run_and_told_about_its_agent(bench: Bench, attributes: bool) -> None:
    report = await open_task(bench, attributes=attributes)
    assert isinstance(report, TaskOpened)
    assert (report.profile.namespace, report.profile.search_attributes) == ("default", attributes)
    assert report.next_intent == 1
    task = await bench.ledger.task("new")
    assert (task.requested_by, task.inputs, task.first_run_id) == ("rita", {"a": 1}, "run-1")


async def test_same_run_may_open_twice(bench: Bench) -> None:
    assert await open_task(bench) == await open_task(bench)


async def test_second_run_of_an_id_is_refused_with_the_way_out(bench: Bench) -> None:
    await open_task(bench)
    report = await open_task(bench, run_id="run-2")
    assert isinstance(report, TaskRefused)
    assert "--again" in report.reason


async def test_second_run_that_was_asked_for_numbers_on(bench: Bench) -> None:
    await bench.call("refund_keyed", intent=4)
    report = await open_task(bench, run_id="run-2", task_id=TASK, again=True)
    assert isinstance(report, TaskOpened)
    assert report.next_intent == 5


async def test_unknown_agent_is_refused_naming_those_that_exist(bench: Bench) -> None:
    report = await open_task(bench, agent="suport_desk")
    assert isinstance(report, TaskRefused)
    assert "support_desk" in report.reason


async def test_ledger_that_is_down_is_waited_for(bench: Bench) -> None:
    bench.ledger.faults["open_task"] = ["down"]
    with pytest.raises(ApplicationError) as raised:
        await open_task(bench)
    assert not raised.value.non_retryable


# -------------------------------------------------------------------------------------------------------------- closing


async def conclude(bench: Bench, answer: str = "Done.", *deferred: Deferred) -> ConcludeReport:
    closing = Closing(bench.staff, bench.ledger, bench.clock)
    order = ConcludeOrder(agent="support_desk", task_id=TASK, answer=answer, deferred=deferred)
    return await bench.environment("conclude").run(closing.conclude, order)


async def test_conditions_are_asked_about_receipts_and_reads(bench: Bench) -> None:
    bench.provider.result = {"text": "x" * 20_000}
    await bench.call("refund_keyed")
    await bench.call("refund_read", intent=2)
    bench.provider.script = [REFUSAL]
    await bench.call("refund_keyed", intent=3, args={"order_id": "3"})
    bench.provider.script = [NOT_SENT] * 3
    await bench.call("refund_keyed", intent=4, args={"order_id": "4"})
    assert await conclude(bench) == OutcomeVerified(answer="Done.")
    effects, reads, task, inputs = bench.conditions.asked[0]
    assert [(effect["step"], effect["outcome"]) for effect in effects] == [
        ("r1.s1", "succeeded"),
        ("r1.s3", "failed"),
        ("r1.s4", "cancelled"),
    ]
    assert effects[0]["result"] == bench.provider.result, "a result that is a blob is fetched"
    assert effects[0]["args"]["order_id"] == "1042"
    assert [(read["tool"], read["result"]) for read in reads] == [("refund_read", bench.provider.result)]
    assert task == {"id": TASK, "agent": "support_desk", "requested_by": "rita", "goal": "refund"}
    assert inputs == {"order_id": "1042"}


async def test_unmet_condition_is_told(bench: Bench) -> None:
    bench.conditions.missing = ["effects.exists(...): no e-mail was sent"]
    report = await conclude(bench)
    assert isinstance(report, OutcomeNotVerified)
    assert report.unmet == ("effects.exists(...): no e-mail was sent",)


async def test_effect_in_doubt_keeps_a_task_open(bench: Bench) -> None:
    bench.provider.script = ["answer_lost"]
    await bench.call("refund_unrepeatable")
    report = await conclude(bench)
    assert isinstance(report, OutcomeNotVerified)
    assert "r1.s1 (refund_unrepeatable) is NEEDS_PERSON" in report.unmet[0]


async def test_written_off_effect_is_unknown_and_keeps_nothing_open(bench: Bench) -> None:
    bench.provider.script = ["answer_lost"]
    await bench.call("refund_unrepeatable")
    await bench.call("refund_unrepeatable", ruling=Ruling(choice="write_off", request_id="q1", by="ana"))
    assert isinstance(await conclude(bench), OutcomeVerified)
    assert bench.conditions.asked[0][0][0]["outcome"] == "unknown"


async def test_claim_that_was_never_sent_is_given_up(bench: Bench) -> None:
    bench.ledger.faults["mark"] = ["crash"]
    await bench.crash("refund_keyed")
    with pytest.raises(ApplicationError, match="being prepared"):
        await conclude(bench)
    bench.clock.advance(seconds=10)
    assert isinstance(await conclude(bench), OutcomeVerified)
    assert (await bench.row(bench.order("refund_keyed"))).state is RowState.CANCELLED


@pytest.mark.parametrize(("again", "verified"), [(True, True), (False, False), (KeyError("down"), False)])
async def test_what_was_not_confirmed_is_read_back_again(bench: Bench, again: Any, verified: bool) -> None:
    bench.provider.verdicts = [False] * 3
    report = await bench.call("refund_verified")
    assert isinstance(report, ToolSucceeded)
    assert report.verified is False
    bench.provider.verdicts = [again]
    assert isinstance(await conclude(bench), OutcomeVerified)
    assert bench.conditions.asked[0][0][0]["verified"] is verified
    assert (await bench.row(bench.order("refund_verified"))).verified is verified


async def test_answer_takes_late_values(bench: Bench) -> None:
    blob = await bench.ledger.keep(TASK, json.dumps({"amount": "250.00"}).encode())
    late = Deferred(at="/answer", expression="Refunded {{r1.s1/amount}}.", blobs={"r1.s1": blob})
    assert await conclude(bench, "", late) == OutcomeVerified(answer="Refunded 250.00.")


async def test_answer_without_its_value_is_not_verified(bench: Bench) -> None:
    late = Deferred(at="/answer", expression="{{r1.s1/amount}}", blobs={"r1.s1": "0" * 32})
    report = await conclude(bench, "", late)
    assert isinstance(report, OutcomeNotVerified)
    assert "r1.s1" in report.unmet[0]


async def test_long_answer_is_cut(bench: Bench) -> None:
    blob = await bench.ledger.keep(TASK, json.dumps("x" * 500_000).encode())
    report = await conclude(bench, "", Deferred(at="/answer", expression="{{s1}}", blobs={"s1": blob}))
    assert isinstance(report, OutcomeVerified)
    assert len(report.answer) < 70_000
    assert report.answer.endswith("(500000 characters)")
