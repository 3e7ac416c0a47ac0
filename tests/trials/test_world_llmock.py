"""The trial with llmock: it tries every fault that llmock knows, its judge sees what is wrong, and it runs."""

import json
import tomllib
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from llmock import verdict
from llmock.scenarios import Match, behavior_from_dict

from core.checking import check_plan
from core.plan import Plan
from core.profile import Limits
from core.spending import CallState
from core.task import Status
from llm.wire import decode
from tools.registry import load_tools
from trials.results import Figure
from trials.world.llmock.attempts import Asked, Attempts, asked, compare, goal, unread
from trials.world.llmock.calm import AGENT, LINE, one_fault_each
from trials.world.llmock.cases import BEHIND, Case, cases
from trials.world.llmock.faults import DEFINITE, PASSING, PLAN, Fault, faults
from trials.world.llmock.judging import Seen, judge
from trials.world.llmock.mocking import Mock
from trials.world.llmock.route import Api, line

_BY_NAME = {fault.name: fault for fault in faults()}
_ONE, _OTHER = ("t-1", "m"), ("t-2", "m")


@pytest.mark.parametrize("fault", list(faults()), ids=lambda fault: fault.name)
def test_llmock_knows_every_fault(fault: Fault) -> None:
    case = Case(fault, Api.CHAT, is_backed=True)
    *script, well = (behavior_from_dict(one) for one in case.script())
    names = [model.name for model in case.route]
    assert {one.match for one in script} <= {Match(model=f"{case.id}.*" if fault.is_everywhere else names[0])}
    assert (well.match, well.times) == (Match(model=f"{case.id}.*"), None)


def test_every_status_that_llmock_judges_is_tried_and_sorted_as_llmock_sorts_it() -> None:
    assert {*PASSING, 429} >= verdict.RETRYABLE
    assert set(DEFINITE) >= verdict.NON_RETRYABLE


def test_each_case_has_a_name_models_and_providers_of_its_own() -> None:
    every = cases(is_full=True)
    assert len({case.id for case in every}) == len(every) == len(_BY_NAME) * len(Api) * 2
    providers = [model.provider for case in every for model in case.route if model.provider != BEHIND]
    assert len(set(providers)) == len(providers)


def test_sample_has_every_fault_alone_and_backed() -> None:
    tried = Counter((case.fault.name, case.is_backed) for case in cases(is_full=False))
    assert tried == Counter((name, backed) for name in _BY_NAME for backed in (True, False))


def test_the_good_plan_is_one_that_the_agent_may_carry_out() -> None:
    tools = load_tools("looker", AGENT, ["tools.py"])
    catalogue = {name: tool.contract for name, tool in tools.items()}
    assert isinstance(check_plan(decode(json.dumps(PLAN)), catalogue, {}, Limits()), Plan)


@pytest.mark.parametrize("api", Api)
def test_a_backed_route_has_a_model_of_each_vendor_and_says_where_both_are(api: Api) -> None:
    route = Case(_BY_NAME["none"], api, is_backed=True).route
    models = tomllib.loads(line(route))["models"]
    assert sorted(name.partition(":")[0] for name in models) == ["anthropic", "openai"]
    tables = tomllib.loads("\n".join(model.table("http://127.0.0.1:9") for model in route))["models"]
    assert list(tables) == models
    assert LINE in (AGENT / "agent.toml").read_text()


# ------------------------------------------------------------------------------------------------------ the judge


_ANSWERED, _OPEN = CallState.ANSWERED, CallState.OPEN


def _attempts(ends: dict[Asked, list[CallState]]) -> Attempts:
    found = Attempts()
    found.ends.update(ends)
    return found


def test_request_that_the_ledger_did_not_count_is_found_though_the_sums_are_equal() -> None:
    found = compare({_ONE: [1, 2]}, _attempts({_ONE: [_ANSWERED], _OTHER: [_ANSWERED]}))
    assert (found.uncounted, found.unseen) == (Counter([_ONE]), Counter([_OTHER]))


