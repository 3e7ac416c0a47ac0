"""One planning call: what a model can say or fail to say, and how it is told."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities import Planning
from core.briefing import Briefing, Prompt
from core.errors import PlannerBusy, PlannerDown
from core.messages import PlannerUnavailable, PlanOrder, PlanProposed, PlanRefused, PlanReport
from core.ports import Planner, Reply
from core.spending import Usage
from tests.activities.bench import TASK, Bench

PLAN = {
    "steps": [{"id": "s1", "tool": "refund_keyed", "args": {"order_id": "1042"}}],
    "finish": {"answer": "Done."},
}


@dataclass
class Model:
    """Answers, or raises, what a test says."""

    answers: list[Any]
    prompts: list[Prompt] = field(default_factory=list)

    def get(self, name: str) -> Planner:
        if name == "nobody:x":
            raise PlannerDown("no such model; name one of lastmile.toml")
        return self

    async def propose(self, prompt: Prompt) -> Reply:
        self.prompts.append(prompt)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return (
            answer if isinstance(answer, Reply) else Reply(document=answer, usage=Usage(input_tokens=9), latency_ms=7)
        )


def order(**changes: Any) -> PlanOrder:
    briefing = Briefing(task_id=TASK, agent="support_desk", goal="refund it", call=3, **changes.pop("briefing", {}))
    return PlanOrder(model="openai:x", briefing=briefing, **changes)


async def propose(bench: Bench, model: Model, order: PlanOrder, attempt: int = 1) -> PlanReport:
    planning = Planning(bench.staff, model, bench.ledger, bench.clock)
    return await bench.environment("propose_plan", attempt).run(planning.propose_plan, order)


async def test_plan_that_passes_is_proposed_with_its_terms(bench: Bench) -> None:
    model = Model([PLAN])
    report = await propose(bench, model, order())
    assert isinstance(report, PlanProposed)
    assert report.terms == {"refund_keyed": bench.tools["refund_keyed"].contract.terms()}
    assert (report.call, report.model, report.usage.input_tokens, report.latency_ms) == (3, "openai:x", 9, 7)
    assert model.prompts[0].instructions == "Be kind."
    [line] = [line async for line in bench.ledger.lines(TASK)]
    assert (line.event, line.fields["steps"]) == ("plan.proposed", {"s1": "refund_keyed"})


async def test_tools_that_are_left_out_are_neither_offered_nor_accepted(bench: Bench) -> None:
    model = Model([PLAN])
    report = await propose(bench, model, order(briefing={"without_tools": ("refund_keyed",)}))
    assert isinstance(report, PlanRefused)
    assert "refund_keyed" not in [contract.name for contract in model.prompts[0].catalogue]


BAD: list[Any] = [
    None,
    "text",
    [],
    {},
    {"steps": 5},
    {"steps": [{"id": "s1", "tool": "no_such", "args": {}}]},
    {"steps": [{"id": "s1", "tool": "refund_keyed", "args": {"order_id": float("nan")}}]},
    {"steps": [{"id": f"s{n}", "tool": "refund_keyed", "args": {"order_id": "1"}} for n in range(1_000)]},
    {"ask": "x" * 10_000_000},
    Reply(fault="not JSON: " + "x" * 100_000),
]


@pytest.mark.parametrize("document", BAD, ids=[f"{type(bad).__name__}{n}" for n, bad in enumerate(BAD)])
async def test_anything_else_is_refused_with_few_short_faults(bench: Bench, document: Any) -> None:
    report = await propose(bench, Model([document]), order())
    assert isinstance(report, PlanRefused)
    assert report.faults
    assert len(report.model_dump_json()) < 200_000


async def test_nesting_without_end_is_refused(bench: Bench) -> None:
    document: Any = {}
    for _ in range(50_000):
        document = {"steps": document}
    assert isinstance(await propose(bench, Model([document]), order()), PlanRefused)


async def test_plan_too_large_for_history_is_refused(bench: Bench) -> None:
    steps = [{"id": "s1", "tool": "refund_keyed", "args": {"order_id": "1", "note": "x" * 200_000}}]
    report = await propose(bench, Model([{"steps": steps}]), order())
    assert isinstance(report, PlanRefused)
    assert "characters" in report.faults[0].problem


@pytest.mark.parametrize(("asked", "waits"), [(7.0, 7), (3600.0, 60), (None, 0.2)])
async def test_busy_provider_is_asked_again_when_it_says(bench: Bench, asked: float | None, waits: float) -> None:
    with pytest.raises(ApplicationError) as raised:
        await propose(bench, Model([PlannerBusy("429", asked)]), order())
    assert (raised.value.non_retryable, raised.value.next_retry_delay) == (False, timedelta(seconds=waits))


async def test_provider_that_stays_busy_is_unavailable(bench: Bench) -> None:
    report = await propose(bench, Model([PlannerBusy("503")]), order(attempts=2), attempt=2)
    assert isinstance(report, PlannerUnavailable)
    assert (report.attempts, report.reason, report.call) == (2, "503", 3)


@pytest.mark.parametrize("error", [PlannerDown("bad key"), ZeroDivisionError("a bug in the adapter")])
async def test_model_that_cannot_be_used_is_unavailable_at_once(bench: Bench, error: Exception) -> None:
    assert isinstance(await propose(bench, Model([error]), order()), PlannerUnavailable)


async def test_unknown_model_and_unknown_agent_are_unavailable(bench: Bench) -> None:
    unknown = order().model_copy(update={"model": "nobody:x"})
    assert isinstance(await propose(bench, Model([]), unknown), PlannerUnavailable)
    gone = replace(bench.agent, name="gone")
    bench.staff.agents = {"gone": gone}
    assert isinstance(await propose(bench, Model([]), order()), PlannerUnavailable)


async def test_amended_wish_is_written_before_anything_of_it_is_called(bench: Bench) -> None:
    await propose(bench, Model([PLAN]), order(amendments=1, briefing={"inputs": {"order_id": "7"}}))
    task = await bench.ledger.task(TASK)
    assert (task.goal, task.inputs) == ("refund it", {"order_id": "7"})


async def test_reply_that_was_paid_for_is_not_thrown_away_for_a_line_of_the_audit(bench: Bench) -> None:
    bench.ledger.faults["settle_call"] = ["down"]
    assert isinstance(await propose(bench, Model([PLAN]), order()), PlanProposed)
