"""How a tool is run: in a thread or on the loop, and what becomes of whatever it returns or raises."""

import asyncio
import contextvars
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, PositiveInt, computed_field

from core.names import canonical
from core.ports import Certainty, Tool
from tools import Call, NotSent, Refused, tool
from tools.declaration import Declaration
from tools.function import ToolStopped
from tools.registry import build_tools
from tools.results import ResultConverter

CALL = Call(key="k", task_id="t", step_id="r1.s1", attempt=1, deadline=datetime.now(UTC), inputs={"a": 1})


def built(declaration: Declaration) -> Tool:
    [made] = build_tools([declaration]).values()
    return made


def returning(value: Any, annotation: Any = None) -> Tool:
    def fetch(call: Call) -> Any:
        return value

    if annotation is None:
        del fetch.__annotations__["return"]
    else:
        fetch.__annotations__["return"] = annotation
    return built(tool(effect="read")(fetch))


class Refund(BaseModel):
    id: str
    amount_cents: PositiveInt
    state: str = Field(default="open", alias="status")


@tool
async def issue_refund(call: Call, order_id: str, amount: Decimal) -> Refund:
    return Refund(id=f"{order_id}/{call.key}", amount_cents=int(amount * 100))


@issue_refund.preflight
async def facts_of(call: Call, amount: Decimal) -> dict[str, Any]:
    return {"amount": amount, "known": True}


@issue_refund.verify
async def was_refunded(call: Call, args: Any, result: Refund) -> bool:
    return result.amount_cents == args.amount * 100 == args["amount"] * 100 and isinstance(args.amount, Decimal)


@issue_refund.probe
async def find(call: Call, args: Any) -> Refund | None:
    return Refund(id="found", amount_cents=1) if args.order_id == "1" else None


ARGS = {"order_id": "1", "amount": "2.50"}
RESULT = {"id": "1/k", "amount_cents": 250, "status": "open"}


async def test_function_gets_its_types_and_answers_in_json() -> None:
    made = built(issue_refund)
    assert made.check(ARGS) == ARGS
    assert await made.send(CALL, ARGS) == RESULT


async def test_hooks_get_types_and_answer_in_json() -> None:
    made = built(issue_refund)
    assert await made.preflight(CALL, ARGS) == {"amount": "2.50", "known": True}
    assert await made.verify(CALL, ARGS, RESULT) is True
    assert await made.verify(CALL, ARGS, {**RESULT, "amount_cents": 1}) is False
    assert await made.probe(CALL, ARGS) == {"id": "found", "amount_cents": 1, "status": "open"}
    assert await made.probe(CALL, {**ARGS, "order_id": "2"}) is None


async def test_tool_without_hooks_says_so() -> None:
    made = returning(1)
    assert await made.preflight(CALL, {}) == {}
    assert await made.verify(CALL, {}, 1) is None
    with pytest.raises(LookupError, match="fetch has no probe"):
        await made.probe(CALL, {})


async def test_plain_function_runs_in_a_thread_with_the_context() -> None:
    word = contextvars.ContextVar("word", default="")

    @tool(effect="read")
    def where(call: Call) -> list[object]:
        return [threading.current_thread() is threading.main_thread(), word.get(), call.inputs["a"]]

    word.set("kept")
    assert await built(where).send(CALL, {}) == [False, "kept", 1]


async def test_argument_may_be_called_like_a_method() -> None:
    @tool
    def buy(call: Call, items: list[str], keys: int) -> None: ...

    @buy.verify
    def _(call: Call, args: Any, result: Any) -> bool:
        return bool(args.items == ["a"] and args.keys == 1 and args["items"] == ["a"] and len(args) == 2)

    assert await built(buy).verify(CALL, {"items": ["a"], "keys": 1}, None) is True


@pytest.mark.parametrize("error", [Refused("no", "never"), NotSent("busy"), KeyError("x"), TimeoutError()])
@pytest.mark.parametrize("kind", ["async", "plain"])
async def test_what_a_tool_raises_is_passed_on(error: Exception, kind: str) -> None:
    async def later(call: Call) -> None:
        raise error

    def now(call: Call) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await built(tool(later if kind == "async" else now)).send(CALL, {})
    assert str(caught.value) == str(error)


async def leave(call: Call) -> None:
    sys.exit("bye")


def leave_thread(call: Call) -> None:
    sys.exit("bye")


def stop(call: Call) -> None:
    next(iter([]))


@pytest.mark.parametrize("function", [leave, leave_thread, stop])
async def test_tool_cannot_stop_or_hang_the_worker(function: Callable[..., Any]) -> None:
    made = built(tool(function))
    async with asyncio.timeout(5):
        with pytest.raises(ToolStopped) as caught:
            await made.send(CALL, {})
    assert made.sort(caught.value).certainty is Certainty.UNKNOWN


async def test_coroutine_of_a_plain_function_is_waited_for() -> None:
    async def inner() -> int:
        return 7

    @tool(effect="read")
    def outer(call: Call) -> Any:
        return inner()

    assert await built(outer).send(CALL, {}) == 7


# ------------------------------------------------------------------------------------------------------------ results


