"""Started by hand with something wrong: the task fails with the reason, and never hangs."""

from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowFailureError
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from core.views import TaskResult
from tests.workflows.shop import Shop
from tests.workflows.stories import outcome_of
from tests.worlds import World, plan, step


def raw(data: bytes, encoding: bytes = b"json/plain") -> RawValue:
    return RawValue(Payload(metadata={"encoding": encoding}, data=data))


GOOD = {"agent": "desk", "goal": "do it"}
BAD: list[tuple[list[Any], str]] = [
    ([], "Input should be"),
    ([None], "Input should be"),
    (["desk"], "Input should be"),
    ([[GOOD]], "Input should be"),
    ([7], "Input should be"),
    ([{}], "agent: Field required; goal: Field required"),
    ([{"agent": "desk"}], "goal: Field required"),
    ([{**GOOD, "gaol": 1}], "gaol: Extra inputs"),
    ([{**GOOD, "goal": ""}], "goal: "),
    ([{**GOOD, "goal": 7}], "goal: "),
    ([{**GOOD, "goal": None}], "goal: Input should be"),
    ([{**GOOD, "gaol": None}], "gaol: Extra inputs"),
    ([{**GOOD, "x" * 500_000: 1}], "Extra inputs"),
    ([{**GOOD, "goal": "x" * 30_000}], "goal: "),
    ([{**GOOD, "inputs": ["order"]}], "inputs: "),
    ([{**GOOD, "inputs": {"n": 2**70}}], "2^53"),
    ([{**GOOD, "inputs": {"n": "x" * 1_000_000}}], "at most"),
    ([raw(b'{"agent": "desk", "goal": "\\ud800"}')], "surrogate"),
    ([raw(b'{"agent": "desk", "goal": "x", "inputs": {"n": NaN}}')], "is no JSON"),
    ([raw(b'{"agent": "desk", "goal": "x", "inputs": {"n": -1e999}}')], "infinities"),
    ([raw(b'{"agent": "desk", "goal": "x", "inputs": {"n": ' + b"[" * 90 + b"]" * 90 + b"}}")], "nested too deeply"),
    ([raw(b"\x00\x01", b"binary/encrypted")], "is no JSON"),
    ([raw(b"")], "is no JSON"),
    ([GOOD, GOOD], "several arguments"),
    ([{"carried": {}}], "carried"),
]


async def test_a_bad_input_ends_the_task_with_the_reason(world: World, shop: Shop) -> None:
    world.agent("desk", shop.tools, [plan(step("s1", "note", text="x"))])
    async with world.worker():
        handles = [await world.start_with(f"{n}", *arguments) for n, (arguments, _) in enumerate(BAD)]
        for handle, (arguments, said) in zip(handles, BAD, strict=True):
            with pytest.raises(WorkflowFailureError) as raised:
                await handle.result()
            failure = raised.value.cause
            assert isinstance(failure, ApplicationError)
            assert failure.type == "FAILED"
            assert said in failure.message, (str(arguments)[:80], failure.message)
            assert "Expected {" in failure.message
            result = TaskResult.model_validate(failure.details[0])
            assert (result.task_id, result.status, f"FAILED: {result.reason}") == (handle.id, "FAILED", failure.message)
    assert shop.effects == []


async def test_task_with_a_bad_input_still_answers_queries(world: World, shop: Shop) -> None:
    world.agent("desk", shop.tools, [plan(answer="x")])
    async with world.worker():
        handle = await world.start_with("t", {"agent": "desk", "inputs": ["order"]})
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        status = await handle.query("status")
        assert (status["task_id"], status["agent"], status["status"]) == (handle.id, "desk", "FAILED")
        assert await handle.query("requests") == []
        assert (await handle.query("state"))["ending"]["reason"].startswith("the input of the task is wrong: goal")


async def test_null_is_read_as_not_given_where_a_field_may_be_left_out(world: World, shop: Shop) -> None:
    world.agent("desk", shop.tools, [plan(answer="done")])
    async with world.worker():
        wish = {**GOOD, "inputs": None, "requested_by": None, "again": None}
        assert (await outcome_of(await world.start_with("t", wish)))["answer"] == "done"


async def test_every_field_of_the_input_is_taken(world: World, shop: Shop) -> None:
    world.agent("desk", shop.tools, [plan(answer="{{inputs/a}}")])
    async with world.worker():
        wish = {**GOOD, "inputs": {"a": "b"}, "requested_by": "carl", "again": False}
        assert (await outcome_of(await world.start_with("t", wish)))["answer"] == "b"
