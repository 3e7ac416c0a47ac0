"""A plan is checked before anything runs: every fault is found, all at once, and no document raises."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.checking import MAX_BYTES, check_plan
from core.contract import Contract, Effect
from core.plan import Fault, Plan
from core.profile import Limits
from core.record import Json
from tests.exploring import examples


def contract(name: str, args: dict[str, Json], result: dict[str, Json] | None = None) -> Contract:
    schema: dict[str, Json] = {"type": "object", "properties": args, "additionalProperties": False}
    return Contract(
        name=name,
        description=name,
        effect=Effect.READ,
        args_schema={**schema, "required": [name for name, one in args.items() if "default" not in one]},
        result_schema=result,
    )


TEXT: dict[str, Json] = {"type": "string"}
ORDER: dict[str, Json] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "id": TEXT,
        "cents": {"type": "integer"},
        "rate": {"type": "number"},
        "note": {"anyOf": [TEXT, {"type": "null"}]},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
        "pair": {"type": "array", "prefixItems": [TEXT], "items": False},
        "a/b": TEXT,
        "loop": {"$ref": "#/$defs/Loop"},
    },
    "$defs": {
        "Line": {"type": "object", "properties": {"sku": TEXT}, "additionalProperties": False},
        "Loop": {"anyOf": [{"$ref": "#/$defs/Loop"}, {"type": "integer"}]},
    },
}
CATALOGUE = {
    "look": contract("look", {"order_id": TEXT}, ORDER),
    "free": contract("free", {"any": {"default": None}}),
    "pay": contract(
        "pay",
        {
            "order_id": TEXT,
            "cents": {"type": "integer", "exclusiveMinimum": 0},
            "tags": {"type": "array", "items": TEXT, "maxItems": 2, "default": []},
            "a/b": {"type": "integer", "default": 0},
        },
        {"type": "object", "properties": {"id": TEXT}},
    ),
}
EARLIER = {"r1.s1": "look", "r1.s2": "gone"}


def step(step_id: str, tool: str = "look", args: Json = None, **fields: Json) -> dict[str, Json]:
    given = args if args is not None else {"order_id": "1042"}
    return {"id": step_id, "tool": tool, "args": given, "why": "so", **fields}


def pay(step_id: str = "s2", /, **args: Json) -> dict[str, Json]:
    return step(step_id, "pay", {"order_id": "1042", "cents": 5, **args})


def take(name: str, path: str = "") -> dict[str, Json]:
    return {"$from": name, "path": path}


def check(*steps: Json, limits: Limits | None = None, **fields: Json) -> Plan | list[Fault]:
    return check_plan({"steps": list(steps), **fields}, CATALOGUE, EARLIER, limits or Limits())


def faults(*steps: Json, **fields: Any) -> list[Fault]:
    found = check(*steps, **fields)
    assert isinstance(found, list), found
    assert found
    return found


GOOD: dict[str, tuple[list[Json], dict[str, Json]]] = {
    "one step": ([step("s1")], {}),
    "finish alone": ([], {"finish": {"answer": "ok"}}),
    "ask alone": ([], {"ask": "which?"}),
    "nulls where nothing is said": ([step("s1", repeat_of=None)], {"finish": None, "ask": None}),
    "nulls for all that may be left out": (
        [step("s1", after=None, why=None, repeat_of=None), {**step("s2", "free"), "args": None}],
        {"finish": None, "ask": None, "confidence": None},
    ),
    "a question, and nulls": ([], {"steps": None, "finish": None, "ask": "which?", "confidence": None}),
    "data flow": ([step("s1"), pay(cents=take("s1", "/cents"))], {"finish": {"answer": "{{s1/id}} {{s2/id}}"}}),
    "earlier rounds": ([pay(cents=take("r1.s1", "/cents"))], {"finish": {"answer": "{{r1.s1/id}}"}}),
    "a tool that is gone": ([pay(cents=take("r1.s2", "/whatever"))], {}),
    "inputs": ([pay(cents=take("inputs", "/cents"), order_id="{{inputs/id}}")], {}),
    "order": ([step("s1"), pay(), step("s3", after=["s1", "s2", "r1.s1"])], {}),
    "optional values": ([step("s1"), step("s2", args={"order_id": take("s1", "/note")})], {}),
    "array indexes": ([step("s1"), step("s2", args={"order_id": take("s1", "/lines/3/sku")})], {}),
    "results without a schema": ([step("s1", "free", {}), pay(cents=take("s1", "/x/y"))], {}),
    "number for integer": ([step("s1"), pay(cents=take("s1", "/rate"))], {}),
    "integer in a text": ([step("s1"), step("s2", args={"order_id": "no {{s1/cents}}"})], {}),
    "places in a list": ([step("s1"), pay(tags=["x", take("s1", "/id")])], {}),
    "a name with a slash": ([step("s1"), pay(**{"a/b": take("s1", "/cents")})], {}),
    "a union of itself": ([step("s1"), pay(cents=take("s1", "/loop"))], {}),
    "braces": ([step("s1", args={"order_id": "{{{{ }} {"})], {}),
    "a repetition": ([pay("s1"), {**pay("s2"), "repeat_of": "s1"}, {**pay("s3"), "repeat_of": "r1.s1"}], {}),
    "the largest integer": ([pay(cents=2**53 - 1)], {}),
    "confidence": ([step("s1")], {"confidence": 0}),
}


@pytest.mark.parametrize("name", GOOD)
def test_plan_that_may_run(name: str) -> None:
    steps, fields = GOOD[name]
    plan = check(*steps, **fields)
    assert isinstance(plan, Plan), plan
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


BAD: dict[str, tuple[list[Json], dict[str, Any], str]] = {
    "nothing": ([], {}, "the plan is empty"),
    "ask and steps": ([step("s1")], {"ask": "which?"}, "plan that asks"),
    "ask and finish": ([], {"ask": "which?", "finish": {"answer": "x"}}, "plan that asks"),
    "empty question": ([], {"ask": "  "}, "question is empty"),
    "too many steps": ([step(f"s{n}") for n in range(3)], {"limits": Limits(steps_per_plan=2)}, "at most 2"),
    "unknown field": ([{**step("s1"), "colour": "red"}], {}, "s1 /colour"),
    "missing tool": ([{"id": "s1"}], {}, "s1 /tool"),
    "null for a tool": ([{**step("s1"), "tool": None}], {}, "s1 /tool"),
    "null for an argument": ([step("s1", args={"order_id": None})], {}, "s1 /args/order_id"),
    "null for an unknown field": ([{**step("s1"), "colour": None}], {}, "s1 /colour"),
    "unknown tool": ([step("s1", "fly")], {}, "no tool 'fly'"),
    "duplicate id": ([step("s1"), step("s1")], {}, "used twice"),
    "reserved id": ([step("inputs")], {}, "reserved"),
    "bad id": ([step("S 1")], {}, "/id"),
    "missing argument": ([step("s1", "pay", {"order_id": "x"})], {}, "'cents' is a required property"),
    "extra argument": ([pay(colour="red")], {}, "colour"),
    "extra argument by reference": ([step("s1"), pay(colour=take("s1", "/id"))], {}, "colour"),
    "wrong type": ([pay(cents="5")], {}, "s2 /args/cents: '5' is not of type 'integer'"),
    "wrong value": ([pay(cents=0)], {}, "/args/cents"),
    "too many items": ([step("s1"), pay(tags=["a", "b", take("s1", "/id")])], {}, "too long"),
    "wrong item beside a reference": ([step("s1"), pay(tags=[5, take("s1", "/id")])], {}, "/args/tags/0"),
    "wrong value under a slash": ([pay(**{"a/b": "x"})], {}, "/args/a~1b"),
    "unknown step": ([pay(cents=take("s9", "/cents"))], {}, "no step 's9'"),
    "unknown step in a text": ([step("s1", args={"order_id": "{{s9/x}}"})], {}, "no step 's9'"),
    "unknown step in after": ([step("s1", after=["s9"])], {}, "/after: no step 's9'"),
    "inputs in after": ([step("s1", after=["inputs"])], {}, "no step 'inputs'"),
    "later step": ([pay("s1", cents=take("s2", "/cents")), step("s2")], {}, "does not come before"),
    "itself": ([step("s1", after=["s1"])], {}, "wait for each other"),
    "a circle": ([step("s1", after=["s2"]), step("s2", after=["s1"])], {}, "wait for each other: s1, s2"),
    "unknown repetition": ([{**pay(), "repeat_of": "s9"}], {}, "/repeat_of: no step"),
    "repetition of what comes later": ([{**pay("s1"), "repeat_of": "s2"}, pay("s2")], {}, "does not come before"),
    "repetition of itself": ([{**pay("s1"), "repeat_of": "s1"}], {}, "does not come before"),
    "pointer to nothing": ([step("s1"), pay(cents=take("s1", "/total"))], {}, "has no /total"),
    "pointer into a text": ([step("s1"), pay(cents=take("s1", "/id/x"))], {}, "has no /id/x"),
    "pointer past a pair": ([step("s1"), step("s2", args={"order_id": take("s1", "/pair/1")})], {}, "/pair/1"),
    "name in an array": ([step("s1"), step("s2", args={"order_id": take("s1", "/lines/x")})], {}, "/lines/x"),
    "endless index": ([step("s1"), step("s2", args={"order_id": take("s1", "/lines/" + "9" * 5000)})], {}, "has no"),
    "certainly wrong type": ([step("s1"), pay(cents=take("s1", "/id"))], {}, "s1/id is string; expected integer"),
    "object in a text": ([step("s1"), step("s2", args={"order_id": "{{s1}}"})], {}, "s1 is object"),
    "text for an integer": ([step("s1"), pay(cents="{{s1/cents}}")], {}, "goes into a place for another type"),
    "no pointer": ([step("s1"), pay(cents=take("s1", "cents"))], {}, "no JSON pointer"),
    "a default": ([step("s1"), pay(cents={"$from": "s1", "default": 5})], {}, "a reference is"),
    "no step in a text": ([step("s1", args={"order_id": "{{a b}}"})], {}, "is no reference"),
    "all arguments at once": ([step("s1"), step("s2", args=take("s1"))], {}, "in place of all arguments"),
    "answer of nowhere": ([step("s1")], {"finish": {"answer": "{{s9/x}}"}}, "no step 's9'"),
    "answer of an object": ([step("s1")], {"finish": {"answer": "{{s1}}"}}, "s1 is object"),
    "earlier answer of an object": ([], {"finish": {"answer": "{{r1.s1}}"}}, "r1.s1 is object"),
    "answer that is malformed": ([], {"finish": {"answer": "{{a b}}"}}, "is no reference"),
    "large integer": ([pay(cents=2**53 + 1)], {}, "2^53"),
    "huge integer": ([pay(cents=-(10**400))], {}, "2^53"),
    "NaN": ([pay(cents=float("nan"))], {}, "NaN"),
    "infinity": ([step("s1")], {"confidence": float("inf")}, "NaN and infinities"),
    "surrogate": ([step("s1", args={"order_id": "\ud800"})], {}, "surrogate"),
    "surrogate as a name": ([step("s1", args={"\ud800": float("nan")})], {}, "surrogate"),
    "control characters": ([step("s1", args={"order_id": "a\x00b"})], {}, "control characters"),
    "too large": ([step("s1", args={"order_id": "x" * MAX_BYTES})], {}, "bytes"),
    "confidence above 1": ([step("s1")], {"confidence": 1.5}, "/confidence"),
    "confidence in words": ([step("s1")], {"confidence": "high"}, "/confidence"),
    "steps as an object": ([], {"steps": {}}, "/steps"),
}


@pytest.mark.parametrize("name", BAD)
def test_plan_that_may_not_run(name: str) -> None:
    steps, fields, problem = BAD[name]
    if "steps" in fields:
        found = check_plan(fields, CATALOGUE, EARLIER, Limits())
        assert isinstance(found, list)
    else:
        found = faults(*steps, **fields)
    assert any(problem in str(fault) for fault in found), [str(fault) for fault in found]
    for fault in found:
        assert Fault.model_validate_json(fault.model_dump_json()) == fault


def test_all_faults_are_reported_at_once() -> None:
    broken = [
        pay("s1", cents="x"),
        step("s1", "fly"),
        step("s3", after=["s9"]),
        pay("s4", cents=take("s3", "/nothing")),
    ]
    found = " | ".join(map(str, faults(*broken, finish={"answer": "{{s8/x}}"})))
    for problem in ("s1 /id", "/args/cents", "no tool 'fly'", "no step 's9'", "has no /nothing", "no step 's8'"):
        assert problem in found


def test_fault_says_step_place_problem_and_what_was_expected() -> None:
    (fault,) = faults(step("s1"), pay(cents=take("s1", "/id")))
    assert fault == Fault(step="s2", where="/args/cents", problem="s1/id is string", expected="integer")


def test_a_thousand_steps_are_checked() -> None:
    many = [step(f"s{n}", after=[f"s{n - 1}"] if n else []) for n in range(1000)]
    assert isinstance(check(*many, limits=Limits(steps_per_plan=1000)), Plan)
    assert "1000 steps" in str(faults(*many)[0])


def test_nesting_without_end_is_refused() -> None:
    nested: Json = 1
    for _ in range(100_000):
        nested = [nested]
    (fault,) = faults(step("s1", args={"order_id": nested}))
    assert "nested too deeply" in fault.problem


def test_number_of_faults_is_bounded() -> None:
    assert len(faults(*(step("s1", "fly") for _ in range(500)))) == 50
    assert len(faults(step("s1", args={"order_id": ["\x00"] * 500}))) == 50


ANYTHING: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(st.characters(), max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=4)
        | st.fixed_dictionaries({"$from": inner}, optional={"path": inner})
    ),
    max_leaves=12,
)
NAMES = st.sampled_from(["s1", "s2", "inputs", "r1.s1", "s9"])
NEAR_STEPS = st.fixed_dictionaries(
    {"id": NAMES, "tool": st.sampled_from(["look", "pay", "free", "fly"])},
    optional={
        "args": st.dictionaries(st.sampled_from(["order_id", "cents", "tags", "a/b", "any"]), ANYTHING, max_size=4),
        "after": st.lists(NAMES, max_size=3),
        "why": ANYTHING,
        "repeat_of": NAMES,
    },
)
NEAR_PLANS = st.fixed_dictionaries(
    {"steps": st.lists(NEAR_STEPS | ANYTHING, max_size=4)},
    optional={
        "finish": st.fixed_dictionaries({"answer": st.text() | st.just("{{s1/id}}")}) | ANYTHING,
        "ask": st.none() | st.text() | ANYTHING,
        "confidence": st.floats() | ANYTHING,
    },
)


@settings(max_examples=examples(400), deadline=None)
@given(ANYTHING | NEAR_PLANS)
def test_any_document_is_a_plan_or_a_list_of_faults(document: Json) -> None:
    found = check_plan(document, CATALOGUE, EARLIER, Limits())
    if isinstance(found, list):
        assert 0 < len(found) <= 50
        for fault in found:
            assert Fault.model_validate_json(fault.model_dump_json()) == fault
    else:
        assert Plan.model_validate_json(found.model_dump_json()) == found


@given(st.data())
def test_valid_plan_always_passes(data: st.DataObject) -> None:
    steps: list[Json] = []
    for number in range(data.draw(st.integers(1, 6))):
        known = [f"s{one}" for one in range(number)]
        looks = [one["id"] for one in steps if one["tool"] == "look"] + ["r1.s1"]
        cents = st.integers(1, 2**53 - 1) | st.sampled_from([take(one, "/cents") for one in looks])
        letters = st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="{")
        texts = [take(one, "/id") for one in looks] + [f"no {{{{{one}/cents}}}}" for one in looks]
        order = st.text(letters, max_size=9) | st.sampled_from(texts)
        after = data.draw(st.lists(st.sampled_from(known), max_size=2)) if known else []
        made = [
            step(f"s{number}", args={"order_id": data.draw(order)}, after=after),
            step(f"s{number}", "pay", {"order_id": data.draw(order), "cents": data.draw(cents)}, after=after),
        ]
        steps.append(data.draw(st.sampled_from(made)))
    plan = check(*steps, finish={"answer": "{{s0/id}}"})
    assert isinstance(plan, Plan), [str(fault) for fault in plan]


def write(name: str, *, has_undo: bool) -> Contract:
    made = contract(name, {"of": {"default": None}}, {"type": "object", "properties": {"id": TEXT}})
    return made.model_copy(update={"effect": Effect.KEYED, "has_undo": has_undo})


WRITES = {
    "look": contract("look", {"of": {"default": None}}),
    "book": write("book", has_undo=True),
    "mail": write("mail", has_undo=False),
}


def order_of(*steps: tuple[str, str, tuple[str, ...]], undoes: bool = True) -> Plan | list[Fault]:
    planned = [step(name, tool, {}, after=list(after)) for name, tool, after in steps]
    return check_plan({"steps": planned}, WRITES, {}, Limits(), undoes=undoes)


WELL_ORDERED = [
    [("b", "book", ()), ("m", "mail", ("b",))],
    [("b", "book", ()), ("l", "look", ("b",)), ("m", "mail", ("l",))],
    [("m", "mail", ()), ("b", "book", ("m",))],
    [("m", "mail", ()), ("l", "look", ("m",)), ("b", "book", ("l",))],
    [("m", "mail", ()), ("n", "mail", ())],
    [("b", "book", ()), ("c", "book", ())],
    [("l", "look", ()), ("m", "mail", ())],
]


@pytest.mark.parametrize("steps", WELL_ORDERED)
def test_plan_that_ends_with_what_cannot_be_undone_may_run(steps: list[tuple[str, str, tuple[str, ...]]]) -> None:
    assert isinstance(order_of(*steps), Plan)


@pytest.mark.parametrize(
    ("steps", "loose"),
    [
        ([("b", "book", ()), ("m", "mail", ())], "b"),
        ([("m", "mail", ()), ("b", "book", ())], "b"),
        ([("b", "book", ()), ("c", "book", ()), ("m", "mail", ("b",))], "c"),
        ([("l", "look", ()), ("b", "book", ("l",)), ("m", "mail", ("l",))], "b"),
    ],
)
def test_what_cannot_be_undone_must_not_run_before_what_can(
    steps: list[tuple[str, str, tuple[str, ...]]], loose: str
) -> None:
    found = order_of(*steps)
    assert isinstance(found, list)
    assert [(one.step, one.where) for one in found] == [("m", "/after")]
    assert found[0].problem == f"mail cannot be undone, and may run before {loose}, which can"
    assert isinstance(order_of(*steps, undoes=False), Plan), "only agents that undo care"


def test_data_is_an_order_too() -> None:
    steps = [step("b", "book", {}), step("m", "mail", {"of": take("b", "/id")})]
    assert isinstance(check_plan({"steps": steps}, WRITES, {}, Limits(), undoes=True), Plan)


def test_undo_in_a_plan_is_refused_with_the_reason() -> None:
    found = order_of(("u", "book.undo", ()))
    assert isinstance(found, list)
    assert "book.undo is not for plans" in str(found[0])