@dataclass
class Point:
    x: int
    y: Decimal


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (None, None, None),
        ({"a": (1, 2)}, None, {"a": [1, 2]}),
        (datetime(2026, 11, 21, tzinfo=UTC), None, "2026-11-21T00:00:00Z"),
        (Point(1, Decimal("1.5")), None, {"x": 1, "y": "1.5"}),
        (Point(1, Decimal("1.5")), Point, {"x": 1, "y": "1.5"}),
        ({"id": "r", "amount_cents": 5, "status": "done"}, Refund, {"id": "r", "amount_cents": 5, "status": "done"}),
        ([1, 2], list[int], [1, 2]),
        (b"text", bytes, "text"),
    ],
)
async def test_result_becomes_plain_json(value: Any, annotation: Any, expected: Any) -> None:
    assert await returning(value, annotation).send(CALL, {}) == expected


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def cycle() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


@pytest.mark.parametrize(
    ("value", "annotation", "kind", "problem"),
    [
        (object(), None, "object", "cannot be written as JSON"),
        (Unprintable(), None, "Unprintable", "cannot be written as JSON"),
        ({"id": 2**60}, None, "dict", "has no canonical JSON"),
        (float("nan"), None, "float", "has no canonical JSON"),
        ("\ud800", None, "str", "has no canonical JSON"),
        (b"\xff", None, "bytes", "cannot be written as JSON"),
        (cycle(), None, "list", "cannot be written as JSON"),
        ({"id": "r"}, Refund, "dict", "amount_cents: Field required"),
        ("text", int, "str", "does not fit the declared type"),
    ],
)
async def test_result_that_does_not_fit_is_described_and_never_raised(
    value: Any, annotation: Any, kind: str, problem: str
) -> None:
    found = await returning(value, annotation).send(CALL, {})
    assert found["opaque"] == kind
    assert problem in found["problem"]
    canonical(found)


async def test_result_that_does_not_fit_keeps_its_value_where_it_can() -> None:
    assert (await returning({"id": "r"}, Refund).send(CALL, {}))["value"] == {"id": "r"}


async def test_stored_result_that_does_not_fit_any_more_comes_as_it_is() -> None:
    class Computed(BaseModel):
        x: int

        @computed_field  # type: ignore[prop-decorator]
        @property
        def double(self) -> int:
            return 2 * self.x

    seen: list[Any] = []

    @tool
    def make(call: Call) -> Computed:
        return Computed(x=1)

    @make.verify
    def _(call: Call, args: Any, result: Any) -> bool:
        seen.append(result)
        return True

    made = built(make)
    stored = await made.send(CALL, {})
    await made.verify(CALL, {}, stored)
    await made.verify(CALL, {}, {"opaque": "dict"})
    assert stored == {"x": 1, "double": 2}
    assert seen == [Computed(x=1), {"opaque": "dict"}]


ANYTHING = st.recursive(
    st.none()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=[]))
    | st.binary()
    | st.just(object()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
    max_leaves=10,
)


@given(value=ANYTHING)
def test_whatever_a_tool_returns_has_canonical_json(value: Any) -> None:
    canonical(CONVERTER.to_json(value))


CONVERTER = ResultConverter(lambda call: None)


# -------------------------------------------------------------------------------------------------------------- hooks


async def test_preflight_may_refuse_and_has_to_answer_with_facts() -> None:
    @tool
    def book(call: Call, seat: int) -> None: ...

    @book.preflight
    def _(call: Call, **args: Any) -> Any:
        match args["seat"]:
            case 1:
                raise Refused("taken", "somebody sits there")
            case 2:
                return None
            case 3:
                return Refund(id="x", amount_cents=1)
            case _:
                return [1]

    made = built(book)
    with pytest.raises(Refused, match="somebody sits there"):
        await made.preflight(CALL, {"seat": 1})
    assert await made.preflight(CALL, {"seat": 2}) == {}
    assert await made.preflight(CALL, {"seat": 3}) == {"id": "x", "amount_cents": 1, "status": "open"}
    with pytest.raises(TypeError, match="preflight of book has to return a dict of facts, not a list"):
        await made.preflight(CALL, {"seat": 4})


async def test_probe_that_answers_false_says_neither_found_nor_absent() -> None:
    @tool
    def book(call: Call) -> None: ...

    @book.probe
    def _(call: Call, args: Any) -> Any:
        return False

    with pytest.raises(TypeError, match="has to answer None for an effect that is not there, not False"):
        await built(book).probe(CALL, {})


async def test_probe_that_finds_something_never_answers_none() -> None:
    @tool
    def book(call: Call) -> None: ...

    @book.probe
    def _(call: Call, args: Any) -> Any:
        return True

    assert await built(book).probe(CALL, {}) is not None


async def test_verify_has_to_answer_yes_or_no() -> None:
    @tool
    def book(call: Call) -> None: ...

    @book.verify
    def _(call: Call, args: Any, result: Any) -> Any:
        return None

    with pytest.raises(TypeError, match="verify of book has to answer True or False, not None"):
        await built(book).verify(CALL, {}, None)


async def test_arguments_that_do_not_fit_are_refused_before_anything_is_sent() -> None:
    with pytest.raises(Refused, match="order_id: is required"):
        await built(issue_refund).send(CALL, {"amount": "1"})
