"""The faults of the trial with llmock: each is one that llmock knows, and the good plan is one that may run."""

import json
import tomllib

import pytest
from llmock.scenarios import Match, behavior_from_dict

from core.checking import check_plan
from core.plan import Plan
from core.profile import Limits
from llm.wire import decode
from tools.registry import load_tools
from trials.world.llmock.faults import PLAN, Fault, faults
from trials.world.llmock.planning import AGENT
from trials.world.llmock.route import Api, Route


@pytest.mark.parametrize("fault", list(faults()), ids=lambda fault: fault.name)
def test_llmock_knows_every_fault(fault: Fault) -> None:
    script = [behavior_from_dict(one) for one in fault.script("first", "second")]
    assert len(script) == len(fault.behaviors) + 2
    hit = {one.match for one in script[: len(fault.behaviors)]}
    assert hit <= {Match() if fault.is_everywhere else Match(model="first")}


def test_names_of_faults_are_unique() -> None:
    names = [fault.name for fault in faults()]
    assert len(names) == len(set(names))


def test_the_good_plan_is_one_that_the_agent_may_carry_out() -> None:
    tools = load_tools("looker", AGENT, ["tools.py"])
    catalogue = {name: tool.contract for name, tool in tools.items()}
    assert isinstance(check_plan(decode(json.dumps(PLAN)), catalogue, {}, Limits()), Plan)


@pytest.mark.parametrize("api", Api)
def test_a_route_has_a_model_of_each_vendor_and_says_where_both_are(api: Api) -> None:
    route = Route(api)
    models = tomllib.loads(route.line())["models"]
    assert sorted(name.partition(":")[0] for name in models) == ["anthropic", "openai"]
    tables = tomllib.loads(route.tables("http://127.0.0.1:9"))["models"]
    assert sorted(tables) == sorted(models)
