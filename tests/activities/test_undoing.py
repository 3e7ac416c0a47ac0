"""Taking back at the door: what can be undone is listed, and an undo is called with what was done."""

from collections.abc import Mapping
from typing import Any

import pytest

from activities import Undoing
from core import names
from core.messages import CallOrder, EffectsListed, EffectsOrder, ToolRefused, ToolSucceeded
from core.receipts import Evidence, Move, RowState, Settlement
from tests.activities.bench import REFUSAL, TASK, Bench
from tools import Call, tool
from tools.registry import build_tools

SEND, UNDO = "send", "send.undo"


@pytest.fixture(autouse=True)
def undone(bench: Bench) -> list[Any]:
    """Give the agent a tool that can be taken back; return what its undo was told."""
    told: list[Any] = []

    @tool(effect="keyed", key_window="24h", timeout="10s", attempts=3)
    async def send(call: Call, to: str, amount: int = 5) -> dict[str, Any]:
        """Send money."""
        sent: dict[str, Any] = await bench.provider.take(
            "keyed", call.key, [to], lambda: bench.provider.applied.append((call.key, [to]))
        )
        return sent

    @send.undo(effect="keyed")
    async def take_back(call: Call, args: Mapping[str, Any], result: Any) -> dict[str, str]:
        told.append((call.key, dict(args), result))
        return {"id": "back"}

    bench.tools.update(build_tools([send]))
    return told


def undo_order(bench: Bench, of: CallOrder, intent: int = 50, **changes: Any) -> CallOrder:
    return bench.order(UNDO, intent=intent, step=f"undo.{of.step}", args={}, undoes=of.key, **changes)


async def listed(bench: Bench, below: int | None = None) -> EffectsListed:
    undoing = Undoing(bench.staff, bench.ledger)
    order = EffectsOrder(agent="support_desk", task_id=TASK, below=below)
    return await bench.environment("list_effects").run(undoing.list_effects, order)


def sending(bench: Bench, intent: int = 1, to: str = "jane") -> CallOrder:
    return bench.order(SEND, intent=intent, args={"to": to})


async def test_undo_is_called_with_the_arguments_and_the_result_of_what_it_takes_back(
    bench: Bench, undone: list[Any]
) -> None:
    sent = sending(bench)
    await bench.call(SEND, sent)
    report = await bench.call(UNDO, undo_order(bench, sent))
    assert isinstance(report, ToolSucceeded)
    [(key, args, result)] = undone
    assert (key, result) == (undo_order(bench, sent).key, {"id": "re_1"})
    assert (args["to"], args["amount"]) == ("jane", 5)
    row = await bench.row(undo_order(bench, sent))
    assert (row.state, row.undoes) == (RowState.SUCCEEDED, sent.key)


async def test_large_result_reaches_the_undo_whole(bench: Bench, undone: list[Any]) -> None:
    bench.provider.result = {"text": "x" * 50_000}
    sent = sending(bench)
    await bench.call(SEND, sent)
    await bench.call(UNDO, undo_order(bench, sent))
    assert undone[0][2] == bench.provider.result


async def test_undone_effect_frees_its_similarity(bench: Bench) -> None:
    sent = sending(bench)
    await bench.call(SEND, sent)
    await bench.call(UNDO, undo_order(bench, sent))
    report = await bench.call(SEND, sending(bench, intent=2))
    assert isinstance(report, ToolSucceeded)
    assert (report.already, bench.provider.requests) == (False, 2)


@pytest.mark.parametrize("case", ["refused", "unknown key", "another task"])
async def test_what_did_not_happen_is_not_undone(bench: Bench, undone: list[Any], case: str) -> None:
    sent, changes = sending(bench), {}
    if case == "refused":
        bench.provider.script = [REFUSAL]
        await bench.call(SEND, sent)
    if case == "another task":
        await bench.call(SEND, sent.model_copy(update={"key": "f" * 32}))
        changes = {"undoes": names.effect_key("default", "other", 1, 1, SEND)}
    report = await bench.call(UNDO, undo_order(bench, sent).model_copy(update=changes))
    assert isinstance(report, ToolRefused)
    assert (report.code, undone) == ("nothing_to_undo", [])


async def test_undo_whose_report_was_lost_is_not_made_twice(bench: Bench, undone: list[Any]) -> None:
    sent = sending(bench)
    await bench.call(SEND, sent)
    bench.ledger.faults["settle"] = ["crash_after"]
    await bench.crash(UNDO, undo_order(bench, sent))
    assert isinstance(await bench.call(UNDO, undo_order(bench, sent)), ToolSucceeded)
    assert len(undone) == 1


async def test_equal_effects_are_each_undone(bench: Bench, undone: list[Any]) -> None:
    first = sending(bench, 1)
    again = sending(bench, 2).model_copy(update={"repeat_of": first.step})
    for sent in (first, again):
        await bench.call(SEND, sent)
    for intent, sent in ((50, again), (51, first)):
        assert isinstance(report := await bench.call(UNDO, undo_order(bench, sent, intent)), ToolSucceeded)
        assert not report.already
    assert len(undone) == 2


async def test_effect_is_undone_once_whatever_undoes_it(bench: Bench, undone: list[Any]) -> None:
    sent = sending(bench)
    await bench.call(SEND, sent)
    await bench.call(UNDO, undo_order(bench, sent, 50))
    report = await bench.call(UNDO, undo_order(bench, sent, 51))
    assert isinstance(report, ToolSucceeded)
    assert (report.already, len(undone)) == (True, 1)


async def test_list_names_what_stands_and_can_be_undone_latest_first(bench: Bench) -> None:
    for intent, to in ((1, "a"), (2, "b"), (3, "c")):
        await bench.call(SEND, sending(bench, intent, to))
    await bench.call("refund_keyed", intent=4)  # has no undo
    bench.provider.script = [REFUSAL]
    await bench.call(SEND, sending(bench, 5, "d"))
    await bench.call(UNDO, undo_order(bench, sending(bench, 2, "b")))
    found = await listed(bench)
    assert [(one.step, one.tool, one.intent) for one in found.effects] == [("r1.s3", SEND, 3), ("r1.s1", SEND, 1)]
    assert found.effects[0].terms.digest == bench.tools[UNDO].contract.digest
    assert found.below is None


@pytest.mark.parametrize(("fate", "steps"), [("open", []), ("refused", ["r1.s1"])])
async def test_effect_that_was_perhaps_undone_is_not_listed(bench: Bench, fate: str, steps: list[str]) -> None:
    sent = sending(bench)
    await bench.call(SEND, sent)
    undo = undo_order(bench, sent)
    bench.ledger.faults["settle"] = ["crash"]
    await bench.crash(UNDO, undo)
    marked = await bench.row(undo)
    if fate == "refused":
        no = Settlement(move=Move.REFUSE, evidence=Evidence.ANSWER, code="too_late")
        assert await bench.ledger.settle(undo.key, marked.fence, no) is not None
    assert [one.step for one in (await listed(bench)).effects] == steps


async def test_long_list_comes_in_parts(bench: Bench) -> None:
    for intent in range(1, 61):
        await bench.call(SEND, sending(bench, intent, f"to-{intent}"))
    first = await listed(bench)
    assert ([one.intent for one in first.effects], first.below) == (list(range(60, 10, -1)), 11)
    second = await listed(bench, below=first.below)
    assert ([one.intent for one in second.effects], second.below) == (list(range(10, 0, -1)), None)
