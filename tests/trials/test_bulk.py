"""What the trials in bulk send is certainly bad, comes from the seed alone, and would be noticed if it got through."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from core.contract import Contract
from tools.registry import load_tools
from trials.bulk.answers import CAP, EDGES, SIZES, plan_for
from trials.bulk.flood import wave
from trials.bulk.one_key import judge
from trials.bulk.planning import Tried, none, refusal_of, try_plan
from trials.bulk.plans import MUTATIONS, NO_PLANS, Bad, bad, good
from trials.bulk.scene import AGENTS
from trials.bulk.signals import KINDS, PEOPLE, bad_messages
from trials.counter import Counter as Applications
from trials.counter import Missed, Request, counting
from trials.recovery.__main__ import percentile, summary


@pytest.fixture(scope="module")
def catalogue() -> dict[str, Contract]:
    tools = load_tools("bulk", AGENTS / "bulk", ["tools.py"])
    return {name: tool.contract for name, tool in tools.items()}


def test_every_kind_of_bad_plan_is_refused_where_it_is_wrong(catalogue: dict[str, Contract]) -> None:
    tried = Tried()
    for one in bad(2 * (len(MUTATIONS) + len(NO_PLANS)), seed=3):
        try_plan(one, catalogue, tried)
    assert (tried.accepted, tried.raised, tried.misplaced, tried.silent) == ([], [], [], [])
    assert tried.plans == 2 * (len(MUTATIONS) + len(NO_PLANS))


def test_good_plans_are_not_refused(catalogue: dict[str, Contract]) -> None:
    dice = random.Random(4)
    assert [refusal_of(json.dumps(good(dice)), catalogue) for _ in range(50)] == [None] * 50


def test_a_bad_plan_that_is_accepted_is_noticed(catalogue: dict[str, Contract]) -> None:
    tried, fine = Tried(), json.dumps(good(random.Random(5)))
    try_plan(Bad("fine", fine), catalogue, tried)
    assert tried.accepted == ["fine"]


def test_a_refusal_that_names_another_place_is_noticed(catalogue: dict[str, Contract]) -> None:
    tried, plan = Tried(), good(random.Random(6))
    plan["steps"][0]["tool"] = "rm"
    try_plan(Bad("elsewhere", json.dumps(plan), "s0", "/args"), catalogue, tried)
    assert tried.misplaced == ["elsewhere"]


def test_the_same_seed_makes_the_same_plans_and_signals() -> None:
    assert list(bad(60, 7)) == list(bad(60, 7)) != list(bad(60, 8))
    assert list(wave(50, 7)) == list(wave(50, 7)) != list(wave(50, 8))
    assert [one.name for one in bad_messages(60, 7)] == [one.name for one in bad_messages(60, 7)]


def test_bad_messages_are_of_every_kind_and_both_forms() -> None:
    messages = list(bad_messages(10 * len(KINDS), 9))
    assert {one.is_update for one in messages} == {True, False}
    assert {"approve", "decide", "amend"} <= {one.name for one in messages}


def test_the_flood_holds_all_approvals_but_the_last_once() -> None:
    names = [payload["by"] for name, payload in wave(200, 1) if name == "approve" and payload["by"] in PEOPLE]
    assert sorted(names) == sorted(PEOPLE[:-1])


def test_results_of_every_size_on_both_sides_of_each_edge() -> None:
    assert {edge for edge in EDGES if edge + 1 in EDGES and edge + 2 in EDGES} == {16383, 262143, 2097151, CAP - 1}
    assert (min(SIZES), max(SIZES)) == (0, 64 * 1024 * 1024)
    assert [len(plan_for(size)["steps"]) for size in (CAP, CAP + 1)] == [3, 2]


RECEIPT = '{"kind":"ToolSucceeded","step":"r1.s1"}'


@pytest.mark.parametrize(
    ("told", "applications", "holds"),
    [
        ({RECEIPT: 10}, 1, True),
        ({RECEIPT: 10}, 2, False),
        ({RECEIPT: 10}, 0, False),
        ({RECEIPT: 9}, 1, False),
        ({RECEIPT: 9, "other": 1}, 1, False),
        ({'{"kind":"ToolUnavailable"}': 10}, 1, False),
        ({}, 1, False),
    ],
)
def test_one_key_means_one_application_and_one_receipt_for_all(
    told: dict[str, int], applications: int, holds: bool
) -> None:
    counter = Applications(requests=[Request(0.0, "note", "t", "k", 1)] * applications)
    assert judge("one key", Counter(told), 10, counter, "note").holds is holds


def test_nothing_tried_proves_nothing() -> None:
    assert none("x", [], 0).holds is False
    assert none("x", [], 1).holds is True
    assert none("x", ["it"], 1).holds is False


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert [percentile([4.0, 1.0, 3.0, 2.0], share) for share in (0.5, 0.99)] == [2.0, 4.0]
    assert percentile([float(one) for one in range(1, 201)], 0.99) == 198.0


def test_a_phase_beyond_its_bound_does_not_hold() -> None:
    assert summary("parked", [1.0] * 9 + [3.1]).holds is False
    assert summary("parked", [1.0] * 10).holds is True
    assert "p99 is the maximum" in summary("parked", [1.0]).note


async def test_a_counter_honours_keys_only_where_it_is_told_to() -> None:
    twice = [Request(0.0, what, "t", "k", 1) for what in ("pay", "pay", "mail", "mail")]
    counter = Applications(requests=twice, keyed=frozenset({"pay"}))
    assert (counter.applied("pay"), counter.applied("mail")) == (1, 2)


async def test_a_fact_that_does_not_come_true_is_named(tmp_path: Path) -> None:
    async with counting() as counter:
        with pytest.raises(Missed, match=r"request 1 of pay, t: not within 0\.01 s"):
            await counter.nth("pay", "t", 1, limit_s=0.01)
