"""Tool files: loaded by path, and what is said of broken ones."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError
from tools import Call, tool
from tools.registry import build_tools, load_tools

STARTER = Path(__file__).parents[2] / "starter.py"
ASK = """
from tools import Call, tool

@tool(effect="read")
def ask(call: Call) -> str:
    return "NAME"
"""


def loaded(folder: Path, *sources: str, agent: str = "desk", **files: str) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    for stem, text in files.items():
        (folder / f"{stem}.py").write_text(text)
    return dict(load_tools(agent, folder, sources or ("tools.py",)))


def problem(folder: Path, *sources: str, **files: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, *sources, **files)
    return str(caught.value).replace(f"{folder}/", "")


def test_tools_of_a_file_are_found(tmp_path: Path) -> None:
    found = loaded(tmp_path, tools=ASK)
    assert (list(found), found["ask"].contract.source) == (["ask"], "python")


def test_file_becomes_a_module_of_its_agent(tmp_path: Path) -> None:
    found = loaded(tmp_path, tools=ASK, agent="my-desk")
    assert found["ask"].declaration.function.__module__ == "lastmile_agents.my-desk.tools"


def test_agents_do_not_see_each_others_files(tmp_path: Path) -> None:
    one = loaded(tmp_path / "one", agent="one", tools=ASK.replace("NAME", "1"))
    two = loaded(tmp_path / "two", agent="two", tools=ASK.replace("NAME", "2"))
    assert [found["ask"].declaration(None) for found in (one, two, one)] == ["1", "2", "1"]


def test_file_is_read_afresh_with_the_files_beside_it(tmp_path: Path) -> None:
    reads = (
        "from tools import Call, tool\nfrom .words import WORD\n@tool\ndef ask(call: Call) -> str:\n    return WORD\n"
    )
    for folder in ("old", "new"):  # an agent that was moved: the same name, another folder
        found = loaded(tmp_path / folder, tools=reads, words=f"WORD = {folder!r}")
        assert found["ask"].declaration(None) == folder


def test_imported_tools_count_once(tmp_path: Path) -> None:
    both = "from .mail import ask\nalso = ask\n"
    assert list(loaded(tmp_path, "tools.py", "again.py", mail=ASK, tools=both, again=both)) == ["ask"]


def test_dotted_name_is_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "shop_tools_for_test", raising=False)
    assert list(loaded(tmp_path, "shop_tools_for_test", shop_tools_for_test=ASK)) == ["ask"]


def seen_from_elsewhere(home: Path, *, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Load the agent `desk` by the command line, in a process whose own path does not hold its configuration."""
    (home / "lastmile.toml").write_text('agents = ["agents"]\n')
    command = [sys.executable, str(STARTER), "tools", "desk", "--json", "--config", str(home / "lastmile.toml")]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def desk_with(home: Path, tools: str, **files: str) -> None:
    folder = home / "agents" / "desk"
    folder.mkdir(parents=True)
    (folder / "instructions.md").write_text("Ask.")
    (folder / "agent.toml").write_text(f'owner = "leads"\nmodels = ["scripted:x.json"]\ntools = [{tools!r}]\n')
    (folder / "x.json").write_text('{"replies": []}')
    package = home / "shop"
    package.mkdir()
    for stem, text in files.items():
        (package / f"{stem}.py").write_text(text)


def test_dotted_name_is_found_beside_lastmile_toml_wherever_the_process_starts(tmp_path: Path) -> None:
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (home := tmp_path / "home").mkdir()
    desk_with(home, "shop.asking", asking=f"from shop.words import WORD\n{ASK}", words="WORD = 1")
    ran = seen_from_elsewhere(home, cwd=elsewhere)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [tool["name"] for tool in json.loads(ran.stdout)] == ["ask"]


def test_module_beside_lastmile_toml_takes_the_place_of_none_of_ours(tmp_path: Path) -> None:
    desk_with(tmp_path, "shop.asking", asking=ASK)
    (tmp_path / "tools.py").write_text("raise SystemExit('not the product')")
    assert seen_from_elsewhere(tmp_path, cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def ask(:\n", "tools.py:1:9: this is not Python: invalid syntax"),
        (
            "x = 1\nimport nothing_of_this_name\n",
            "tools.py:2: importing it raised ModuleNotFoundError: No module named",
        ),
        ("def f():\n    raise KeyError('x')\n\nf()\n", "tools.py:2: importing it raised KeyError: 'x'"),
        ("import sys\nsys.exit(3)\n", "tools.py:2: importing it raised SystemExit: 3"),
        ("x = 1\n", "declares no tool; put @tool above its functions"),
        ("x = '\0'\n", "tools.py:"),
        ("from tools import tool\n@tool\ndef ask():\n    pass\n", "tools.py:2: tool `ask`: the first parameter"),
        (
            "from tools import Call, tool\n@tool(effect='probed')\ndef ask(call: Call): ...\n",
            'tools.py:2: tool `ask`: effect="probed" needs a probe',
        ),
        (
            "from tools import Call, tool\n@tool(fallback='other')\ndef ask(call: Call): ...\n",
            "tool `ask`: fallback='other' is no other tool of this agent; they are: ask",
        ),
    ],
)
def test_broken_file_is_named_with_line_and_cause(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in problem(tmp_path, tools=text)


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert problem(tmp_path, "tool.py").startswith("tool.py: there is no such file")


def test_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "names 'no.such_module', and there is no such module" in problem(tmp_path, "no.such_module")


def test_two_tools_of_one_name_are_refused(tmp_path: Path) -> None:
    assert "there is another tool of this name" in problem(tmp_path, "a.py", "b.py", a=ASK, b=ASK)


def test_fallback_takes_the_same_arguments() -> None:
    @tool(fallback="slow")
    def fast(call: Call, order_id: str, note: str = "") -> None: ...

    @tool
    def slow(call: Call, order_id: str, note: str = "", extra: int = 0) -> None: ...

    assert build_tools([fast, slow])["fast"].contract.fallback == "slow"


def test_fallback_with_other_arguments_is_refused() -> None:
    @tool(fallback="slow")
    def fast(call: Call, order_id: str, note: str = "") -> None: ...

    @tool
    def slow(call: Call, order_id: str, desk: str) -> None: ...

    with pytest.raises(ConfigError, match=r"takes other arguments \(desk, note\)"):
        build_tools([fast, slow])
