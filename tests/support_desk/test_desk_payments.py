import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from core.errors import Refused
from core.ports import Call, Certainty
from core.record import Json
from demo.child import free_port
from demo.orders import Customer, SeedOrder
from demo.services import Services
from tests.support_desk.desk import Desk, NewCall, NewOrder, sorted_error
from tools.python_tool import PythonTool

pytestmark = pytest.mark.asyncio(loop_scope="session")

Preflight = Callable[[str, int], Awaitable[dict[str, Json]]]

WITHIN = timedelta(seconds=10)


@pytest.fixture
def refund(desk: Desk) -> PythonTool:
    return desk["issue_refund"]


@pytest.fixture
def preflight(refund: PythonTool, call: Call) -> Preflight:
    return lambda order_id, amount_cents: refund.preflight(
        call, {"order_id": order_id, "amount_cents": amount_cents, "reason": ""}
    )


async def refunds_of(services: Services, order: SeedOrder) -> list[tuple[int, str]]:
    """What the provider itself has, past the proxy: amount and key of each refund."""
    intent = services.orders.find(order.id).payment_intent
    assert intent is not None
    return [(found.amount_cents, found.lastmile_key) for found in await services.payments.refunds(intent)]


async def test_refund_is_taken_by_the_provider_under_our_key(
    refund: PythonTool, call: Call, services: Services, new_order: NewOrder
) -> None:
    order = await new_order(total_cents=250_00)
    result = await refund.send(call, {"order_id": order.id, "amount_cents": 250_00, "reason": "broken"})
    assert {**result, "refund_id": ""} == {
        "refund_id": "",
        "order_id": order.id,
        "amount_cents": 250_00,
        "amount_text": "250.00 EUR",
        "currency": "eur",
        "status": "succeeded",
    }
    assert await refunds_of(services, order) == [(250_00, call.key)]


async def test_facts_for_the_approver_come_from_the_provider(
    refund: PythonTool, call: Call, new_order: NewOrder
) -> None:
    order = await new_order(total_cents=250_00, refunded_cents=30_00)
    assert await refund.preflight(call, {"order_id": order.id, "amount_cents": 100_00, "reason": ""}) == {
        "customer": "Eva Lind",
        "item": "Kettle",
        "amount": "100.00 EUR",
        "paid": "250.00 EUR",
        "already_refunded": "30.00 EUR",
        "paid_cents": 250_00,
        "already_refunded_cents": 30_00,
        "remainder_cents": 220_00,
    }


@pytest.mark.parametrize(
    ("case", "amount_cents", "code"),
    [
        ({"is_paid": False}, 1, "not_paid"),
        ({"total_cents": 99_00, "refunded_cents": 99_00}, 1, "already_refunded"),
        ({"total_cents": 99_00, "refunded_cents": 50_00}, 49_01, "exceeds_remainder"),
    ],
    ids=["unpaid", "refunded before", "more than is left"],
)
async def test_refund_that_cannot_be_given_is_refused_before_anybody_is_asked(
    preflight: Preflight, new_order: NewOrder, case: dict[str, int], amount_cents: int, code: str
) -> None:
    order = await new_order(**case)
    with pytest.raises(Refused) as refusal:
        await preflight(order.id, amount_cents)
    assert refusal.value.code == code


async def test_unknown_order_is_refused_before_anybody_is_asked(refund: PythonTool, call: Call) -> None:
    with pytest.raises(Refused, match="no order 9999"):
        await refund.preflight(call, {"order_id": "9999", "amount_cents": 1, "reason": ""})


async def test_facts_are_the_same_after_the_call_itself_was_taken(
    refund: PythonTool, call: Call, new_call: NewCall, new_order: NewOrder
) -> None:
    order = await new_order()
    args = {"order_id": order.id, "amount_cents": order.total_cents, "reason": ""}
    before = await refund.preflight(call, args)
    await refund.send(call, args)
    assert await refund.preflight(call, args) == before
    with pytest.raises(Refused, match="completely"):
        await refund.preflight(new_call(), args)


