"""People: approvals, edits, quorums, questions, doubts and tasks that make no progress."""

from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from core.names import effect_key
from core.profile import Limits
from core.record import Json
from tests.workflows.shop import Shop
from tests.workflows.stories import activities_of, events_of, outcome_of, requests_of
from tests.worlds import Rules, World, asks, plan, step, until

PAY = plan(step("s1", "pay", order_id="1", amount=5))
MAIL = plan(step("s1", "mail", to="a", body="b"))


def ask_for_pay(world: World, shop: Shop, *plans: Json, quorum: int = 1) -> None:
    policy = Rules({"pay": asks("finance", quorum=quorum)})
    world.agent("desk", shop.tools, plans or [PAY], policy=policy, people={"finance": ("ana", "bob", "eve")})


async def waiting(world: World, *statuses: str) -> WorkflowHandle[Any, Any]:
    handle = await world.start("t")
    await until(handle, *statuses)
    return handle


async def test_an_approved_call_happens_once_and_says_who_approved(world: World, shop: Shop) -> None:
    ask_for_pay(world, shop)
    async with world.worker():
        handle = await waiting(world, "AWAITING_APPROVAL")
        [request] = await requests_of(handle)
        assert (request["kind"], request["tool"], request["args"]) == (
            "approval",
            "pay",
            {"order_id": "1", "amount": 5},
        )
        assert shop.effects == []
        await handle.signal("approve", "ana")
        result = await outcome_of(handle)
    assert result["effects"][0]["approved_by"] == ["ana"]
    assert shop.done("pay") == 1
    assert activities_of(await events_of(handle)).count("pay") == 2


async def test_two_different_people_make_a_quorum_of_two(world: World, shop: Shop) -> None:
    ask_for_pay(world, shop, quorum=2)
    async with world.worker():
        handle = await waiting(world, "AWAITING_APPROVAL")
        await handle.signal("approve", "ana")
        await handle.signal("approve", "ana")
        view = await until(handle, "AWAITING_APPROVAL")
        assert "approved already" in view["last_not_accepted"]
        assert [one["given"] for one in await requests_of(handle)] == [["ana"]]
        await handle.signal("approve", "bob")
        result = await outcome_of(handle)
    assert result["effects"][0]["approved_by"] == ["ana", "bob"]
    assert shop.done("pay") == 1


async def test_a_rejection_ends_the_task(world: World, shop: Shop) -> None:
    ask_for_pay(world, shop)
    async with world.worker():
        handle = await waiting(world, "AWAITING_APPROVAL")
        await handle.signal("reject", {"by": "ana", "comment": "too much"})
        result = await outcome_of(handle)
    assert result["status"] == "REJECTED"
    assert "too much" in result["reason"]
    assert shop.effects == []


async def test_an_approval_that_only_the_requester_could_give_is_rejected_by_the_owner(
    world: World, shop: Shop
) -> None:
    people = {"finance": ("rita",), "lead": ("lea",)}
    world.agent("desk", shop.tools, [PAY], policy=Rules({"pay": asks("finance")}), people=people)
    async with world.worker():
        handle = await world.start("t", requested_by="rita")
        await until(handle, "AWAITING_APPROVAL")
        [request] = await requests_of(handle)
        assert (request["may_answer"], request["may_reject"]) == ([], ["lea"])
        await handle.signal("reject", "lea")
        result = await outcome_of(handle)
    assert (result["status"], shop.effects) == ("REJECTED", [])


async def test_a_rejection_with_an_instruction_is_one_more_round(world: World, shop: Shop) -> None:
    ask_for_pay(world, shop, PAY, plan(step("s1", "note", text="voucher"), answer="sent a voucher"))
    async with world.worker():
        handle = await waiting(world, "AWAITING_APPROVAL")
        await handle.signal("reject", {"by": "ana", "replan": "send a voucher"})
        result = await outcome_of(handle)
    assert (result["status"], result["answer"], result["rounds"]) == ("COMPLETED", "sent a voucher", 2)
    assert shop.effects == [("note", {"text": "voucher"})]


