"""Agent folders: what is built of them, and what is said of broken ones."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.agent_file import AgentFile, LadderTable, LimitsTable
from config.agents import AgentFolders, load_agents
from config.routes import RoutesTable
from config.settings import Settings
from core.errors import CallerError, ConfigError
from core.ports import Agent, Agents, Case, Do
from core.profile import EndStatus, Ladder, Limits, Model
from core.spending import DayBudget
from policy.rules import Rule, TotalRule
from tests.config.documents import documents

TOOLS = '''
from tools import Call, tool

@tool(effect="read")
async def get_order(call: Call, order_id: str) -> dict:
    """Look an order up."""
    return {"order_id": order_id}

@tool
def issue_refund(call: Call, order_id: str, amount_cents: int) -> None:
    """Refund a paid order."""

@issue_refund.undo
def _(call, args, result) -> None: ...
'''
PRICED = """
from tools import Call, tool
from .prices import price

@tool(effect="read")
def ask(call: Call) -> int:
    return price()
"""
LEAST = 'owner = "support-leads"\nmodels = ["openai:x"]\n'
EXAMPLE = """
owner = "support-leads"
instructions = "instructions.md"
tools = ["tools.py"]
models = ["anthropic:NAME", "openai:NAME", "scripted:script.json"]

[limits]
rounds = 3
cost_usd = 0.5
wall_time = "2d12h"

[approvals]
remind_after = "30m"
escalate_to = ["directors", "eve"]

[[policy]]
tool = "issue_refund"
when = "args.amount_cents <= 10000"
do = "allow"
approvers = ["finance"]
total = {of = "args.amount_cents", by = "args.order_id", per = "task", max = 10000}

[[policy]]
tool = "issue_refund.undo"
do = "ask"
approvers = ["finance", "ana", "nobody"]
quorum = 2

[done]
require = ["effects.exists(e, e.tool == 'issue_refund')"]