async def test_lost_answer_leaves_a_doubt_that_the_probe_resolves(
    refund: PythonTool, call: Call, new_call: NewCall, services: Services, new_order: NewOrder
) -> None:
    order = await new_order()
    args = {"order_id": order.id, "amount_cents": 250_00, "reason": ""}
    hold = services.proxy.hold_next_refund()
    sending = asyncio.create_task(refund.send(call, args))
    taken = await hold.taken(WITHIN)
    assert not sending.done()
    assert await refunds_of(services, order) == [(250_00, call.key)]
    hold.drop()
    with pytest.raises(Exception, match="communicating with Stripe") as lost:
        await sending
    assert refund.sort(lost.value).certainty is Certainty.UNKNOWN
    found = await refund.probe(call, args)
    assert found is not None
    assert (found["refund_id"], found["amount_text"]) == (taken["id"], "250.00 EUR")
    assert await refund.probe(new_call(), args) is None


async def test_probe_looks_beyond_the_first_page(
    refund: PythonTool, new_call: NewCall, services: Services, new_order: NewOrder
) -> None:
    order = await new_order()
    oldest = new_call()
    for call in (oldest, *(new_call() for _ in range(105))):
        await refund.send(call, {"order_id": order.id, "amount_cents": 1})
    assert len(await refunds_of(services, order)) == 106
    found = await refund.probe(oldest, {"order_id": order.id, "amount_cents": 1, "reason": ""})
    assert found is not None


async def test_provider_that_is_down_was_sent_nothing(
    refund: PythonTool, call: Call, new_order: NewOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await new_order()
    monkeypatch.setenv("STRIPE_API_BASE", f"http://127.0.0.1:{free_port()}")
    error = await sorted_error(refund, call, {"order_id": order.id, "amount_cents": 1})
    assert error.certainty is Certainty.NOT_SENT


async def test_no_of_the_provider_is_definite(refund: PythonTool, call: Call, services: Services) -> None:
    order = SeedOrder(
        id="no-such-payment", customer=Customer(id="c-0", name="N", email="n@example.com"), item="-", total_cents=1_00
    )
    services.orders.add(order, "pi_unknown")
    error = await sorted_error(refund, call, {"order_id": order.id, "amount_cents": 1_00})
    assert (error.certainty, error.code) == (Certainty.REFUSED, "http_404")


async def test_wrong_key_is_a_definite_no_and_is_not_repeated_to_anybody(
    refund: PythonTool, call: Call, new_order: NewOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await new_order()
    monkeypatch.setenv("STRIPE_API_KEY", "not-a-secret-key")
    error = await sorted_error(refund, call, {"order_id": order.id, "amount_cents": 1})
    assert error.certainty is Certainty.REFUSED
    assert "not-a-secret-key" not in error.message


async def test_missing_key_is_named(
    refund: PythonTool, call: Call, new_order: NewOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await new_order()
    monkeypatch.delenv("STRIPE_API_KEY")
    with pytest.raises(Refused, match="STRIPE_API_KEY"):
        await refund.send(call, {"order_id": order.id, "amount_cents": 1, "reason": ""})


async def test_refund_is_verified_against_what_was_asked(
    refund: PythonTool, call: Call, new_call: NewCall, new_order: NewOrder
) -> None:
    order = await new_order()
    args = {"order_id": order.id, "amount_cents": 10_00, "reason": ""}
    result = await refund.send(call, args)
    assert await refund.verify(call, args, result) is True
    assert await refund.verify(call, {**args, "amount_cents": 10_01}, result) is False
    assert await refund.verify(new_call(), args, result) is False
    assert await refund.verify(call, args, {"opaque": "Refund"}) is False


async def test_second_send_moves_money_again_here_so_only_the_probe_protects(
    refund: PythonTool, call: Call, services: Services, new_order: NewOrder
) -> None:
    """localstripe ignores idempotency keys; were this to change, `probed` would deserve another look."""
    order = await new_order()
    for attempt in (1, 2):
        await refund.send(replace(call, attempt=attempt), {"order_id": order.id, "amount_cents": 1_00})
    assert await refunds_of(services, order) == [(1_00, call.key)] * 2