async def test_an_edit_is_sent_under_a_key_of_its_own(world: World, shop: Shop) -> None:
    ask_for_pay(world, shop)
    async with world.worker():
        handle = await waiting(world, "AWAITING_APPROVAL")
        await handle.signal("approve", {"by": "ana", "args": {"amount": 3}})
        result = await outcome_of(handle)
    assert shop.effects == [("pay", {"order_id": "1", "amount": 3})]
    assert list(shop.keys) == [effect_key("default", handle.id, 1, 2, "pay")]
    assert result["effects"][0]["approved_by"] == ["ana"]


async def test_an_edit_that_the_tool_refuses_comes_back_to_the_approver(world: World, shop: Shop) -> None:
    ask_for_pay(world, shop)
    async with world.worker():
        handle = await waiting(world, "AWAITING_APPROVAL")
        await handle.signal("approve", {"by": "ana", "args": {"amount": "much"}})
        view = await until(handle, "AWAITING_APPROVAL")
        while view["open_requests"] != ["q2"]:
            view = await until(handle, "AWAITING_APPROVAL")
        [request] = await requests_of(handle)
        assert "Your edit was refused" in request["note"]
        assert request["args"] == {"order_id": "1", "amount": 5}
        await handle.signal("approve", {"by": "ana", "request_id": "q2"})
        assert (await outcome_of(handle))["status"] == "COMPLETED"
    assert shop.effects == [("pay", {"order_id": "1", "amount": 5})]


async def test_other_steps_go_on_while_one_waits_for_approval(world: World, shop: Shop) -> None:
    both = plan(step("s1", "pay", order_id="1", amount=5), step("s2", "note", text="meanwhile"))
    ask_for_pay(world, shop, both)
    async with world.worker():
        handle = await world.start("t")
        while (view := await until(handle, "AWAITING_APPROVAL"))["steps_done"] == 0:
            pass
        assert view["steps_open"] == 1
        assert shop.effects == [("note", {"text": "meanwhile"})]
        await handle.signal("approve", "ana")
        assert (await outcome_of(handle))["status"] == "COMPLETED"


async def test_two_approvals_are_told_apart_by_their_request(world: World, shop: Shop) -> None:
    both = plan(step("s1", "pay", order_id="1", amount=5), step("s2", "pay", order_id="2", amount=6))
    ask_for_pay(world, shop, both)
    async with world.worker():
        handle = await world.start("t")
        while len((view := await until(handle, "AWAITING_APPROVAL"))["open_requests"]) < 2:
            pass
        await handle.signal("approve", "ana")
        view = await until(handle, "AWAITING_APPROVAL")
        assert "say which" in view["last_not_accepted"]
        for request in view["open_requests"]:
            await handle.signal("approve", {"by": "ana", "request_id": request})
        assert (await outcome_of(handle))["status"] == "COMPLETED"
    assert sorted(args["amount"] for _, args in shop.effects) == [5, 6]


async def test_a_question_is_answered_before_a_plan_is_made(world: World, shop: Shop) -> None:
    question: Json = {"ask": "Which order?"}
    world.agent("desk", shop.tools, [{"plan": question}, PAY])
    async with world.worker():
        handle = await waiting(world, "AWAITING_PERSON")
        [request] = await requests_of(handle)
        assert (request["kind"], request["reason"]) == ("question", "Which order?")
        await handle.signal("answer", {"by": "ana", "text": "Order 1"})
        assert (await outcome_of(handle))["status"] == "COMPLETED"
    orders = [event.activity_task_scheduled_event_attributes for event in await events_of(handle)]
    told = [one.input.payloads[0].data for one in orders if one.activity_type.name == "propose_plan"]
    assert b"Order 1" in told[1]


