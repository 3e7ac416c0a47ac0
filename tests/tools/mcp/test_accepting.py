"""starter.py tools --accept and --compare, as people run them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import main
from tests.tools.mcp.desk import Desk
from tests.tools.mcp.shop import TOOLS

STARTER = Path(__file__).parents[3] / "starter.py"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    (tmp_path / "lastmile.toml").write_text('agents = ["agents"]\n')
    return desk


def run(desk: Desk, *argv: str) -> int:
    return main(["tools", "desk", *argv, "--config", str(desk.root / "lastmile.toml")])


def test_tools_of_which_nothing_is_pinned_are_pinned_and_shown(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(desk) == 0
    shown = capsys.readouterr().out.replace("\n", " ")
    assert "pinned at first use: pay, find-payment, say of shop, in " in shown
    assert "python starter.py tools desk" in shown
    assert "pay  keyed" in shown
    assert (desk.folder / "tools.lock").is_file()
    assert run(desk) == 0
    assert "pinned at first use" not in capsys.readouterr().out


def test_pinning_prints_nothing_but_the_result_for_programs(desk: Desk) -> None:
    config = str(desk.root / "lastmile.toml")
    command = [sys.executable, str(STARTER), "tools", "desk", "--json", "--config", config]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert {tool["name"] for tool in json.loads(ran.stdout)} == {"pay", "find_payment", "say"}
    assert ran.stderr == ""
    assert (desk.folder / "tools.lock").is_file()


def test_doctor_pins_nothing_and_says_who_will(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    [(verdict, found)] = doctor(desk, capsys)
    assert verdict == "warning"
    assert "is not pinned yet; the first worker pins it, unread" in found
    assert (desk.starts(), (desk.folder / "tools.lock").exists()) == ([], False)


def test_doctor_says_that_nobody_has_read_what_was_pinned(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    unread = ("warning", "tools of 'shop' were pinned in tools.lock at first use, and nobody has accepted them")
    assert run(desk) == 0
    assert unread in doctor(desk, capsys)
    assert run(desk, "--accept") == 0
    assert unread not in doctor(desk, capsys)


def doctor(desk: Desk, capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:
    """Return what doctor finds of the agent."""
    capsys.readouterr()
    main(["doctor", "--json", "--config", str(desk.root / "lastmile.toml")])
    found = json.loads(capsys.readouterr().out)
    return [(one["verdict"], one["found"]) for one in found if one["check"] == "agent desk"]


def test_server_that_cannot_be_pinned_is_explained(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    (desk.shop / "dies_at_start").touch()
    assert run(desk) == 2
    said = capsys.readouterr().err
    assert "no licence found" in said
    assert "starter.py tools desk --accept" in said


def test_tools_are_shown_once_they_were_accepted(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(desk, "--accept") == 0
    assert "3 new, 0 changed, 0 gone" in capsys.readouterr().out
    assert run(desk) == 0
    shown = capsys.readouterr().out
    assert "pay  keyed" in shown
    assert "readOnlyHint true (not believed)" in shown


def test_compare_shows_what_changed_and_accepts_nothing(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(desk, "--accept") == 0
    assert run(desk, "--compare") == 0
    lock = (desk.folder / "tools.lock").read_bytes()
    schema = json.loads(json.dumps(TOOLS[0]["inputSchema"]).replace("integer", "number"))
    desk.says([TOOLS[0] | {"description": "Pay\x1b[2J twice.", "inputSchema": schema}, TOOLS[1]])
    capsys.readouterr()
    assert run(desk, "--compare") == 1
    shown = capsys.readouterr().out
    assert "0 new, 1 changed, 1 gone" in shown
    lines = [line.replace(" ", "") for line in shown.splitlines()]
    for line in ('-"description":"Payanorder.",', '-"type":"integer"', '+"type":"number"'):
        assert line in lines
    assert any(line.startswith('+"description":"Pay') and line.endswith('twice.",') for line in lines)
    assert not any("reference" in line or "outputSchema" in line for line in lines)
    assert "\x1b[2J" not in shown
    assert run(desk, "--compare", "--json") == 1
    told = json.loads(capsys.readouterr().out)[0]
    assert told["gone"] == ["say"]
    change = told["changes"]["pay"]
    assert (change["was"]["description"], change["now"]["input_schema"]) == ("Pay an order.", schema)
    assert (desk.folder / "tools.lock").read_bytes() == lock


def test_nothing_but_the_result_is_printed_for_programs(desk: Desk) -> None:
    config = str(desk.root / "lastmile.toml")
    command = [sys.executable, str(STARTER), "tools", "desk", "--accept", "--json", "--config", config]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(ran.stdout)[0]["new"] == ["pay", "find-payment", "say"]
    assert ran.stderr == ""


def test_server_that_does_not_start_is_explained_with_its_last_words(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    (desk.shop / "dies_at_start").touch()
    assert run(desk, "--accept") == 3
    assert "no licence found" in capsys.readouterr().err
    assert not (desk.folder / "tools.lock").exists()


def test_agent_without_servers_has_nothing_to_accept(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    (desk.folder / "agent.toml").write_text('owner = "leads"\nmodels = ["openai:x"]\ntools = []\n')
    assert run(desk, "--accept") == 2
    assert "names no MCP server" in capsys.readouterr().err
