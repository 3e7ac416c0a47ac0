"""Workers of two versions at once: what a newer one reports stops no task of an older one, now and at every replay."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field
from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowHistory
from temporalio.common import RawValue
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner
from temporalio.workflow import NondeterminismError

from core import machine
from core.machine import apply
from core.messages import ToolRefused, ToolReport, ToolSucceeded
from core.record import Message
from tests.workflows.shop import Shop
from tests.workflows.stories import assert_never_failed, events_of, outcome_of
from tests.worlds import World, ask, plan, step, until
from workflows import reports
from workflows.agent_task import AgentTask
from workflows.reports import FIRST_KINDS, Reports

NOTE = plan(step("s1", "note", text="hello"))


class ToolPostponed(Message):
    """A report that a later version may make."""

    kind: Literal["ToolPostponed"] = "ToolPostponed"
    step: str


LaterReport = Annotated[ToolSucceeded | ToolRefused | ToolPostponed, Field(discriminator="kind")]


def later_world(world: World) -> list[Any]:
    """The activities of a worker whose tools answer in a later version's way."""

    @activity.defn(dynamic=True)
    async def call_tool(args: Sequence[RawValue]) -> ToolPostponed:
        return ToolPostponed(step="r1.s1")

    return [one for one in world.activities() if one.__name__ != "call_tool"] + [call_tool]


@pytest.fixture
async def history(world: World, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> WorkflowHistory:
    """What a task went through whose worker did not know a report, and whose call a person wrote off."""
    world.agent("desk", shop.tools, [NOTE])
    activities = later_world(world)
    monkeypatch.setattr(world, "activities", lambda: activities)
    async with world.worker():
        handle = await world.start("t")
        await until(handle, "AWAITING_PERSON")
        [request] = await ask(handle, "requests")
        assert request["kind"] == "outcome"
        assert "ToolPostponed" in str(request)
        await handle.cancel()
        await until(handle, "RECOVERING", "AWAITING_PERSON")
        monkeypatch.undo()
    async with world.worker():
        await handle.signal("answer", {"choice": "write_off", "by": "lead"})
        assert (await outcome_of(handle))["status"] == "CANCELLED"
    assert_never_failed(await events_of(handle))
    return await handle.fetch_history()


async def test_decision_about_an_unknown_report_is_made_again_by_a_worker_that_knows_it(
    history: WorkflowHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.agent_task.CALLED", Reports(LaterReport))
    monkeypatch.setattr(machine, "apply", ignore_postponed)
    await replay(history)


async def test_without_a_marker_a_later_worker_would_decide_otherwise(
    history: WorkflowHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.agent_task.CALLED", Reports(LaterReport))
    monkeypatch.setattr(machine, "apply", ignore_postponed)
    monkeypatch.setattr(reports, "FIRST_KINDS", FIRST_KINDS | {"ToolPostponed"})
    with pytest.raises(NondeterminismError):
        await replay(history)


def ignore_postponed(state: Any, event: Any, now: Any) -> Any:
    """Decide as a worker that knows the report, and does something of its own with it."""
    return state if isinstance(event, ToolPostponed) else apply(state, event, now)


async def replay(history: WorkflowHistory) -> None:
    replayer = Replayer(
        workflows=[AgentTask],
        workflow_runner=UnsandboxedWorkflowRunner(),  # the sandbox would load modules of its own
        data_converter=pydantic_data_converter,
    )
    await replayer.replay_workflow(history)


def test_first_kinds_are_all_known() -> None:
    """A kind that is added later is not to be added to these: histories have no marker for them."""
    today = [reports.OPENED, reports.PLANNED, reports.CALLED, reports.LISTED, reports.CONCLUDED]
    assert frozenset[str]().union(*(one.kinds for one in today)) >= FIRST_KINDS
    assert len(FIRST_KINDS) == 15


def test_kinds_are_found_in_unions_and_single_reports() -> None:
    assert Reports(ToolRefused).kinds == {"ToolRefused"}
    assert "EpochOpened" in Reports(ToolReport).kinds


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b'"text"', b'{"kind": 1}', b"{" * 9999])
def test_report_that_is_none_has_no_known_kind(data: bytes) -> None:
    with pytest.raises(reports.UnknownReport):
        reports.CALLED.read(RawValue(Payload(data=data)))
