"""`demo AGENT`: one command from nothing to the receipts of a task, on real services, run as people run it."""

import json
import shutil
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.trying import toml_of
from demo.child import free_port
from tests.cli.conftest import write_agent

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(300)  # each starts several servers and workers, one after the other


def demo(config: Path, agent: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "starter.py"), "demo", agent, "--config", str(config), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, stdin=subprocess.DEVNULL)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def config(tmp_path: Path, port: int) -> Path:
    """The two agents of a fresh checkout; only the port of the billing service is one that is free."""
    for agent in ("billing_desk", "meeting_rooms"):
        shutil.copytree(ROOT / "agents" / agent, tmp_path / "agents" / agent)
    for name in ("agent.toml", "example.toml"):
        file = tmp_path / "agents" / "billing_desk" / name
        text = file.read_text()
        assert "8310" in text
        file.write_text(text.replace("8310", str(port)))
    (tmp_path / "lastmile.toml").write_text("")
    return tmp_path / "lastmile.toml"


def receipts(ran: subprocess.CompletedProcess[str]) -> list[tuple[str, str]]:
    assert ran.returncode == 0, ran.stderr
    audit: dict[str, Any] = json.loads(ran.stdout)
    assert audit["status"] == "COMPLETED"
    return [(step["tool"], step["evidence"]) for step in audit["steps"] if step["evidence"]]


def test_agent_with_an_openapi_document_ends_with_receipts(config: Path) -> None:
    assert receipts(demo(config, "billing_desk", "--json")) == [("createRefund", "answer"), ("setNote", "answer")]


def test_agent_with_an_mcp_server_ends_with_receipts_each_time(config: Path) -> None:
    for _ in range(2):  # the second time nothing of the first one is in the way
        assert receipts(demo(config, "meeting_rooms", "--json")) == [("book_room", "answer"), ("invite", "answer")]


def test_receipts_stand_on_the_screen(config: Path) -> None:
    ran = demo(config, "billing_desk")
    assert "COMPLETED  Refund re_1 of 2000 cents was made on invoice INV-7." in ran.stdout
    assert "createRefund  succeeded by answer  keyed, " in ran.stdout, ran.stdout
    assert "setNote  succeeded by answer, confirmed  idempotent, " in ran.stdout, ran.stdout


def test_port_that_is_taken_is_named_and_nothing_is_sent_there(config: Path, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        ran = demo(config, "billing_desk")
    assert ran.returncode == 3
    assert f"something else answers at 127.0.0.1:{port}" in ran.stderr


def test_service_that_ends_is_told_with_what_it_said(config: Path) -> None:
    example = config.parent / "agents" / "billing_desk" / "example.toml"
    example.write_text(example.read_text().replace("demo.billing", "demo.no_such_service"))
    ran = demo(config, "billing_desk")
    assert ran.returncode == 3
    assert "No module named demo.no_such_service" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_agent_without_an_example_is_told_how_to_write_one(tmp_path: Path) -> None:
    write_agent(tmp_path / "agents" / "shop", {"plan": {"steps": []}})
    (tmp_path / "lastmile.toml").write_text("")
    ran = demo(tmp_path / "lastmile.toml", "shop")
    assert ran.returncode == 2
    assert "shop/example.toml: there is no such file; write one with goal" in ran.stderr


def test_fault_in_an_example_is_named_with_its_line(config: Path) -> None:
    example = config.parent / "agents" / "meeting_rooms" / "example.toml"
    example.write_text('goal = "x"\n\ninput = {}\n')
    ran = demo(config, "meeting_rooms")
    assert ran.returncode == 2
    assert "example.toml:3: input: unknown key; did you mean 'inputs'?" in ran.stderr


def without_policy(config: Path, agent: str, more: str = "") -> None:
    """Every write asks now."""
    folder = config.parent / "agents" / agent
    head, _, tail = (folder / "agent.toml").read_text().partition("[[policy]]")
    (folder / "agent.toml").write_text(head + tail[tail.index("[undo]") :])
    (folder / "example.toml").write_text(more + (folder / "example.toml").read_text())


def test_nothing_is_approved_where_nobody_is_there_to_be_asked(config: Path) -> None:
    without_policy(config, "meeting_rooms")
    ran = demo(config, "meeting_rooms")
    assert ran.returncode == 1
    assert "no terminal to ask at, and example.toml names no approver, so it is cancelled" in ran.stdout
    assert "book_room" in ran.stdout
    assert "succeeded by" not in ran.stdout


def test_approver_of_the_example_approves_where_nobody_is_there(config: Path) -> None:
    without_policy(config, "meeting_rooms", 'approver = "sam"\n')
    ran = demo(config, "meeting_rooms")
    assert ran.returncode == 0
    assert "approved as sam" in ran.stdout


def test_approver_who_may_not_answer_ends_the_example(config: Path) -> None:
    without_policy(config, "meeting_rooms", 'approver = "sam"\n')
    agent = config.parent / "agents" / "meeting_rooms" / "agent.toml"
    rule = '[[policy]]\ntool = "*"\ndo = "ask"\napprovers = ["ana"]\nreason = "ana says so"\n\n[undo]'
    agent.write_text(agent.read_text().replace("[undo]", rule))
    ran = demo(config, "meeting_rooms")
    assert ran.returncode == 1
    assert "sam may not answer request q1; ana may" in ran.stdout
    assert "approved as sam" not in ran.stdout


def test_example_that_is_ended_says_nothing_of_errors(config: Path) -> None:
    command = [sys.executable, str(ROOT / "starter.py"), "demo", "meeting_rooms", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        running.stdout.readline()  # it has begun
        running.terminate()
        _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert said == ""


PLAIN = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(st.dictionaries(st.text(), st.recursive(PLAIN, lambda one: st.lists(one) | st.dictionaries(st.text(), one))))
def test_what_is_carried_over_from_the_configuration_is_read_as_it_was(tables: dict[str, Any]) -> None:
    assert tomllib.loads(f"all = {toml_of(tables)}")["all"] == tables


def test_agent_that_is_not_there_is_named(config: Path) -> None:
    ran = demo(config, "billing_dsk")
    assert ran.returncode == 2
    assert "there is no agent 'billing_dsk'; did you mean 'billing_desk'?" in ran.stderr