[undo]
on = ["failed", "cancelled"]
"""
PEOPLE = {"ana": {"roles": ["finance"]}, "bob": {"roles": ["finance", "directors"]}, "eve": {}}
PRICES = {"openai:NAME": {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 4.0}}


def agent_folder(root: Path, name: str = "desk", toml: str = LEAST, **files: str) -> Path:
    folder = root / "agents" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "agent.toml").write_text(toml)
    contents = {"instructions_md": "Be kind.", "tools_py": TOOLS, "script_json": "{}", **files}
    for file, text in contents.items():
        (folder / ".".join(file.rsplit("_", 1))).write_text(text)
    return folder


def load(root: Path) -> AgentFolders:
    return load_agents(
        Settings.model_validate({"folder": root, "agents": [root / "agents"], "people": PEOPLE, "models": PRICES})
    )


def agent(root: Path, toml: str, **files: str) -> Agent:
    agent_folder(root, toml=toml, **files)
    return load(root).get("desk")


def problem(root: Path, toml: str, **files: str) -> str:
    agent_folder(root, toml=toml, **files)
    [(name, text)] = load(root).problems()
    assert name == "desk"
    return text.replace(f"{root}/agents/desk/", "")


def test_documented_example_is_loaded(tmp_path: Path) -> None:
    found = agent(tmp_path, EXAMPLE)
    assert (found.name, found.instructions) == ("desk", "Be kind.")
    assert list(found.tools) == ["get_order", "issue_refund", "issue_refund.undo"]
    profile = found.profile
    assert (profile.agent, profile.owner, profile.trust) == ("desk", "support-leads", "open")
    assert profile.limits == Limits(rounds=3, cost_usd=0.5, wall_time=timedelta(days=2, hours=12))
    assert profile.ladder == Ladder(remind_after=timedelta(minutes=30), escalate_to=("directors", "eve"))
    assert profile.undo_on == (EndStatus.FAILED, EndStatus.CANCELLED)
    assert profile.prompt_tokens > 0


def test_route_carries_prices_and_the_place_of_scripts(tmp_path: Path) -> None:
    assert agent(tmp_path, EXAMPLE).profile.route == (
        Model(name="anthropic:NAME", provider="anthropic"),
        Model(name="openai:NAME", input_usd_per_mtok=1.0, output_usd_per_mtok=4.0, provider="openai"),
        Model(name=f"scripted:{tmp_path}/agents/desk/script.json"),
    )


def test_everybody_who_may_have_to_answer_is_resolved(tmp_path: Path) -> None:
    assert agent(tmp_path, EXAMPLE).profile.people == {
        "support-leads": (),
        "directors": ("bob",),
        "eve": ("eve",),
        "finance": ("ana", "bob"),
        "ana": ("ana",),
        "nobody": (),
    }


def test_rules_and_conditions_of_the_file_are_those_of_the_agent(tmp_path: Path) -> None:
    found = agent(tmp_path, EXAMPLE)
    args = {"amount_cents": 5, "order_id": "1"}
    case = Case(tool="issue_refund", writes=True, args=args, inputs={}, task={"id": "t"}, facts={}, origin={})
    assert [verdict.do for verdict in found.policy.judge(case)] == [Do.ALLOW, Do.ASK]
    assert len(found.done.unmet([], [], {}, {})) == 1


def test_what_is_left_out_has_defaults(tmp_path: Path) -> None:
    found = agent(tmp_path, LEAST)
    assert (found.profile.limits, found.profile.ladder, found.profile.undo_on) == (Limits(), Ladder(), ())
    assert (found.instructions, len(found.tools)) == ("Be kind.", 3)


def test_agent_without_tools_is_fine(tmp_path: Path) -> None:
    assert agent(tmp_path, f"{LEAST}tools = []").tools == {}


def test_broken_agent_stops_no_other(tmp_path: Path) -> None:
    agent_folder(tmp_path, "broken", "owner = ")
    agent_folder(tmp_path, "sound")
    (tmp_path / "agents" / "__pycache__").mkdir()
    agents: Agents = (found := load(tmp_path))
    assert agents.names() == ["sound"]
    assert agents.get("sound").name == "sound"
    assert [name for name, _ in found.problems()] == ["broken"]
    with pytest.raises(ConfigError, match=r"agent.toml:1:9: is not TOML"):
        agents.get("broken")


def test_unknown_agent_is_answered_with_those_that_exist(tmp_path: Path) -> None:
    agent_folder(tmp_path, "support_desk")
    agents = load(tmp_path)
    with pytest.raises(CallerError, match="did you mean 'support_desk'"):
        agents.get("suport_desk")
    with pytest.raises(CallerError, match="known are: support_desk"):
        agents.get("x")


def test_two_agents_may_use_the_same_files_and_tool_names(tmp_path: Path) -> None:
    first, second = "def price():\n    return 1\n", "def price():\n    return 2\n"
    agent_folder(tmp_path, "one", tools_py=PRICED, prices_py=first)
    agent_folder(tmp_path, "two", tools_py=PRICED, prices_py=second)
    agents = load(tmp_path)
    assert agents.names() == ["one", "two"]
    functions = [agents.get(name).tools["ask"] for name in agents.names()]
    assert [getattr(tool, "declaration")(None) for tool in functions] == [1, 2]  # noqa: B009 - the port has none


def test_two_folders_of_one_name_are_both_refused(tmp_path: Path) -> None:
    agent_folder(tmp_path / "a")
    agent_folder(tmp_path / "b")
    roots = [tmp_path / "a" / "agents", tmp_path / "b" / "agents"]
    agents = load_agents(Settings.model_validate({"folder": tmp_path, "agents": roots}))
    assert agents.names() == []
    assert "two agents of this name" in dict(agents.problems())["desk"]


def test_missing_folder_of_agents_is_named(tmp_path: Path) -> None:
    [(name, text)] = load(tmp_path).problems()
    assert name == f"{tmp_path}/agents"
    assert "No such file or directory" in text


def test_folder_whose_name_is_no_name_is_refused(tmp_path: Path) -> None:
    agent_folder(tmp_path, "my desk")
    [(name, text)] = load(tmp_path).problems()
    assert name == "my desk"
    assert "rename it" in text


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ("", "agent.toml: owner: is required and missing"),
        ('owner = ""\nmodels = ["openai:x"]', "agent.toml:1: owner: expected some text"),
        ('owner = "x"\nmodels = []', "agent.toml:2: models: expected at least one"),
        ('owner = "x"\nmodels = ["gpt"]', 'agent.toml:2: models[1]: expected "openai:NAME"'),
        ('owner = "x"\nmodels = ["scripted:nope"]', "agent.toml:2: models[1]: there is no script"),
        (f"ownr = 'x'\n{LEAST}", "agent.toml:1: ownr: unknown key; did you mean 'owner'?"),
        (f"{LEAST}[limits]\nround = 3", "agent.toml:4: limits.round: unknown key; did you mean 'rounds'?"),
        (f"{LEAST}[limits]\nrounds = 0", "agent.toml:4: limits.rounds: expected greater than 0, found 0"),
        (f"{LEAST}[limits]\nwall_time = 'long'", "agent.toml:4: limits.wall_time: expected a duration such as"),
        (f"{LEAST}[limits]\nrounds = 'x'", "agent.toml:4: limits.rounds: expected a valid integer"),
        (f"{LEAST}[undo]\non = ['never']", "agent.toml:4: undo.on[1]: expected 'failed', 'rejected'"),
        (f"{LEAST}instructions = 'nope.md'", "agent.toml:3: instructions: "),
        (f"{LEAST}tools = ['nope.py']", "nope.py: there is no such file"),
        (f"{LEAST}tools = ['no.such.module']", "there is no such module"),
        (f"{LEAST}[[openapi]]\nname = 'x'", "agent.toml:3: openapi[1].spec: is required and missing"),
        (
            f"{LEAST}[[policy]]\ntool = '*'\ndo = 'ask'\n[[policy]]\ntool = 'isue_refund'\ndo = 'deny'",
            "agent.toml:7: policy[2].tool: there is no tool 'isue_refund'; did you mean 'issue_refund'?",
        ),
        (f"{LEAST}[[policy]]\ntool = 'get_order.undo'\ndo = 'ask'", "there is no tool 'get_order.undo'"),
        (
            f"{LEAST}[[policy]]\ntool = '*'\ndo = 'perhaps'",
            "agent.toml:5: policy[1].do: expected 'allow', 'ask' or 'deny'",
        ),
        (
            f"{LEAST}[[policy]]\ntool = '*'\ndo = 'ask'\nquorums = 2",
            "policy[1].quorums: unknown key; did you mean 'quorum'?",
        ),
        (
            f"{LEAST}[[policy]]\ntool = '*'\ndo = 'ask'\napprovers = ['finance', 'ana']\nquorum = 3",
            "agent.toml:7: policy[1].quorum: 3 people have to approve, and only 2 may: ana, bob",
        ),
        (
            f"{LEAST}[[policy]]\ntool = '*'\ndo = 'allow'\nwhen = 'arg.x < 1'",
            "agent.toml:6: policy[1].when: `arg.x < 1` at line 1, column 4: undeclared reference to 'arg.x'",
        ),
        (
            f"{LEAST}[[policy]]\ntool = '*'\ndo = 'allow'\n[policy.total]\nof = '('\nmax = 1",
            "agent.toml:7: policy[1].total.of: `(` at line 1, column 2: Syntax error",
        ),
        (f"{LEAST}[done]\nrequire = ['true', 'args.x']", "agent.toml:4: done.require[2]: `args.x` at line 1"),
    ],
)
def test_fault_is_named_with_file_line_key_and_expectation(tmp_path: Path, toml: str, expected: str) -> None:
    assert expected in problem(tmp_path, toml)


def test_faults_of_all_parts_are_named_at_once(tmp_path: Path) -> None:
    toml = f"{LEAST}instructions = 'nope.md'\n[[policy]]\ntool='*'\ndo='ask'\nwhen='('\n[done]\nrequire = [')']"
    lines = problem(tmp_path, toml, tools_py="def (").splitlines()
    assert [line.partition(":")[0] for line in lines] == ["tools.py", "agent.toml", "agent.toml", "agent.toml"]


KEYS = (
    *AgentFile.model_fields, *LimitsTable.model_fields, *LadderTable.model_fields, *Rule.model_fields,
    *TotalRule.model_fields, *RoutesTable.model_fields, *DayBudget.model_fields, "require", "on",
)  # fmt: skip


@given(text=documents(KEYS).map(lambda text: f"{LEAST}{text}") | documents(KEYS))
def test_any_toml_gives_an_agent_or_an_error_that_names_the_file(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    read(tmp_path_factory.getbasetemp(), text.encode())


@given(body=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_give_an_agent_or_an_error_that_names_the_file(
    body: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    read(tmp_path_factory.getbasetemp(), body)


def read(root: Path, body: bytes) -> None:
    folder = agent_folder(root)
    (folder / "agent.toml").write_bytes(body)
    agents = load(root)
    if agents.problems():
        [(name, text)] = agents.problems()
        assert name == "desk"
        assert str(folder) in text
    else:
        assert agents.get("desk").name == "desk"


def test_agent_that_undoes_allows_its_undos_unless_a_rule_is_about_them(tmp_path: Path) -> None:
    undo = Case(tool="issue_refund.undo", writes=True, args={}, inputs={}, task={}, facts={}, origin={})
    assert agent(tmp_path, f'{LEAST}[undo]\non = ["failed"]').policy.judge(undo)[-1].do is Do.ALLOW
    assert agent(tmp_path, LEAST).policy.judge(undo)[-1].do is Do.ASK
    assert agent(tmp_path, EXAMPLE).policy.judge(undo)[-1].approvers == ("finance", "ana", "nobody")


def test_prompt_is_not_reckoned_larger_for_undos_that_no_planner_sees(tmp_path: Path) -> None:
    without = TOOLS.partition("@issue_refund.undo")[0]
    sizes = [agent(tmp_path, LEAST, tools_py=text).profile.prompt_tokens for text in (TOOLS, without)]
    assert sizes[0] == sizes[1] > 0


def test_new_tasks_read_again_what_has_grown_old(tmp_path: Path) -> None:
    assert agent(tmp_path, LEAST).profile.rereads
