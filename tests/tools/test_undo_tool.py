"""The companion of a tool that can be undone: its contract, what it is called with, and what it answers."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from core.contract import Contract, Effect
from core.errors import ConfigError, Refused
from core.ports import Call, Certainty, Tool
from core.record import Json
from tools import NotSent, tool
from tools.declaration import Declaration
from tools.registry import build_tools

CALL = Call(key="k2", task_id="t", step_id="undo.r1.s1", attempt=1, deadline=datetime.now(UTC))


class Money(BaseModel):
    cents: int


class Booking(BaseModel):
    id: str
    on: date
    price: Money


def booking(**undo: Any) -> Declaration:
    @tool(effect="keyed", key_window="2h", timeout="7s", attempts=3)
    def book(call: Call, on: date, price: Money) -> Booking:
        """Book a seat."""
        return Booking(id=call.key, on=on, price=price)

    @book.undo(**undo)
    def _(call: Call, args: Any, result: Any) -> dict[str, str]:
        kinds = [type(args.on).__name__, type(args.price).__name__, type(result).__name__]
        return {"key": call.key, "kinds": " ".join(kinds)}

    return book


def undo_of_booking(**undo: Any) -> Tool:
    return build_tools([booking(**undo)])["book.undo"]


ARGS: dict[str, Json] = {"on": "2026-03-01", "price": {"cents": 5}}
RESULT: dict[str, Json] = {"id": "b1", "on": "2026-03-01", "price": {"cents": 5}}


def test_tool_that_can_be_undone_brings_a_companion() -> None:
    found = build_tools([booking(effect="keyed")])
    assert list(found) == ["book", "book.undo"]
    contract = found["book.undo"].contract
    assert (contract.name, contract.undoes, contract.effect) == ("book.undo", "book", Effect.KEYED)
    assert (contract.key_window, contract.timeout, contract.attempts) == (
        timedelta(hours=2),
        timedelta(seconds=7),
        3,
    )
    assert (contract.has_undo, contract.has_verify, contract.has_probe, contract.fallback) == (False,) * 3 + (None,)


def test_undo_is_unrepeatable_unless_it_says_otherwise() -> None:
    contract = undo_of_booking().contract
    assert (contract.effect, contract.key_window) == (Effect.UNREPEATABLE, None)


async def test_arguments_and_result_come_back_as_the_tool_s_own_types() -> None:
    sent = await undo_of_booking().send(CALL, {"args": ARGS, "result": RESULT})
    assert sent == {"key": "k2", "kinds": "date Money Booking"}


async def test_result_that_does_not_fit_any_more_comes_as_plain_json() -> None:
    sent = await undo_of_booking().send(CALL, {"args": ARGS, "result": {"opaque": "Odd", "value": 1}})
    assert isinstance(sent, dict)
    assert sent["kinds"] == "date Money dict"


async def test_undo_that_returns_nothing_has_an_empty_result() -> None:
    @tool
    def pay(call: Call, cents: int) -> None: ...

    @pay.undo
    async def _(call: Call, args: Any, result: Any) -> None:
        assert (args["cents"], result) == (5, None)

    assert await build_tools([pay])["pay.undo"].send(CALL, {"args": {"cents": 5}, "result": None}) is None


def test_check_is_stable_and_fills_in_defaults() -> None:
    @tool
    def pay(call: Call, cents: int, note: str = "-") -> None: ...

    @pay.undo
    def _(call: Call, args: Any, result: Any) -> None: ...

    undo = build_tools([pay])["pay.undo"]
    checked = undo.check({"args": {"cents": 5}, "result": [1]})
    assert checked == {"args": {"cents": 5, "note": "-"}, "result": [1]}
    assert undo.check(checked) == checked


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"args": ARGS},
        {"args": ARGS, "result": None, "more": 1},
        {"args": [], "result": None},
        {"args": {**ARGS, "on": "tomorrow"}, "result": None},
        {"args": ARGS, "result": 2**60},
    ],
)
def test_other_arguments_are_refused(args: dict[str, Json]) -> None:
    with pytest.raises(Refused) as caught:
        undo_of_booking().check(args)
    assert caught.value.code == "bad_arguments"


def test_schema_holds_the_definitions_of_both_parts() -> None:
    schema = undo_of_booking().contract.args_schema
    Draft202012Validator.check_schema(schema)
    judge = Draft202012Validator(schema)
    assert judge.is_valid({"args": ARGS, "result": RESULT})
    assert not judge.is_valid({"args": {**ARGS, "price": {"cents": "5"}}, "result": RESULT})
    assert not judge.is_valid({"args": ARGS, "result": {**RESULT, "price": {"cents": "5"}}})
    assert not judge.is_valid({"args": ARGS})


async def test_undo_has_no_facts_no_read_back_and_no_probe() -> None:
    undo = undo_of_booking()
    assert await undo.preflight(CALL, {}) == {}
    assert await undo.verify(CALL, {}, None) is None
    with pytest.raises(LookupError, match=r"book\.undo has no probe"):
        await undo.probe(CALL, {})


def test_errors_of_an_undo_are_sorted_as_those_of_any_tool() -> None:
    assert undo_of_booking().sort(NotSent("down")).certainty is Certainty.NOT_SENT
    assert undo_of_booking().sort(Refused("gone", "no such booking")).certainty is Certainty.REFUSED


def test_digest_of_other_tools_does_not_know_of_undos() -> None:
    """Steps that are under way carry it: it must not change with this version."""
    fields: dict[str, Any] = {"name": "look", "effect": Effect.READ, "args_schema": {"type": "object"}}
    assert Contract(description="x", **fields).digest == "5594a09e9638be5c"
    assert Contract(description="x", undoes="pay", **fields).digest != "5594a09e9638be5c"


def test_undo_that_yields_or_cannot_be_read_is_refused() -> None:
    @tool
    def pay(call: Call) -> None: ...

    def yields(call: Call, args: Any, result: Any) -> Any:
        yield 1

    with pytest.raises(ConfigError, match="it yields"):
        pay.undo(yields)
