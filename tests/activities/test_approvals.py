"""Policy and people at the door: who may allow what, and for exactly which call."""

from typing import Any

import pytest

from core import names
from core.messages import ApprovalNeeded, OutcomeUnknown, Ruling, ToolRefused, ToolSucceeded, ToolUnavailable
from core.ports import Do, Verdict
from core.receipts import Approval, Evidence, RowState, Total
from tests.activities.bench import ALLOW, NOT_SENT, Bench

TOOL = "refund_unrepeatable"
ASK = Verdict(do=Do.ASK, rule="policy[1] refund", reason="it is a lot", approvers=("finance",))


@pytest.fixture
def asking(bench: Bench) -> Bench:
    bench.rules.verdicts = [ASK]
    return bench


async def needed(bench: Bench, **changes: Any) -> ApprovalNeeded:
    report = await bench.call(TOOL, **changes)
    assert isinstance(report, ApprovalNeeded)
    return report


def by(name: str, needed: ApprovalNeeded, request: str = "q1", **more: Any) -> Approval:
    return Approval(request_id=request, digest=needed.digest, by=name, **more)


async def test_approver_is_shown_everything_and_nothing_has_happened(asking: Bench) -> None:
    asking.provider.facts = {"paid_cents": 500}
    report = await asking.call("refund_checked", origin={"/order_id": "request"})
    assert isinstance(report, ApprovalNeeded)
    assert report.args == {"order_id": "1042", "amount": 5, "note": ""}
    assert report.origin == {"/order_id": "request", "/amount": "model", "/note": "model"}
    assert (report.facts, report.rule, report.reason) == ({"paid_cents": 500}, "policy[1] refund", "it is a lot")
    assert (report.approvers, report.may_answer, report.quorum) == (("finance",), ("ana", "ben"), 1)
    assert report.digest == names.approval_digest(
        asking.order("refund_checked").key,
        "refund_checked",
        report.args,
        asking.tools["refund_checked"].contract.digest,
    )
    assert (asking.provider.requests, await asking.ledger.rows("refund-RR-1042")) == (0, [])


async def test_hint_is_written_over_the_arguments(asking: Bench) -> None:
    asking.use_tools(approve_hint="refund {amount} on {order_id} {{sic}}")
    assert (await needed(asking)).hint == "refund 5 on 1042 {sic}"


async def test_approval_that_fits_lets_the_call_through(asking: Bench) -> None:
    asked = await needed(asking)
    report = await asking.call(TOOL, approvals=(by("ana", asked),))
    assert isinstance(report, ToolSucceeded)
    assert (report.approved_by, asking.provider.requests) == (("ana",), 1)


REJECTED: list[tuple[str, dict[str, Any], str]] = [
    # (by, more, part of the note)
    ("mallory", {}, "it takes finance"),
    ("rita", {}, "whoever asked for a task cannot approve it"),
    (" RITA ", {}, "whoever asked for a task cannot approve it"),
    ("", {}, "say who you are"),
    ("finance", {}, "it takes finance"),
]


@pytest.mark.parametrize(("name", "more", "note"), REJECTED)
async def test_approval_by_somebody_else_does_not_count(asking: Bench, name: str, more: Any, note: str) -> None:
    asked = await needed(asking)
    again = await needed(asking, approvals=(by(name, asked, **more),))
    assert note in again.note
    assert (again.given, asking.provider.requests) == ((), 0)


async def test_stale_approval_is_refused(asking: Bench) -> None:
    asked = await needed(asking)
    approvals = (by("ana", asked),)
    again = await needed(asking, args={"order_id": "1042", "amount": 500}, approvals=approvals)
    assert "something else" in again.note
    assert asking.provider.requests == 0


async def test_approval_of_another_revision_is_stale(asking: Bench) -> None:
    asked = await needed(asking)
    again = await needed(asking, revision=2, approvals=(by("ana", asked),))
    assert "something else" in again.note


async def test_requester_cannot_approve_even_with_the_role(asking: Bench) -> None:
    asking.rules.verdicts = [ASK.model_copy(update={"approvers": ("rita", "finance")})]
    asked = await needed(asking)
    assert asked.may_answer == ("ana", "ben")
    assert "cannot approve it" in (await needed(asking, approvals=(by("rita", asked),))).note


