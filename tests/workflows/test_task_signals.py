"""Every form in which people may send an answer by hand: what counts, counts; everything else is recorded and shown."""

import random
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.common import RawValue

from tests.workflows.shop import Shop
from tests.workflows.stories import outcome_of, requests_of
from tests.worlds import Rules, World, ask, asks, plan, step, until

PAY = plan(step("s1", "pay", order_id="1", amount=5))


def raw(data: bytes, encoding: bytes = b"json/plain") -> RawValue:
    return RawValue(Payload(metadata={"encoding": encoding}, data=data))


async def asked(world: World, shop: Shop, *approvers: str) -> WorkflowHandle[Any, Any]:
    world.agent("desk", shop.tools, [PAY], policy=Rules({"pay": asks(*approvers)}))
    handle = await world.start("t", requested_by="carl")
    await until(handle, "AWAITING_APPROVAL")
    return handle


@pytest.mark.parametrize("arguments", [[], [None], [""], [{}]], ids=["nothing", "null", "empty", "object"])
async def test_approve_without_a_name_counts_where_anybody_may(world: World, shop: Shop, arguments: list[Any]) -> None:
    async with world.worker():
        handle = await asked(world, shop)
        await handle.signal("approve", args=arguments)
        assert (await outcome_of(handle))["status"] == "COMPLETED"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"request_id": "q1"},
        {"digest": "DIGEST"},
        {"comment": "fine"},
        {"choice": "approve"},
        {"request_id": None, "text": None},
        {"request_id": "q1", "digest": "DIGEST", "comment": "all of it"},
    ],
    ids=lambda fields: "+".join(fields) or "name",
)
async def test_approve_with_each_field(world: World, shop: Shop, fields: dict[str, Any]) -> None:
    async with world.worker():
        handle = await asked(world, shop, "ana")
        [request] = await requests_of(handle)
        given = {name: request["digest"] if value == "DIGEST" else value for name, value in fields.items()}
        await handle.signal("approve", {"by": "ana", **given})
        result = await outcome_of(handle)
    assert result["effects"][0]["approved_by"] == ["ana"]


@pytest.mark.parametrize("sent", ["ana", " Ana ", raw(b'"ana"'), raw(b'{"by":"ana"}', b"")], ids=range(4))
async def test_a_bare_name_is_who_approves(world: World, shop: Shop, sent: Any) -> None:
    async with world.worker():
        handle = await asked(world, shop, "ana")
        await handle.signal("approve", sent)
        assert (await outcome_of(handle))["status"] == "COMPLETED"


MISFITS: list[tuple[str, list[Any], str]] = [
    ("approve", [], "say who you are"),
    ("approve", ["bob"], "bob may not answer"),
    ("approve", ["carl"], "may not answer"),
    ("approve", [{"by": "ana", "digest": "0000000000000000"}], "has changed"),
    ("approve", [{"by": "ana", "request_id": "q7"}], "no request 'q7'"),
    ("approve", [{"by": "ana", "choice": "reject"}], "one or the other"),
    ("approve", [{"by": "ana", "choice": "happened"}], ""),
    ("approve", [{"by": "ana", "coment": "typo"}], "coment"),
    ("approve", [{"by": {"name": "ana"}}], "by:"),
    ("approve", ["ana", "bob"], "several arguments"),
    ("approve", [["ana"]], "should be nothing"),
    ("approve", [7], "should be nothing"),
    ("approve", [raw(b"\x00\xff\xfe", b"binary/encrypted")], "encoding binary/encrypted"),
    ("approve", [1.5], "should be nothing"),
    ("approve", [raw(b"{not json")], "is no JSON"),
    ("approve", [True], "should be nothing"),
    ("approve", [raw(b'{"by": NaN}')], "is no JSON"),
    ("approve", [raw(b"[" * 100_000 + b"]" * 100_000)], "is no JSON"),
    ("approve", [raw(b"[" * 60 + b"]" * 60)], "nested too deeply"),
    ("approve", [raw(b'"\\ud800"')], "surrogate"),
    ("approve", [raw(b'{"by": "ana", "args": {"amount": 1e999}}')], "infinities"),
    ("approve", [raw(b'{"by": "ana", "args": {"amount": 1152921504606846977}}')], "2^53"),
    ("approve", [{"by": "ana", "args": {"order_id": "x" * 100_000}}], "at most"),
    ("approve", [{"by": "a" * 300}], "at most 200"),
    ("reject", ["bob"], "bob may not answer"),
    ("answer", ["happened"], "no choice"),
    ("answer", [{"text": "yes", "by": "ana"}], ""),
    ("aprove", ["ana"], "no signal 'aprove'"),
    ("approve\u202e", [], "no signal"),
    ("amend", [], "names what changes"),
    ("amend", [{"goal": ""}], "goal"),
    ("amend", [{"gaol": "x"}], "gaol"),
    ("amend", [{"inputs": {"deep": [[]] * 3, "n": 2**60}}], "2^53"),
    ("pause", [5], "pause"),
    ("pause", [{"by": "carl", "until": "noon"}], "until"),
    ("resume", [raw(b"\xff", b"binary/plain")], "is no JSON"),
]


