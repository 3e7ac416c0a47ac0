"""When a task is done, over receipts."""

from collections.abc import Mapping
from typing import Any

import pytest

from policy.conditions import Conditions
from policy.expression import ExpressionFaults

SENT = {"step": "r1.s3", "tool": "send_email", "args": {"to": "a@b.c"}, "outcome": "succeeded", "result": {"id": "m1"}}
REFUSED = {**SENT, "outcome": "failed", "result": None}
MAIL = "effects.exists(e, e.tool == 'send_email' && e.outcome == 'succeeded')"


def unmet(*require: str, effects: list[Mapping[str, Any]] | None = None, **more: Any) -> list[str]:
    done = Conditions(require)
    task = {"id": "t1", "agent": "desk", "requested_by": "ana", "goal": "refund"}
    return done.unmet(effects or [], more.get("reads", []), task, more.get("inputs", {}))


def test_no_conditions_are_met() -> None:
    assert unmet() == []


def test_condition_over_receipts_holds_once_the_effect_succeeded() -> None:
    assert unmet(MAIL, effects=[REFUSED, SENT]) == []
    assert unmet(MAIL, effects=[REFUSED]) == [f"`{MAIL}` does not hold"]


def test_every_unmet_condition_is_named() -> None:
    assert len(unmet(MAIL, "size(effects) > 5", "true", effects=[REFUSED])) == 2


def test_reads_task_and_inputs_are_there() -> None:
    order = {"step": "r1.s1", "tool": "get_order", "result": {"total_cents": 500}}
    condition = "reads[0].result.total_cents == inputs.total && task.id == 't1'"
    assert unmet(condition, reads=[order], inputs={"total": 500}) == []


@pytest.mark.parametrize("condition", ["effects[0].result.nope == 1", "effects[9].tool == 'x'", "effects[0].tool"])
def test_condition_that_cannot_be_evaluated_is_unmet_and_says_why(condition: str) -> None:
    [reason] = unmet(condition, effects=[SENT])
    assert reason.startswith(f"`{condition}` cannot be evaluated: ")


def test_condition_that_does_not_compile_is_named_with_its_place() -> None:
    with pytest.raises(ExpressionFaults) as caught:
        Conditions(["true", "args.x == 1", "effects.exists(e"])
    assert [fault.place for fault in caught.value.faults] == [("done", "require", 1), ("done", "require", 2)]


@pytest.mark.parametrize(
    ("condition", "is_misplaced"),
    [
        ("effects.exists(e, e.tool == 'find' && e.outcome == 'succeeded')", True),
        ('effects.exists(e, e.tool=="find")', True),
        ("effects[0].tool == 'find'", True),
        ("reads.exists(r, r.tool == 'find')", False),
        ("size(effects) == 0 || reads.exists(e, e.tool == 'find')", False),
        ("effects.exists(e, e.tool == 'pay')", False),
        ("effects.exists(e, e.tool == 'finder')", False),
        ("effects.exists(e, e.args.tool == 'find')", False),
        ("effects.exists(e, e.args.what == 'find')", False),
    ],
)
def test_condition_that_looks_for_a_read_among_the_writes_is_named(condition: str, is_misplaced: bool) -> None:
    found = list(Conditions(["true", condition]).misplaced({"find", "look"}))
    assert len(found) == is_misplaced
    assert all(condition in one and "look for it in `reads`" in one for one in found)