@pytest.mark.parametrize(("sent", "left_sent"), [({_ONE: [1]}, 0), ({_ONE: [1], _OTHER: [2]}, 1)])
def test_attempt_that_nobody_settled_may_have_been_sent_or_not(sent: dict[Asked, list[int]], left_sent: int) -> None:
    found = compare(sent, _attempts({_ONE: [_ANSWERED], _OTHER: [_OPEN]}))
    assert (found.uncounted.total(), found.unseen.total(), found.left_sent) == (0, 0, left_sent)


def test_request_is_of_the_task_whose_goal_it_holds() -> None:
    request: dict[str, Any] = {"model": "m", "body": {"input": goal("t-1")}, "seq": 3}
    assert asked([request, {"model": "m", "body": None, "seq": 4}]) == {_ONE: [3], ("(none)", "m"): [4]}


def test_answer_is_unread_only_where_it_is_certain_whose_it_was() -> None:
    ends = {_ONE: [_ANSWERED, _OPEN, _ANSWERED], _OTHER: [_OPEN, _ANSWERED]}
    assert unread({_ONE: [1, 4, 6], _OTHER: [2]}, _attempts(ends)) == {4}


class _Journal(Mock):
    """A llmock that got two requests of t-1, and finds fault with the second."""

    async def requests(self) -> list[dict[str, Any]]:
        return [{"model": "m", "body": {"input": goal("t-1")}, "stream": False, "path": "/", "seq": n} for n in (1, 2)]

    async def verdict(self) -> dict[str, Any]:
        found = {"severity": "error", "code": "retry_after_ignored", "requests": [1, 2]}
        return {"passed": False, "errors": 1, "warnings": 0, "faults_injected": 1, "findings": [found]}


async def _judged(what: str, ends: dict[Asked, list[CallState]], cut: int) -> Figure:
    seen = Seen(attempts=_attempts(ends), cut=cut)
    return next(one for one in await judge("x", _Journal("http://x"), seen) if what in one.name)


@pytest.mark.parametrize(
    ("ends", "cut", "holds"),
    [
        ({_ONE: [_ANSWERED, _ANSWERED]}, 0, True),
        ({_ONE: [_ANSWERED]}, 0, False),
        ({_ONE: [_ANSWERED] * 3}, 0, False),
        ({_ONE: [_OPEN, _ANSWERED]}, 0, False),
        ({_ONE: [_OPEN, _ANSWERED]}, 1, True),
        ({_ONE: [_OPEN, _OPEN]}, 1, False),
        ({_ONE: [_ANSWERED, _ANSWERED]}, 1, False),  # where no request was left by the killed worker, nothing is proven
    ],
)
async def test_only_what_a_killed_worker_left_may_stay_unsettled(
    ends: dict[Asked, list[CallState]], cut: int, *, holds: bool
) -> None:
    assert (await _judged("attempts in the ledger", ends, cut)).holds is holds


@pytest.mark.parametrize("first", [_ANSWERED, _OPEN])
async def test_error_in_the_verdict_counts_unless_a_killed_worker_got_the_answer(first: CallState) -> None:
    figure = await _judged("verdict", {_ONE: [first, _ANSWERED]}, cut=1)
    assert figure.holds is (first is _OPEN)
    assert ("1 errors not counted" in figure.note) is (first is _OPEN)


# --------------------------------------------------------------------------------------------------------- played


@pytest.mark.timeout(110)
async def test_some_faults_of_each_interface_pass_and_another_ending_than_the_right_one_is_seen() -> None:
    wrong = replace(_BY_NAME["none"], name="wrongly none", alone=Status.AWAITING_PERSON)
    chosen = [
        Case(_BY_NAME["429, wait 1.5 s"], Api.RESPONSES, is_backed=False),
        Case(_BY_NAME["too slow"], Api.CHAT, is_backed=True),
        Case(_BY_NAME["a passing 529"], Api.MESSAGES, is_backed=True),
        Case(_BY_NAME["a definite 401"], Api.MESSAGES, is_backed=False),
        Case(_BY_NAME["a tool call"], Api.RESPONSES, is_backed=False),
        Case(wrong, Api.CHAT, is_backed=False),
    ]
    ends, *others = await one_fault_each(chosen)
    assert [one.holds for one in others] == [True, True, True], others
    assert (ends.holds, ends.measured) == (False, "1 in 6")
    assert ends.note == f"{chosen[-1].id}: COMPLETED, not AWAITING_PERSON"