async def test_what_does_not_fit_is_shown_and_changes_nothing(world: World, shop: Shop) -> None:
    async with world.worker(cached=1):
        handle = await asked(world, shop, "ana")
        for name, arguments, said in MISFITS:
            before = (await ask(handle, "status"))["last_not_accepted"]
            await handle.signal(name, args=arguments)
            view = await ask(handle, "status")
            assert view["last_not_accepted"] != before, (name, arguments)
            assert said in view["last_not_accepted"], (name, view["last_not_accepted"])
            assert (view["status"], view["open_requests"]) == ("AWAITING_APPROVAL", ["q1"])
        assert shop.effects == []
        await handle.signal("approve", {"by": "ana", "request_id": "q1"})
        assert (await outcome_of(handle))["status"] == "COMPLETED"
    assert shop.done("pay") == 1


async def test_fifty_signals_at_random_leave_every_task_with_a_person(world: World, shop: Shop) -> None:
    """Fifty more, put together at random from everything that people may get wrong."""
    dice = random.Random(20_260_101)
    async with world.worker():
        handle = await asked(world, shop, "ana")
        for _ in range(50):
            name = dice.choice(["approve", "reject", "answer", "amend", "pause", "approove", "", "decide", "__x"])
            blob = bytes(dice.randrange(256) for _ in range(dice.randrange(40)))
            encoding = dice.choice([b"json/plain", b"binary/null2", b"binary/protobuf", b"", b"\xff"])
            await handle.signal(name or "?", args=[raw(b"\x01" + blob, encoding)] * dice.randrange(1, 4))
        view = await until(handle, "AWAITING_APPROVAL")
        assert view["waiting_for"] == ["ana"]
        assert shop.effects == []
        await handle.signal("approve", "ana")
        assert (await outcome_of(handle))["status"] == "COMPLETED"


async def test_an_answer_that_came_before_the_request_is_not_kept_for_it(world: World, shop: Shop) -> None:
    world.agent("desk", shop.tools, [PAY], policy=Rules({"pay": asks("ana")}))
    handle = await world.start("t")
    await handle.signal("approve", "ana")
    async with world.worker():
        view = await until(handle, "AWAITING_APPROVAL")
        assert "no request is open" in view["last_not_accepted"]
        assert shop.effects == []


async def test_decide_is_answered_at_once(world: World, shop: Shop) -> None:
    async with world.worker():
        handle = await asked(world, shop, "ana")
        answer = await handle.execute_update("decide", {"request_id": "q1", "choice": "approve", "by": "ana"})
        assert answer == {"accepted": True, "status": "ACTING"}
        assert (await outcome_of(handle))["status"] == "COMPLETED"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "needs request_id and choice"),
        (["ana"], "needs request_id and choice"),
        ([{"request_id": "q1", "by": "ana"}], "needs request_id and choice"),
        ([{"request_id": "q1", "choice": "approve", "by": "bob"}], "bob may not answer"),
        ([{"request_id": "q2", "choice": "approve", "by": "ana"}], "no request 'q2'"),
        ([{"request_id": "q1", "choice": "happened", "by": "ana"}], "takes one of approve, reject, edit"),
        ([{"request_id": "q1", "choice": "approve", "by": "ana", "digest": "0"}], "has changed"),
        ([1, 2], "several arguments"),
        ([raw(b"\xff\x00", b"binary/other")], "is no JSON"),
    ],
    ids=range(9),
)
async def test_decide_is_refused_with_the_reason(world: World, shop: Shop, arguments: list[Any], said: str) -> None:
    async with world.worker():
        handle = await asked(world, shop, "ana")
        with pytest.raises(WorkflowUpdateFailedError) as raised:
            await handle.execute_update("decide", args=arguments)
        assert said in str(raised.value.cause)
        assert (await ask(handle, "status"))["status"] == "AWAITING_APPROVAL"
    assert shop.effects == []


async def test_the_card_shows_what_to_approve_and_what_to_paste(world: World, shop: Shop) -> None:
    async with world.worker():
        handle = await asked(world, shop, "ana")
        await handle.signal("approve", "bob")
        [request] = await requests_of(handle)
        metadata = await ask(handle, "__temporal_workflow_metadata")
    card = metadata.current_details
    for part in ("AWAITING", "amount", '"request_id": "q1"', request["digest"], "bob may not answer"):
        assert part in card
    names = {one.name for one in metadata.definition.signal_definitions}
    assert names >= {"approve", "reject", "answer", "amend", "pause", "resume"}
