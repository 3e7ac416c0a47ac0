"""Which models an agent asks, what they cost, and what may be spent: agent.toml and lastmile.toml together."""

from datetime import timedelta
from pathlib import Path

import pytest

from config.agent_folder import load_agent
from config.settings import load
from core.errors import ConfigError
from core.ports import Agent
from core.profile import Model
from core.spending import DayBudget
from worker import build_planners

TOOLS = '''
from tools import Call, tool

@tool(effect="read")
def look(call: Call) -> int:
    """Look."""
    return 1

@tool(effect="idempotent")
def pay(call: Call, amount: int) -> int:
    """Pay."""
    return amount
'''
TABLE = """
owner = "leads"
[models]
plan = ["openai:small", "scripted:script.json"]
replan = ["anthropic:middle"]
strong = "anthropic:big"
"""
ARRAY = 'owner = "leads"\nmodels = ["openai:small"]\n'
PRICED = '[models."openai:small"]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 2\n'


def agent(folder: Path, toml: str, settings: str = "") -> Agent:
    desk = folder / "agents" / "desk"
    desk.mkdir(parents=True, exist_ok=True)
    files = {"agent.toml": toml, "instructions.md": "Be kind.", "tools.py": TOOLS, "script.json": '{"replies": []}'}
    for name, text in files.items():
        (desk / name).write_text(text)
    (folder / "lastmile.toml").write_text(settings)
    return load_agent(desk, load(folder / "lastmile.toml"))


def fault(folder: Path, toml: str, settings: str = "") -> str:
    with pytest.raises(ConfigError) as raised:
        agent(folder, toml, settings)
    return str(raised.value).replace(f"{folder}/", "")


def named(models: tuple[Model, ...]) -> list[str]:
    return [one.name.rpartition("/")[2] for one in models]


def test_array_of_models_is_the_route_of_every_purpose(tmp_path: Path) -> None:
    profile = agent(tmp_path, ARRAY).profile
    assert (named(profile.route), profile.routes, profile.strong, profile.routed) == (["openai:small"], {}, "", True)


def test_table_of_models_has_a_route_per_purpose_and_the_strong_one_in_each(tmp_path: Path) -> None:
    profile = agent(tmp_path, TABLE).profile
    assert named(profile.route) == ["openai:small", "script.json", "anthropic:big"]
    assert {purpose: named(models) for purpose, models in profile.routes.items()} == {
        "replan": ["anthropic:middle", "anthropic:big"]
    }
    assert profile.strong == "anthropic:big"


def test_strong_one_keeps_its_place_where_a_route_names_it(tmp_path: Path) -> None:
    toml = TABLE.replace('replan = ["anthropic:middle"]', 'replan = ["anthropic:big", "openai:small"]')
    assert named(agent(tmp_path, toml).profile.routes["replan"]) == ["anthropic:big", "openai:small"]


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('owner = "l"\nmodels = []', "agents/desk/agent.toml:2: models: expected at least one"),
        ('owner = "l"\nmodels = ["gpt"]', 'agents/desk/agent.toml:2: models[1]: expected "openai:NAME"'),
        ('owner = "l"\nmodels = 5', "agent.toml:2: models: expected an array of models, or a table with plan, replan"),
        ('owner = "l"\n[models]\nreplan = ["openai:x"]', "agent.toml:2: models.plan: is required and missing"),
        ('owner = "l"\n[models]\nplan = ["openai:x", "y"]', 'agent.toml:3: models.plan[2]: expected "openai:NAME"'),
        ('owner = "l"\n[models]\nplans = ["openai:x"]', "models.plans: unknown key; did you mean 'plan'?"),
        ('owner = "l"\n[models]\nplan = ["openai:x"]\nstrong = ""', 'agent.toml:4: models.strong: expected "openai'),
        ('owner = "l"\n[models]\nplan = ["scripted:no.json"]', "agent.toml:3: models.plan[1]: there is no script"),
        (f"{ARRAY}[budgets]\ntokens_per_day = 0", "agent.toml:4: budgets.tokens_per_day: expected"),
        (f'{ARRAY}[[policy]]\ntool = "pay"\ndo = "ask"\nstakes = "low"', "policy[1].stakes: expected 'high'"),
    ],
)
def test_fault_names_place_and_expectation(tmp_path: Path, toml: str, said: str) -> None:
    assert said in fault(tmp_path, toml)


def test_tools_of_high_stakes_are_those_that_a_rule_names(tmp_path: Path) -> None:
    rules = '[[policy]]\ntool = "p*"\ndo = "ask"\nstakes = "high"\n[[policy]]\ntool = "look"\ndo = "allow"\n'
    assert agent(tmp_path, f"{ARRAY}{rules}").profile.high_stakes == ("pay",)