async def test_owner_may_reject_what_too_few_are_left_to_approve(asking: Bench) -> None:
    assert (await needed(asking)).may_reject == ()
    asking.rules.verdicts = [ASK.model_copy(update={"approvers": ("rita",)})]
    asked = await needed(asking)
    assert (asked.may_answer, asked.may_reject) == ((), ("cleo",))
    assert (await needed(asking, approvals=(by("cleo", asked),))).may_reject == ("cleo",), "but not approve it"


async def test_name_that_is_no_role_stands_for_itself(asking: Bench) -> None:
    asking.rules.verdicts = [ASK.model_copy(update={"approvers": ("dora",)})]
    asked = await needed(asking)
    assert asked.may_answer == ("dora",)
    assert isinstance(await asking.call(TOOL, approvals=(by("dora", asked),)), ToolSucceeded)


@pytest.mark.parametrize("name", ["", "anybody"])
async def test_where_no_approver_is_named_anybody_may(asking: Bench, name: str) -> None:
    asking.rules.verdicts = [ASK.model_copy(update={"approvers": ()})]
    asked = await needed(asking)
    assert isinstance(await asking.call(TOOL, approvals=(by(name, asked),)), ToolSucceeded)


async def test_unnamed_approval_does_not_count_towards_a_quorum(asking: Bench) -> None:
    asking.rules.verdicts = [ASK.model_copy(update={"approvers": (), "quorum": 2})]
    asked = await needed(asking)
    again = await needed(asking, approvals=(by("", asked), by("", asked, "q2")))
    assert "say who you are" in again.note


async def test_quorum_takes_distinct_people(asking: Bench) -> None:
    asking.rules.verdicts = [ASK.model_copy(update={"quorum": 2})]
    asked = await needed(asking)
    again = await needed(asking, approvals=(by("ana", asked), by("Ana", asked)))
    assert [approval.by for approval in again.given] == ["ana"]
    report = await asking.call(TOOL, approvals=(by("ana", asked), by("ben", asked)))
    assert isinstance(report, ToolSucceeded)
    assert report.approved_by == ("ana", "ben")


async def test_whoever_approved_of_what_policy_allows_by_itself_is_named(bench: Bench) -> None:
    order = bench.order(TOOL)
    args = bench.tools[TOOL].check(order.args)
    digest = names.approval_digest(order.key, TOOL, args, order.digest)
    given = [
        Approval(request_id=f"q{number}", digest=said, by=name)
        for number, (name, said) in enumerate([("ana", digest), ("rita", digest), ("", digest), ("ben", "0" * 16)])
    ]
    report = await bench.call(TOOL, order.model_copy(update={"approvals": tuple(given)}))
    assert isinstance(report, ToolSucceeded)
    assert report.approved_by == ("ana",), "not the requester, not nobody, and nobody who approved of something else"
    assert (await bench.row(order)).approved_by == ("ana",)


async def test_role_is_checked_again_when_the_call_is_made(asking: Bench) -> None:
    asked = await needed(asking)
    asking.agent.profile.people["finance"] = ("ben",)
    again = await needed(asking, approvals=(by("ana", asked),))
    assert "it takes finance" in again.note


async def test_stricter_rule_asks_again(asking: Bench) -> None:
    asked = await needed(asking)
    asking.rules.verdicts = [ASK.model_copy(update={"quorum": 2})]
    again = await needed(asking, approvals=(by("ana", asked),))
    assert (again.quorum, [approval.by for approval in again.given]) == (2, ["ana"])


async def test_deny_beats_an_approval(asking: Bench) -> None:
    asked = await needed(asking)
    asking.rules.verdicts = [Verdict(do=Do.DENY, rule="policy[0] refund", reason="not on Sundays")]
    report = await asking.call(TOOL, approvals=(by("ana", asked),))
    assert isinstance(report, ToolRefused)
    assert (report.code, asking.provider.requests) == ("denied", 0)
    assert "not on Sundays" in report.message
    assert "policy[0] refund" in report.message


