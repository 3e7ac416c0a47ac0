"""Rules as tables: a case in, the verdicts out."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.ports import Case, Do, Policy
from core.record import Json
from policy.expression import ExpressionFaults, Fault
from policy.rules import Rule, Rules

SMALL = {"tool": "issue_refund", "when": "args.amount_cents <= 10000", "do": "allow", "reason": "small"}
CAPPED = {**SMALL, "total": {"of": "args.amount_cents", "by": "args.order_id", "per": "day", "max": 10000}}
FINANCE = {"tool": "issue_refund", "do": "ask", "approvers": ["finance"], "quorum": 2}


def policy(*rules: dict[str, Any], agent: str = "desk") -> Policy:
    return Rules(agent, [Rule.model_validate(rule) for rule in rules])


def case(tool: str = "issue_refund", *, writes: bool = True, day: str = "2026-11-21", **fields: Any) -> Case:
    start: dict[str, Any] = {
        "args": {"amount_cents": 500, "order_id": "1042"},
        "inputs": {},
        "task": {"id": "t1", "agent": "desk", "requested_by": "ana", "goal": "refund"},
        "facts": {},
        "origin": {"/amount_cents": "request"},
    }
    return Case(tool=tool, writes=writes, day=day, **{**start, **fields})


def words(rules: Policy, of: Case) -> list[tuple[Do, str]]:
    return [(verdict.do, verdict.rule) for verdict in rules.judge(of)]


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (10_000, [(Do.ALLOW, "policy[1] issue_refund")]),
        (10_001, [(Do.ASK, "policy[2] issue_refund")]),
        (2**53, [(Do.ASK, "policy[2] issue_refund")]),
    ],
)
def test_first_rule_that_matches_wins(amount: int, expected: list[tuple[Do, str]]) -> None:
    assert words(policy(SMALL, FINANCE), case(args={"amount_cents": amount})) == expected


def test_rule_carries_its_approvers_quorum_and_reason() -> None:
    [verdict] = policy(FINANCE | {"reason": "large"}).judge(case())
    assert (verdict.approvers, verdict.quorum, verdict.reason) == (("finance",), 2, "large")


def test_write_that_no_rule_matches_asks() -> None:
    [verdict] = policy(SMALL).judge(case("send_email"))
    assert (verdict.do, verdict.rule) == (Do.ASK, "default")


def test_read_is_allowed_unless_a_rule_says_otherwise() -> None:
    assert words(policy(SMALL), case("get_order", writes=False)) == [(Do.ALLOW, "default")]
    deny = {"tool": "get_*", "do": "deny"}
    assert words(policy(deny), case("get_order", writes=False)) == [(Do.DENY, "policy[1] get_*")]


@pytest.mark.parametrize(
    ("pattern", "tool", "matches"),
    [
        ("*", "issue_refund", True),
        ("*", "issue_refund.undo", True),
        ("issue_refund", "issue_refund.undo", False),
        ("issue_refund.undo", "issue_refund.undo", True),
        ("*.undo", "issue_refund.undo", True),
        ("issue_*", "issue_refund", True),
        ("Issue_refund", "issue_refund", False),
    ],
)
def test_tool_is_a_name_or_a_pattern(pattern: str, tool: str, matches: bool) -> None:
    [verdict] = policy({"tool": pattern, "do": "deny"}).judge(case(tool))
    assert (verdict.do is Do.DENY) is matches


@pytest.mark.parametrize(
    ("when", "why"),
    [
        ("args.missing <= 1", "missing"),
        ("args.order_id <= 1", "overload"),
        ("facts.paid.amount > 1", "paid"),
        ("args.order_id", "neither true nor false"),
        ("1 / (args.amount_cents - 500) > 0", "divide by zero"),
        ("args.amount_cents * 9007199254740992 * 9007199254740992 > 0", "overflow"),
    ],
)
@pytest.mark.parametrize("do", ["allow", "deny"])
def test_rule_that_cannot_be_evaluated_asks_and_says_why(when: str, why: str, do: str) -> None:
    rules = policy({"tool": "*", "when": when, "do": do, "approvers": ["finance"]}, {"tool": "*", "do": "allow"})
    [verdict] = rules.judge(case())
    assert (verdict.do, verdict.approvers) == (Do.ASK, ("finance",))
    assert why in verdict.reason


def test_missing_field_can_be_asked_for() -> None:
    rules = policy({"tool": "*", "when": "has(args.coupon) && args.coupon == 'X'", "do": "deny"})
    assert words(rules, case()) == [(Do.ASK, "default")]


@pytest.mark.parametrize("number", [2**53, 2**53 - 1, -(2**53), 0, 1])
def test_integers_compare_exactly(number: int) -> None:
    equal = policy({"tool": "*", "when": f"args.n == {number}", "do": "allow"})
    assert words(equal, case(args={"n": number}))[0][0] is Do.ALLOW
    assert words(equal, case(args={"n": number + (1 if number < 2**53 else -1)}))[0][0] is Do.ASK


@given(left=st.integers(-(2**53), 2**53), right=st.integers(-(2**53), 2**53))
def test_order_of_integers_is_that_of_python(left: int, right: int) -> None:
    rules = policy({"tool": "*", "when": "args.left <= args.right", "do": "allow"})
    assert (rules.judge(case(args={"left": left, "right": right}))[0].do is Do.ALLOW) is (left <= right)


def test_true_is_not_one() -> None:
    assert words(policy({"tool": "*", "when": "args.n == 1", "do": "allow"}), case(args={"n": True}))[0][0] is Do.ASK


def test_all_variables_are_there() -> None:
    when = (
        "args.amount_cents == 500 && inputs.order == '1042' && task.requested_by == 'ana' && task.id == 't1' && "
        "facts.paid == 900 && origin['/amount_cents'] == 'request'"
    )
    rules = policy({"tool": "*", "when": when, "do": "allow"})
    assert words(rules, case(inputs={"order": "1042"}, facts={"paid": 900})) == [(Do.ALLOW, "policy[1] *")]


def test_rule_with_a_total_is_followed_by_what_holds_when_it_does_not_fit() -> None:
    verdicts = policy(CAPPED, FINANCE, SMALL).judge(case())
    assert [(verdict.do, verdict.total is not None) for verdict in verdicts] == [(Do.ALLOW, True), (Do.ASK, False)]
    assert words(policy(CAPPED), case())[-1] == (Do.ASK, "default")


def bucket(rules: Policy, of: Case) -> str:
    total = rules.judge(of)[0].total
    assert total is not None
    return total.bucket


def test_total_says_amount_and_maximum() -> None:
    total = policy(CAPPED).judge(case())[0].total
    assert total is not None
    assert (total.amount, total.maximum) == (500, 10_000)


def test_total_per_day_is_shared_by_tasks_and_not_by_days_orders_or_agents() -> None:
    rules = policy(CAPPED)
    same = bucket(rules, case())
    assert bucket(rules, case(task={"id": "t2"})) == same
    assert bucket(rules, case(day="2026-11-22")) != same
    assert bucket(rules, case(args={"amount_cents": 1, "order_id": "1043"})) != same
    assert bucket(policy(CAPPED, agent="other"), case()) != same


def test_total_per_task_is_not_shared_by_tasks() -> None:
    rules = policy({**SMALL, "total": {"of": "args.amount_cents", "max": 10}})
    assert bucket(rules, case()) == bucket(rules, case(day="2026-11-22"))
    assert bucket(rules, case()) != bucket(rules, case(task={"id": "t2"}))


def test_total_of_a_pattern_is_shared_by_its_tools() -> None:
    rules = policy({**CAPPED, "tool": "issue_*"})
    assert bucket(rules, case("issue_refund")) == bucket(rules, case("issue_credit"))


def test_total_goes_on_when_a_rule_is_added_above_or_its_maximum_changes() -> None:
    standing = bucket(policy(CAPPED), case())
    other = policy({"tool": "send_email", "do": "ask"}, {**CAPPED, "total": {**CAPPED["total"], "max": 9}})  # type: ignore[dict-item]
    assert bucket(other, case()) == standing


@pytest.mark.parametrize(
    ("total", "changed"),
    [
        ({"of": "args.order_id", "max": 10}, {}),
        ({"of": "args.amount_cents - 600", "max": 10}, {}),
        ({"of": "args.missing", "max": 10}, {}),
        ({"of": "1", "by": "args.missing", "max": 10}, {}),
        ({"of": "1", "per": "day", "max": 10}, {"day": ""}),
        ({"of": "1", "max": 10}, {"task": {}}),
    ],
)
def test_total_that_cannot_be_computed_asks(total: dict[str, Json], changed: dict[str, Any]) -> None:
    [verdict] = policy({**SMALL, "total": total}).judge(case(**changed))
    assert (verdict.do, verdict.total) == (Do.ASK, None)


def faults(*rules: dict[str, Any]) -> Sequence[Fault]:
    with pytest.raises(ExpressionFaults) as caught:
        policy(*rules)
    return caught.value.faults


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("args.amount_cents <=", "column 21"),
        ("arg.amount_cents <= 1", "undeclared reference to 'arg.amount_cents'"),
        ("args.amount_cents <= foo(1)", "undeclared reference to 'foo'"),
        ("effects.size() > 0", "the variables are args, inputs, task, facts, origin"),
        ("1 == 'a'", "no matching overload"),
        ("size(args)", "gives INT, where true or false is expected"),
        ("", "Syntax error"),
        ("(" * 500 + "1" + ")" * 500, "recursion limit"),
        ("true && " * 1000 + "true", "longer than 4000"),
        ("\ud800", "argument"),
    ],
)
def test_expression_that_does_not_compile_is_named_with_its_place(when: str, expected: str) -> None:
    [fault] = faults({"tool": "a", "do": "ask"}, {"tool": "b", "when": when, "do": "allow"})
    assert fault.place == ("policy", 1, "when")
    assert expected in fault.problem


def test_all_expressions_that_do_not_compile_are_named_at_once() -> None:
    total = {"of": "'text'", "by": "x", "max": 1}
    places = [fault.place[2:] for fault in faults({"tool": "a", "when": "(", "do": "ask", "total": total})]
    assert places == [("when",), ("total", "of"), ("total", "by")]


def test_endless_work_is_cut_and_asks() -> None:
    rules = policy({"tool": "*", "when": "args.n.all(a, args.n.all(b, args.n.all(c, a + b + c >= 0)))", "do": "allow"})
    assert words(rules, case(args={"n": list(range(500))}))[0][0] is Do.ASK


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
ANY_RULES = policy(
    {"tool": "*", "when": "args.a > 3 || args.b.c == 'x' || args.l.exists(e, e.n == args.a)", "do": "deny"},
    {"tool": "*", "do": "allow", "total": {"of": "args.a", "by": "args", "max": 3}},
)


@given(args=st.dictionaries(st.sampled_from(["a", "b", "l"]), JSON), facts=st.dictionaries(st.text(max_size=3), JSON))
def test_judging_never_raises_and_ends_with_a_verdict_that_holds(args: dict[str, Any], facts: dict[str, Any]) -> None:
    verdicts = ANY_RULES.judge(case(args=args, facts=facts))
    assert verdicts[-1].total is None
    assert all(verdict.total is not None for verdict in verdicts[:-1])


UNDO = "issue_refund.undo"
ANY = {"tool": "*", "do": "deny", "when": "'amount_cents' in args"}


@pytest.mark.parametrize(
    ("rules", "undoes", "expected"),
    [
        ([], True, Do.ALLOW),
        ([], False, Do.ASK),
        ([SMALL, FINANCE], True, Do.ALLOW),
        ([ANY], True, Do.ALLOW),
        ([{"tool": "*", "do": "deny"}], True, Do.DENY),
        ([{"tool": UNDO, "do": "deny"}], True, Do.DENY),
        ([{"tool": UNDO, "do": "allow"}], False, Do.ALLOW),
        ([{"tool": UNDO, "do": "ask", "when": "args.args.amount_cents > 100"}], True, Do.ASK),
        ([{"tool": UNDO, "do": "allow", "when": "args.result.id == 'x'"}], True, Do.ALLOW),
        ([{"tool": UNDO, "do": "allow", "when": "args.result.id == 'y'"}], True, Do.ASK),
        ([{"tool": "*.undo", "do": "allow", "when": "args.result.id == 'y'"}], True, Do.ASK),
        ([{"tool": "send_email.undo", "do": "deny"}], True, Do.ALLOW),
    ],
)
def test_undo_is_allowed_where_the_agent_undoes_and_no_rule_is_about_it(
    rules: list[dict[str, Any]], undoes: bool, expected: Do
) -> None:
    judge = Rules("desk", [Rule.model_validate(rule) for rule in rules], undoes=undoes).judge
    undone = {"args": {"amount_cents": 500, "order_id": "1042"}, "result": {"id": "x"}}
    assert judge(case(UNDO, args=undone))[-1].do is expected


def test_undo_leaves_the_default_of_other_writes_alone() -> None:
    [verdict] = Rules("desk", [], undoes=True).judge(case())
    assert verdict.do is Do.ASK