async def test_a_planner_that_cannot_plan_ends_at_the_owner_who_ends_the_task(world: World, shop: Shop) -> None:
    world.agent("desk", shop.tools, [{"text": "hm"}] * 2, limits=Limits(repairs=2))
    async with world.worker():
        handle = await waiting(world, "AWAITING_PERSON")
        [request] = await requests_of(handle)
        assert (request["kind"], request["choices"]) == ("stuck", ["retry", "skip", "replan", "end"])
        await handle.signal("answer", "end")
        result = await outcome_of(handle)
    assert result["status"] == "FAILED"
    assert shop.effects == []


async def test_the_owner_lets_a_stuck_task_try_again(world: World, shop: Shop) -> None:
    world.agent("desk", shop.tools, [{"text": "hm"}, {"text": "hm"}, PAY], limits=Limits(repairs=2))
    async with world.worker():
        handle = await waiting(world, "AWAITING_PERSON")
        await handle.signal("answer", {"choice": "replan", "text": "just pay"})
        assert (await outcome_of(handle))["status"] == "COMPLETED"


@pytest.mark.parametrize(
    ("choice", "sent", "status"),
    [("happened", 1, "COMPLETED"), ("did_not_happen", 2, "COMPLETED"), ("write_off", 1, "COMPLETED")],
)
async def test_a_lost_answer_waits_for_a_persons_word(
    world: World, shop: Shop, choice: str, sent: int, status: str
) -> None:
    shop.lost.add("mail")
    world.agent("desk", shop.tools, [MAIL, plan(answer="written off")])
    async with world.worker():
        handle = await waiting(world, "AWAITING_PERSON")
        [request] = await requests_of(handle)
        assert (request["kind"], request["tool"], request["expires_at"]) == ("outcome", "mail", None)
        assert request["args"] == {"to": "a", "body": "b"}
        assert shop.done("mail") == 1
        shop.lost.clear()
        await handle.signal("answer", {"choice": choice, "by": "lead", "evidence": "saw the mailbox"})
        result = await outcome_of(handle)
    assert (result["status"], shop.done("mail")) == (status, sent)
    outcome = result["effects"][0]["outcome"]
    assert outcome == ("unknown" if choice == "write_off" else "succeeded")


async def test_a_task_that_ends_waits_until_a_doubt_is_resolved(world: World, shop: Shop) -> None:
    shop.lost.add("mail")
    world.agent("desk", shop.tools, [MAIL])
    async with world.worker():
        handle = await waiting(world, "AWAITING_PERSON")
        await handle.cancel()
        view = await until(handle, "AWAITING_PERSON")
        assert view["waiting_for"] == ["lead"]
        await handle.signal("answer", {"choice": "happened", "by": "lead"})
        result = await outcome_of(handle)
    assert (result["status"], result["effects"][0]["outcome"]) == ("CANCELLED", "succeeded")
    assert shop.done("mail") == 1


async def test_an_approval_is_good_for_one_dispatch_only(world: World, shop: Shop) -> None:
    """A second, rightful equal call of a later round is asked for again."""
    shop.refuse.add("note")
    again = step("s1", "pay", order_id="1", amount=5)
    again["repeat_of"] = "r1.s1"
    ask_for_pay(world, shop, plan(*PAY["steps"], step("s2", "note", text="x", after=["s1"])), plan(again))
    async with world.worker():
        handle = await waiting(world, "AWAITING_APPROVAL")
        await handle.signal("approve", "ana")
        while (await until(handle, "AWAITING_APPROVAL"))["open_requests"] != ["q2"]:
            pass
        assert shop.done("pay") == 1
        await handle.signal("approve", {"by": "ana", "request_id": "q1"})
        assert "closed" in (await until(handle, "AWAITING_APPROVAL"))["last_not_accepted"]
        await handle.signal("approve", {"by": "bob", "request_id": "q2"})
        assert (await outcome_of(handle))["status"] == "COMPLETED"
    assert shop.done("pay") == 2
    assert max(shop.keys.values()) == 1