async def test_unsigned_approval_does_not_count_where_signatures_are_wanted(asking: Bench) -> None:
    profile = asking.agent.profile.model_copy(update={"trust": "signed"})
    object.__setattr__(asking.agent, "profile", profile)
    asked = await needed(asking)
    assert "not signed" in (await needed(asking, approvals=(by("ana", asked),))).note
    assert isinstance(await asking.call(TOOL, approvals=(by("ana", asked, trust="signed"),)), ToolSucceeded)


async def test_approval_is_used_once(asking: Bench) -> None:
    """A reset applies old signals again; the request id is the same, the digest may be made to fit."""
    asked = await needed(asking)
    assert isinstance(await asking.call(TOOL, approvals=(by("ana", asked),)), ToolSucceeded)
    second = await needed(asking, intent=2, args={"order_id": "2000"})
    again = await needed(asking, intent=2, args={"order_id": "2000"}, approvals=(by("ana", second),))
    assert "q1" in again.note
    assert (again.given, asking.provider.requests) == ((), 1)
    report = await asking.call(TOOL, intent=2, args={"order_id": "2000"}, approvals=(by("ana", second, "q2"),))
    assert isinstance(report, ToolSucceeded)


async def test_approval_still_counts_after_a_send_that_did_not_happen(asking: Bench) -> None:
    asked = await needed(asking)
    asking.provider.script = [NOT_SENT, NOT_SENT]
    assert isinstance(await asking.call(TOOL, approvals=(by("ana", asked),)), ToolSucceeded)


async def test_read_may_be_asked_for_too(asking: Bench) -> None:
    asked = await asking.call("refund_read")
    assert isinstance(asked, ApprovalNeeded)
    assert isinstance(await asking.call("refund_read", approvals=(by("ana", asked),)), ToolSucceeded)


async def test_read_may_be_denied(bench: Bench) -> None:
    bench.rules.verdicts = [Verdict(do=Do.DENY, rule="policy[0] *")]
    assert isinstance(await bench.call("refund_read"), ToolRefused)
    assert bench.provider.requests == 0


async def test_large_arguments_are_shown_in_part_and_bound_whole(asking: Bench) -> None:
    args = {"order_id": "1042", "note": "x" * 400_000}
    asked = await needed(asking, args=args)
    assert len(asked.model_dump_json()) < 200_000
    assert "400000 characters" in asked.args["note"]
    other = {**args, "note": "x" * 399_999 + "y"}
    assert (await needed(asking, args=other)).digest != asked.digest


# ------------------------------------------------------------------------------------------------------------- totals


def allowed(amount: int, maximum: int = 100) -> list[Verdict]:
    total = Total(bucket="refunds:1042", amount=amount, maximum=maximum)
    return [ALLOW.model_copy(update={"total": total}), ASK]


async def test_sum_over_the_cap_falls_to_the_next_rule(bench: Bench) -> None:
    bench.rules.verdicts = allowed(60)
    assert isinstance(await bench.call(TOOL), ToolSucceeded)
    bench.rules.verdicts = allowed(41)
    assert isinstance(await bench.call(TOOL, intent=2, args={"order_id": "2"}), ApprovalNeeded)
    bench.rules.verdicts = allowed(40)
    assert isinstance(await bench.call(TOOL, intent=3, args={"order_id": "3"}), ToolSucceeded)


async def test_failed_call_gives_its_sum_back(bench: Bench) -> None:
    bench.provider.script = [NOT_SENT] * 3
    bench.rules.verdicts = allowed(60)
    assert isinstance(await bench.call(TOOL), ToolUnavailable)
    assert isinstance(await bench.call(TOOL, intent=2), ToolSucceeded)


async def test_sum_that_another_call_took_meanwhile_is_judged_again(bench: Bench) -> None:
    bench.rules.verdicts = allowed(60)
    other = bench.order(TOOL, intent=2, args={"order_id": "2"})

    async def overtake(bucket: str, besides: str) -> int:
        del bench.ledger.__dict__["spent"]
        assert isinstance(await bench.call(TOOL, other), ToolSucceeded)
        return 0  # what was read before the other one was marked

    bench.ledger.__dict__["spent"] = overtake
    assert isinstance(await bench.call(TOOL), ApprovalNeeded)
    assert bench.provider.requests == 1