def test_model_carries_its_prices_its_provider_and_the_queue_of_that(tmp_path: Path) -> None:
    settings = (
        '[temporal]\ntask_queue = "tasks"\n[providers.openai]\ncalls_per_second = 5\n'
        '[models."openai:small"]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 2\n'
        "cached_input_usd_per_mtok = 0.1\ncache_write_usd_per_mtok = 1.25\n"
        '[models."anthropic:big"]\nbase_url = "http://127.0.0.1:9/"\n'
        '[models."anthropic:middle"]\nprovider = "near"\n'
    )
    profile = agent(tmp_path, TABLE, settings).profile
    assert profile.route[0] == Model(
        name="openai:small",
        input_usd_per_mtok=1,
        output_usd_per_mtok=2,
        cached_input_usd_per_mtok=0.1,
        cache_write_usd_per_mtok=1.25,
        provider="openai",
        queue="tasks-openai",
    )
    middle, big = profile.routes["replan"]
    assert [(one.provider, one.queue) for one in (big, middle)] == [("anthropic@127.0.0.1:9", ""), ("near", "")]
    assert profile.route[1].provider == "", "a script is no provider"


def test_model_carries_how_long_its_answer_may_be(tmp_path: Path) -> None:
    settings = '[models."openai:small"]\nmax_output_tokens = 512\n'
    assert [one.max_output_tokens for one in agent(tmp_path, TABLE, settings).profile.route[:2]] == [512, None]


def test_answer_too_short_for_any_plan_is_refused_where_it_stands(tmp_path: Path) -> None:
    said = fault(tmp_path, ARRAY, '[models."openai:small"]\nmax_output_tokens = 100\n')
    assert "max_output_tokens" in said
    assert "256" in said


def test_budget_of_the_agent_goes_over_that_of_each(tmp_path: Path) -> None:
    settings = f"[budgets]\ntokens_per_day = 1000\nusd_per_day = 5.0\n{PRICED}"
    assert agent(tmp_path, ARRAY, settings).budget == DayBudget(tokens_per_day=1000, usd_per_day=5.0)
    own = agent(tmp_path, f"{ARRAY}[budgets]\nusd_per_day = 1.0", settings).budget
    assert own == DayBudget(tokens_per_day=1000, usd_per_day=1.0)


def test_tenants_are_found_by_a_pointer_and_may_have_budgets_of_their_own(tmp_path: Path) -> None:
    settings = '[budgets.tenants]\npointer = "/customer/id"\ntokens_per_day = 9\n[budgets.tenants.of.acme]\n'
    tenants = agent(tmp_path, ARRAY, settings).tenants
    assert tenants.tenant({"customer": {"id": 42}}) == "42"
    assert tenants.tenant({"customer": {"id": True}}) == tenants.tenant({}) == ""
    assert tenants.budget("42") == DayBudget(tokens_per_day=9)
    assert tenants.budget("acme") == DayBudget()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("[budgets.tenants]\ntokens_per_day = 9", "budgets.tenants: expected pointer too"),
        ("[budgets.tenants]\npointer = 'tenant'", "budgets.tenants.pointer: expected a JSON pointer into the inputs"),
        ("[providers.'a b']", "providers.a b"),
        ("[providers.openai]\ncalls_per_second = 0", "providers.openai.calls_per_second: expected"),
        ("[models.'openai:small']\ntimeout = 'soon'", "models.openai:small.timeout"),
    ],
)
def test_fault_in_the_settings_names_place_and_expectation(tmp_path: Path, settings: str, said: str) -> None:
    assert said in fault(tmp_path, ARRAY, settings)


@pytest.mark.parametrize(
    "settings",
    ["[budgets]\nusd_per_day = 1", "[budgets.tenants]\npointer = '/t'\n[budgets.tenants.of.x]\nusd_per_day = 1"],
)
def test_budget_in_dollars_needs_the_prices_of_every_model(tmp_path: Path, settings: str) -> None:
    said = fault(tmp_path, ARRAY, settings)
    assert "agent.toml:2: models[1]: a budget in dollars cannot hold without the prices of openai:small" in said
    assert agent(tmp_path, ARRAY, f"{settings}\n{PRICED}").profile.route


def test_time_for_an_answer_is_set_per_model(tmp_path: Path) -> None:
    (tmp_path / "lastmile.toml").write_text('[models."openai:small"]\ntimeout = "7s"\nprompt_cache_key = true\n')
    planners = build_planners(load(tmp_path / "lastmile.toml"), {"OPENAI_API_KEY": "k"})
    access = planners._models["openai:small"]
    assert (access.timeout, access.prompt_cache_key) == (timedelta(seconds=7), True)
