"""What a tool says about itself: contracts, arguments, and what is said of wrong declarations."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field, PositiveInt, field_validator

from core.contract import Contract, Effect
from core.durations import parse_duration
from core.errors import ConfigError
from core.names import canonical
from tools import Call, FreeText, Refused, tool
from tools.python_tool import PythonTool
from tools.registry import build_tools


class Refund(BaseModel):
    id: str
    amount_cents: int


class Line(BaseModel):
    sku: str
    count: PositiveInt


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


@tool(effect="keyed", key_window="24h", timeout="20s", approve_hint="refund {amount_cents} on {order_id}")
async def issue_refund(call: Call, order_id: str, amount_cents: PositiveInt, note: FreeText = "") -> Refund:
    """Refund part or all of a paid order."""
    return Refund(id="r1", amount_cents=amount_cents)


@tool
def place_order(  # type: ignore[no-untyped-def]  # noqa: PLR0917, ANN201 - one argument of each kind, and no result that is declared
    call: Call,
    lines: list[Line],
    day: date,
    size: Size = Size.SMALL,
    price: Decimal | None = None,
    ratio: float = 0.5,
    schema: str = "plain",
    items: tuple[int, ...] = (),
    speed: Annotated[Literal["slow", "fast"], Field(description="how fast")] = "slow",
    limit: int = Field(default=3, ge=1),
):
    pass


def built(declaration: Any) -> PythonTool:
    [made] = build_tools([declaration]).values()
    assert isinstance(made, PythonTool)
    return made


def test_documented_example_has_its_contract() -> None:
    contract = issue_refund.contract()
    assert contract == Contract(
        name="issue_refund",
        description="Refund part or all of a paid order.",
        effect=Effect.KEYED,
        key_window=timedelta(hours=24),
        timeout=timedelta(seconds=20),
        identity=("order_id", "amount_cents"),
        approve_hint="refund {amount_cents} on {order_id}",
        args_schema={
            "type": "object",
            "properties": {
                "order_id": {"type": "string"},
                "amount_cents": {"type": "integer", "exclusiveMinimum": 0},
                "note": {"type": "string", "default": ""},
            },
            "required": ["order_id", "amount_cents"],
            "additionalProperties": False,
        },
        result_schema={
            "type": "object",
            "properties": {"id": {"type": "string"}, "amount_cents": {"type": "integer"}},
            "required": ["id", "amount_cents"],
        },
    )


def test_write_that_declares_nothing_is_unrepeatable() -> None:
    contract = place_order.contract()
    assert (contract.effect, contract.identity, contract.result_schema) == (Effect.UNREPEATABLE, None, None)


def test_schemas_are_json_schema() -> None:
    for declaration in (issue_refund, place_order):
        Draft202012Validator.check_schema(declaration.contract().args_schema)
        Draft202012Validator.check_schema(declaration.contract().result_schema or {})


def test_hooks_show_in_the_contract() -> None:
    @tool
    def book(call: Call, seat: str) -> None: ...

    @book.preflight
    def _(call: Call, seat: str) -> dict[str, Any]:
        return {}

    @book.verify
    def _(call: Call, args: Any, result: Any) -> bool:
        return True

    @book.probe
    def _(call: Call, args: Any) -> None: ...

    @book.undo
    def _(call: Call, args: Any, result: Any) -> None: ...

    contract = book.contract()
    assert (contract.has_preflight, contract.has_verify, contract.has_probe, contract.has_undo) == (True,) * 4
    assert book.undoing is not None
    assert book.undoing.effect is Effect.UNREPEATABLE


def test_keyed_undo_takes_the_window_of_its_tool() -> None:
    @tool(effect="keyed", key_window="1h")
    def pay(call: Call) -> None: ...

    @pay.undo(effect="keyed")
    def _(call: Call, args: Any, result: Any) -> None: ...

    assert pay.undoing is not None
    assert (pay.undoing.effect, pay.undoing.key_window) == (Effect.KEYED, timedelta(hours=1))


def test_keyed_undo_of_a_tool_without_a_window_counts_on_one_hour() -> None:
    @tool
    def pay(call: Call) -> None: ...

    @pay.undo(effect="keyed")
    def _(call: Call, args: Any, result: Any) -> None: ...

    assert build_tools([pay])["pay.undo"].contract.key_window == timedelta(hours=1)


def test_undo_of_a_transactional_tool_may_share_its_database() -> None:
    @tool(effect="transactional", database="SHOP_DB")
    def pay(call: Call) -> None: ...

    @pay.undo(effect="transactional")
    def _(call: Call, args: Any, result: Any) -> None: ...

    contract = build_tools([pay])["pay.undo"].contract
    assert (contract.effect, contract.database) == (Effect.TRANSACTIONAL, "SHOP_DB")


def test_undo_that_calls_somebody_else_does_not_name_the_database_of_its_tool() -> None:
    @tool(effect="transactional", database="SHOP_DB")
    def pay(call: Call) -> None: ...

    @pay.undo(effect="idempotent")
    def _(call: Call, args: Any, result: Any) -> None: ...

    assert build_tools([pay])["pay.undo"].contract.database is None


def test_declared_tool_can_be_called_like_the_function_that_it_is() -> None:
    @tool(effect="read")
    def double(call: Call, number: int) -> int:
        return 2 * number

    assert double(None, number=4) == 8


# ---------------------------------------------------------------------------------------------------------- arguments


def test_arguments_are_normalised_with_their_defaults() -> None:
    args = {"lines": [{"sku": "a", "count": 1}], "day": "2026-11-21", "price": "1.10"}
    assert built(place_order).check(args) == {
        "lines": [{"sku": "a", "count": 1}],
        "day": "2026-11-21",
        "size": "s",
        "price": "1.10",
        "ratio": 0.5,
        "schema": "plain",
        "items": [],
        "speed": "slow",
        "limit": 3,
    }


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"order_id": 5}, "order_id: Input should be a valid string (found a number)"),
        ({"amount_cents": "5"}, "amount_cents: Input should be a valid integer (found a string)"),
        ({"amount_cents": 0}, "amount_cents: Input should be greater than 0"),
        ({"amount_cents": True}, "amount_cents: Input should be a valid integer (found a boolean)"),
        ({"amount_cents": 1.5}, "amount_cents: Input should be a valid integer"),
        ({"amount_cents": 2**53 + 2}, "safe integer"),
        ({"amount_cents": float("nan")}, "canonical JSON"),
        ({"order_id": "\ud800"}, "canonical JSON"),
        ({"order_id": None}, "order_id: Input should be a valid string (found null)"),
        ({"surprise": 1}, "surprise: there is no such argument"),
        ({"call": 1}, "call: there is no such argument"),
        ({"argument_0": "x"}, "argument_0: there is no such argument"),
        ({1: 2}, "canonical JSON"),
    ],
)
def test_wrong_arguments_are_refused_by_name(wrong: dict[str, Any], expected: str) -> None:
    with pytest.raises(Refused) as caught:
        built(issue_refund).check({"order_id": "1", "amount_cents": 5, **wrong})
    assert caught.value.code == "bad_arguments"
    assert expected in caught.value.message


def test_every_wrong_argument_is_named() -> None:
    with pytest.raises(Refused) as caught:
        built(issue_refund).check({"amount_cents": "5", "more": 1})
    assert caught.value.message == (
        "issue_refund: order_id: is required; amount_cents: Input should be a valid integer (found a string); "
        "more: there is no such argument"
    )


def test_integer_that_is_written_with_a_fraction_of_nothing_is_an_integer() -> None:
    assert canonical(built(issue_refund).check({"order_id": "1", "amount_cents": 5.0})) == canonical(
        {"order_id": "1", "amount_cents": 5, "note": ""}
    )


def test_check_of_a_type_that_raises_is_a_refusal() -> None:
    class Picky(BaseModel):
        word: str

        @field_validator("word")
        @classmethod
        def _look(cls, word: str) -> str:
            return {"known": word}[word]

    @tool
    def say(call: Call, it: Picky) -> None: ...

    with pytest.raises(Refused, match="the tool's own check failed: KeyError"):
        built(say).check({"it": {"word": "unknown"}})


@given(
    args=st.fixed_dictionaries(
        {"order_id": st.text(), "amount_cents": st.integers() | st.floats() | st.text()},
        optional={"note": st.text() | st.none(), "x": st.none()},
    )
)
def test_checking_normalised_arguments_changes_nothing(args: dict[str, Any]) -> None:
    made = built(issue_refund)
    try:
        normal = made.check(args)
    except Refused:
        return
    assert made.check(normal) == normal


# ------------------------------------------------------------------------------------------------------- declarations


def declare(function: Callable[..., Any], **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        tool(**options)(function).contract()
    return str(caught.value)


def fetch(call: Call, name: str, text: FreeText = "") -> None: ...


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"effect": "maybe"}, "effect='maybe' is none of read, transactional, idempotent, keyed, probed, unrepeatable"),
        ({"effect": 3}, "effect=3 is none of"),
        ({"effect": "keyed"}, 'effect="keyed" needs key_window'),
        ({"key_window": "24h"}, 'key_window is for effect="keyed"'),
        ({"effect": "probed"}, "needs a probe; add one with `@fetch.probe`"),
        ({"effect": "transactional"}, "go together"),
        ({"database": "SHOP_DB"}, "go together"),
        ({"timeout": "soon"}, "timeout: expected a duration such as"),
        ({"timeout": 0}, "timeout has to be longer than nothing"),
        ({"timeout": -1}, "timeout: expected a duration"),
        ({"fresh_for": "1h"}, 'fresh_for is for effect="read"'),
        ({"attempts": 0}, "attempts is a whole number from 1 up, found 0"),
        ({"attempts": True}, "attempts is a whole number"),
        ({"result_cap": "1MB"}, "result_cap is a whole number"),
        ({"fallback": ""}, "fallback is a text"),
        ({"identity": ("nam",)}, "names of arguments; they are: name, text"),
        ({"identity": "name"}, "a tuple of names"),
        ({"approve_hint": "get {nam}"}, "approve_hint names 'nam'; the arguments are: name, text"),
        ({"approve_hint": "get {name.__class__}"}, "approve_hint names 'name.__class__'"),
        ({"approve_hint": "get {"}, "approve_hint cannot be read"),
        ({"efect": "read"}, "@tool has no option efect; it has effect"),
    ],
)
def test_wrong_option_is_named_with_file_and_tool(options: dict[str, Any], expected: str) -> None:
    found = declare(fetch, **options)
    assert found.startswith(f"{__file__}:{fetch.__code__.co_firstlineno}: tool `fetch`: ")
    assert expected in found


def no_call(name: str) -> None: ...
def nothing() -> None: ...
def untyped(call: Call, name) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001 - that is the point
def many(call: Call, *names: str) -> None: ...
def any_name(call: Call, **names: str) -> None: ...
def by_position(call: Call, name: str, /) -> None: ...
def strange(call: Call, name: "Unknown") -> None: ...  # type: ignore[name-defined]  # noqa: F821 - that is the point
def no_json(call: Call, name: object()) -> None: ...  # type: ignore[valid-type]
def bad_result(call: Call) -> "Callable[[int], Any] | Declared": ...  # type: ignore[name-defined]  # noqa: F821
def yields(call: Call) -> Any:
    yield 1


def open_task(call: Call) -> None: ...
def grüße(call: Call) -> None: ...  # noqa: PLC2401 - that is the point
def only_words(call: Call, words: FreeText) -> None: ...


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (no_call, "the first parameter has to be the call"),
        (nothing, "the first parameter has to be the call"),
        (untyped, "argument `name` has no type; write for instance `name: str`"),
        (many, "parameter `names` takes any number of values"),
        (any_name, "parameter `names` takes any name"),
        (by_position, "parameter `name` is positional-only"),
        (strange, "its annotations cannot be read (name 'Unknown' is not defined)"),
        (no_json, "its arguments are no pydantic types"),
        (bad_result, "its annotations cannot be read"),
        (yields, "it yields; a tool returns one value"),
        (open_task, "the name is reserved"),
        (grüße, "a tool is a function with a name of letters"),
        (only_words, "all arguments are free text; say identity=(...)"),
    ],
)
def test_function_that_cannot_be_a_tool_is_named_with_the_reason(function: Callable[..., Any], expected: str) -> None:
    assert expected in declare(function)


def test_free_text_may_be_named_as_identity() -> None:
    assert tool(identity=("words",))(only_words).contract().identity == ("words",)


def test_free_text_is_found_inside_other_types() -> None:
    @tool
    def note(call: Call, to: str, body: Annotated[FreeText | None, Field(max_length=9)] = None) -> None: ...

    assert note.contract().identity == ("to",)


@pytest.mark.parametrize("hook", ["preflight", "verify", "probe", "undo"])
def test_hook_that_is_written_twice_or_takes_other_parameters_is_named(hook: str) -> None:
    @tool
    def book(call: Call, seat: str) -> None: ...

    with pytest.raises(ConfigError, match=r"seat_number|has to take"):
        getattr(book, hook)(lambda call, *, seat_number: None)

    def facts(call: Call, seat: str) -> None: ...
    def other(*args: Any) -> None: ...

    fits: Callable[..., None] = facts if hook == "preflight" else other
    getattr(book, hook)(fits)
    with pytest.raises(ConfigError, match=f"two functions for {hook}"):
        getattr(book, hook)(fits)


@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        ("probed", "it has no probe; declare it idempotent"),
        ("x", "is none of"),
        ("read", "changes something; declare it"),
        ("transactional", "for a tool that is transactional itself"),
    ],
)
def test_undo_of_a_wrong_kind_is_named(effect: str, expected: str) -> None:
    @tool
    def book(call: Call) -> None: ...

    with pytest.raises(ConfigError, match=expected):
        book.undo(effect=effect)(lambda call, args, result: None)


# ---------------------------------------------------------------------------------------------------------- durations


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("20s", 20), ("5m", 300), ("1h30m", 5400), ("1h 30m", 5400), ("7d", 604_800), ("2w", 1_209_600),
        ("250ms", 0.25), ("1.5h", 5400), (2, 2), (0.5, 0.5), (0, 0), (timedelta(minutes=1), 60),
    ],
)  # fmt: skip
def test_duration_is_read(written: object, seconds: float) -> None:
    assert parse_duration(written) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "written",
    ["", "20", "s", "20x", "30m1h", "5m5m", "-5s", "1e3s", "5 s x", True, None, -1, float("nan"), float("inf"), 10**400,
     "999999999w", timedelta(days=-1), [], "٣s"],
)  # fmt: skip
def test_what_is_no_duration_is_refused_in_words(written: object) -> None:
    with pytest.raises(ValueError, match="expected a duration such as"):
        parse_duration(written)