# ----------------------------------------------------------------------------- a person says what became of an effect


async def in_doubt(bench: Bench, fate: str = "answer_lost") -> None:
    bench.provider.script = [fate]
    assert isinstance(await bench.call(TOOL), OutcomeUnknown)


def ruling(choice: Any, **more: Any) -> Ruling:
    return Ruling(choice=choice, request_id="q7", by="cleo", evidence="the provider's dashboard", **more)


async def test_question_shows_what_was_sent(bench: Bench) -> None:
    bench.provider.script = ["answer_lost"]
    report = await bench.call(TOOL)
    assert isinstance(report, OutcomeUnknown)
    assert report.args == {"order_id": "1042", "amount": 5, "note": ""}
    assert (report.step, bool(report.digest)) == ("r1.s1", True)


async def test_happened_is_a_success_on_a_persons_word(bench: Bench) -> None:
    await in_doubt(bench)
    report = await bench.call(TOOL, ruling=ruling("happened", result={"id": "re_9"}))
    assert isinstance(report, ToolSucceeded)
    assert (report.result, bench.provider.requests) == ({"id": "re_9"}, 1)
    row = await bench.row(bench.order(TOOL))
    assert (row.evidence, "cleo" in row.message) == (Evidence.PERSON, True)


async def test_did_not_happen_sends_again_without_asking_again(bench: Bench) -> None:
    await in_doubt(bench, "lost")
    bench.rules.verdicts = [ASK]
    report = await bench.call(TOOL, ruling=ruling("did_not_happen"))
    assert isinstance(report, ToolSucceeded)
    assert (len(bench.provider.applied), bench.provider.requests) == (1, 2)
    assert "outcome.ruled" in await bench.events()


async def test_write_off_is_unknown_for_good_and_blocks_a_similar_call(bench: Bench) -> None:
    await in_doubt(bench)
    for _ in range(2):
        report = await bench.call(TOOL, ruling=ruling("write_off"))
        assert isinstance(report, ToolRefused)
        assert (report.code, report.outcome) == ("written_off", "unknown")
    similar = await bench.call(TOOL, intent=2)
    assert isinstance(similar, ToolRefused)
    assert similar.code == "in_the_way"
    assert isinstance(await bench.call(TOOL, intent=2, repeat_of="r1.s1"), ToolSucceeded)


async def test_ruling_about_one_send_does_not_free_the_next(bench: Bench) -> None:
    """The second send is in doubt as well; the attempt that is made again still carries the old word."""
    await in_doubt(bench, "lost")
    bench.provider.script = ["crash_applied"]
    await bench.crash(TOOL, ruling=ruling("did_not_happen"))
    assert isinstance(await bench.call(TOOL, ruling=ruling("did_not_happen")), OutcomeUnknown)
    assert isinstance(await bench.call(TOOL, ruling=ruling("did_not_happen")), OutcomeUnknown)
    assert (len(bench.provider.applied), bench.provider.requests) == (1, 2)


async def test_ruling_is_taken_again_when_it_was_written_down_but_not_acted_upon(bench: Bench) -> None:
    await in_doubt(bench, "lost")
    bench.ledger.faults["move"] = ["crash"]
    await bench.crash(TOOL, ruling=ruling("did_not_happen"))
    assert isinstance(await bench.call(TOOL, ruling=ruling("did_not_happen")), ToolSucceeded)
    assert bench.provider.requests == 2


async def test_ruling_on_a_task_that_is_ending_sends_nothing(bench: Bench) -> None:
    await in_doubt(bench, "lost")
    report = await bench.call(TOOL, ruling=ruling("did_not_happen"), settle_only=True)
    assert isinstance(report, ToolUnavailable)
    assert bench.provider.requests == 1
    assert (await bench.row(bench.order(TOOL))).state is RowState.CANCELLED


async def test_doubt_without_a_ruling_stays_a_question(bench: Bench) -> None:
    await in_doubt(bench)
    assert isinstance(await bench.call(TOOL), OutcomeUnknown)
    assert bench.provider.requests == 1
