import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from cli.attributes import missing_attributes
from cli.developing import hint
from cli.devserver import dev_server
from cli.errors import Unreachable
from cli.worker_process import PROGRAM, running_worker
from config.settings import load
from demo.child import free_port
from tests.cli.conftest import PLAN, CommandLine, Shop, write_agent, write_config
from tests.tools.mcp.desk import Desk

ROOT = PROGRAM.parent
RETURNING = '''
from pydantic import BaseModel
from tools import Call, tool

class Line(BaseModel):
    what: str

class Order(BaseModel):
    id: str
    lines: list[Line]
    note: str | None = None

@tool(effect="read")
async def look_up(call: Call, what: str) -> Order:
    """Look an order up."""
    raise AssertionError

@tool(effect="read")
async def buy(call: Call, what: str, count: int) -> list[str]:
    """Buy."""
    raise AssertionError
'''


def run(*argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the checkout as people do."""
    command = [sys.executable, *argv]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environ}
    )


def test_tools_shows_the_contracts(cli: CommandLine) -> None:
    contracts = {one["name"]: one for one in cli("tools", "shop", "--json").json}
    assert contracts["buy"]["effect"] == "idempotent"
    assert contracts["buy"]["args_schema"]["required"] == ["what", "count"]
    assert "count: integer" in cli("tools", "shop").out


def test_tools_shows_what_each_tool_returns(nowhere: CommandLine) -> None:
    (nowhere.config.parent / "agents" / "shop" / "tools.py").write_text(RETURNING)
    shown = nowhere("tools", "shop").out
    returned = [line.split(None, 1)[1].strip() for line in shown.splitlines() if line.strip().startswith("returns")]
    assert returned == ["id: string, lines: array of Line, note?: string or null", "array of string"]


def test_tools_of_an_unknown_agent_are_refused(cli: CommandLine) -> None:
    ran = cli("tools", "shopp")
    assert ran.code == 2
    assert "did you mean 'shop'" in ran.err


def test_doctor_finds_all_well(cli: CommandLine) -> None:
    ran = cli("doctor", "--json")
    assert ran.code == 0
    assert {one["verdict"] for one in ran.json} == {"ok"}
    assert {"configuration", "agent shop", "ledger", "Temporal", "search attributes", "worker"} <= {
        one["check"] for one in ran.json
    }


def test_doctor_says_that_the_server_is_away_and_how_to_start_one(nowhere: CommandLine) -> None:
    ran = nowhere("doctor")
    assert ran.code == 3
    assert "connection refused" in ran.out
    assert "python starter.py dev" in ran.out


def test_doctor_names_broken_agents_and_roles_that_nobody_holds(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_agent(tmp_path / "agents" / "broken", {"plan": PLAN})
    (tmp_path / "agents" / "broken" / "agent.toml").write_text("owner = 3\n")
    write_agent(tmp_path / "agents" / "fine", {"plan": PLAN}, policy='[approvals]\nescalate_to = ["board"]\n')
    ran = CommandLine(write_config(tmp_path, shop.address), capsys)("doctor", "--json")
    assert ran.code == 1
    found = {(one["check"], one["verdict"]): one["found"] for one in ran.json}
    assert "agent.toml:1: owner" in found["agent broken", "wrong"]
    assert "'board' is named in agent.toml, and nobody holds it" in found["agent fine", "warning"]


BLIND = "[done]\nrequire = [\"effects.exists(e, e.tool == 'look_up')\"]\n"


def test_doctor_names_a_condition_that_looks_for_a_read_among_the_writes(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_agent(tmp_path / "agents" / "blind", {"plan": PLAN}, policy=BLIND)
    ran = CommandLine(write_config(tmp_path, shop.address), capsys)("doctor", "--json")
    assert ran.code == 0
    [found] = [one for one in ran.json if one["verdict"] == "warning"]
    assert (found["check"], "[done]" in found["mend"]) == ("agent blind", True)
    assert "look_up is a read, and `effects` holds writes only; look for it in `reads`" in found["found"]


def test_doctor_warns_where_nobody_holds_the_owners_role_though_people_are_listed(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_agent(tmp_path / "agents" / "fine", {"plan": PLAN})
    config = write_config(tmp_path, shop.address)
    config.write_text(config.read_text().replace('roles = ["lead"]', "roles = []"))
    ran = CommandLine(config, capsys)("doctor", "--json")
    (found,) = [one for one in ran.json if one["verdict"] == "warning" and "'lead'" in one["found"]]
    assert "nobody holds it; it owns the tasks, so anybody may answer for it" in found["found"]
    assert found["mend"] == 'in lastmile.toml: [people.NAME] roles = ["lead"]'


def test_doctor_names_a_missing_key(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    write_agent(tmp_path / "agents" / "fine", {"plan": PLAN}, policy="")
    file = tmp_path / "agents" / "fine" / "agent.toml"
    file.write_text(file.read_text().replace("scripted:script.json", "openai:some-model"))
    ran = CommandLine(write_config(tmp_path, shop.address), capsys)("doctor")
    assert ran.code == 1
    assert "set OPENAI_API_KEY" in ran.out


@pytest.mark.parametrize(
    ("script", "verdict", "found"),
    [
        ("{", "wrong", "script.json is not JSON"),
        (
            '{"replies": [{}]}',
            "wrong",
            'script.json is wrong: at replies/0: Value error, expected exactly one of "plan"',
        ),
        (None, "wrong", "there is no script"),
        (json.dumps({"replies": [{"plan": PLAN}]}).replace("look_up", "lookup"), "warning", "did you mean 'look_up'?"),
        ('{"replies": [{"plan": {"steps": [7, {"tool": "sell"}]}}]}', "warning", "known are: look_up, buy"),
    ],
)
def test_doctor_names_a_script_that_cannot_be_played(
    nowhere: CommandLine, script: str | None, verdict: str, found: str
) -> None:
    file = nowhere.config.parent / "agents" / "shop" / "script.json"
    file.unlink() if script is None else file.write_text(script)
    said = [one for one in nowhere("doctor", "--json").json if one["check"] == "agent shop"]
    assert [one["verdict"] for one in said if found in one["found"]] == [verdict]
    assert any("plans with scripted:" in one["found"] for one in said) is (verdict == "warning")


def test_doctor_names_a_folder_of_scripts_without_any(nowhere: CommandLine) -> None:
    file = nowhere.config.parent / "agents" / "shop" / "script.json"
    file.unlink()
    file.mkdir()
    said = [one["verdict"] for one in nowhere("doctor", "--json").json if "folder of scripts" in one["found"]]
    assert said == ["wrong"]


def test_doctor_names_a_ledger_that_cannot_be_written(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_agent(tmp_path / "agents" / "fine", {"plan": PLAN})
    config = write_config(tmp_path, shop.address)
    (tmp_path / "file").write_text("")
    config.write_text(config.read_text().replace("ledger.db", "file/ledger.db"))
    ran = CommandLine(config, capsys)("doctor")
    assert ran.code == 3
    assert "ledger" in ran.out


@pytest.mark.parametrize("verb", [("ls",), ("show", "any"), ("run", "shop", "buy tea"), ("doctor",)])
def test_namespace_that_the_server_does_not_have_is_named(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: tuple[str, ...]
) -> None:
    ran = CommandLine(_elsewhere(shop, tmp_path), capsys)(*verb)
    assert ran.code == 3
    assert "the Temporal server has no namespace 'elsewhere'" in ran.out + ran.err
    assert "temporal operator namespace create -n elsewhere" in ran.out + ran.err


def test_worker_for_a_namespace_that_is_not_there_says_so_and_exits_3(shop: Shop, tmp_path: Path) -> None:
    command = [sys.executable, str(PROGRAM), "--config", str(_elsewhere(shop, tmp_path))]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 3
    assert "error: the Temporal server has no namespace 'elsewhere'" in ran.stderr
    assert "Traceback" not in ran.stderr


def _elsewhere(shop: Shop, folder: Path) -> Path:
    write_agent(folder / "agents" / "shop", {"plan": PLAN})
    config = write_config(folder, shop.address)
    config.write_text(config.read_text().replace("[temporal]\n", '[temporal]\nnamespace = "elsewhere"\n'))
    return config


def test_every_verb_says_in_one_sentence_that_the_server_is_away(nowhere: CommandLine) -> None:
    verbs = [
        ("run", "shop", "buy tea"),
        ("ls",),
        ("show", "x"),
        ("watch", "x"),
        ("approve", "x"),
        ("reject", "x"),
        ("answer", "x", "end"),
        ("pause", "x"),
        ("resume", "x"),
        ("cancel", "x"),
        ("amend", "x", "--goal", "other"),
        ("history", "x"),
        ("replay", "x"),
        ("audit", "x"),
    ]
    for verb in verbs:
        ran = nowhere(*verb)
        assert ran.code == 3, (verb, ran)
        assert "no Temporal server answers at 127.0.0.1:1 (connection refused)" in ran.err
        assert len(ran.err.strip().splitlines()) == 1


def test_dev_names_a_command_that_works_in_another_terminal(
    nowhere: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LASTMILE_TEMPORAL__ADDRESS", raising=False)
    named = load(nowhere.config)
    plain = named.model_copy(update={"temporal": named.temporal.model_copy(update={"address": None})})
    begin = "python starter.py run shop 'what you want' --wait"
    assert hint(named, "127.0.0.1:1", None) == begin
    assert hint(named, "127.0.0.1:9000", None) == f"LASTMILE_TEMPORAL__ADDRESS=127.0.0.1:9000 {begin}"
    assert hint(plain, "127.0.0.1:7233", nowhere.config) == f"{begin} --config {nowhere.config}"
    assert hint(plain, "127.0.0.1:9000", None) == f"TEMPORAL_ADDRESS=127.0.0.1:9000 {begin}"
    empty = plain.model_copy(update={"agents": ()})
    assert hint(empty, "127.0.0.1:7233", None).startswith("python starter.py demo")


def test_help_of_dev_names_the_setting(nowhere: CommandLine) -> None:
    assert "[temporal]" in nowhere("dev", "--help").out


def test_taken_port_is_named_by_dev(nowhere: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = nowhere("dev", "--port", str(port))
    assert ran.code == 3
    assert f"port {port} of 127.0.0.1 cannot be used" in ran.err


def test_dev_refuses_to_stand_in_for_a_server_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = CommandLine(write_config(tmp_path, "temporal.example:7233"), capsys)("dev")
    assert ran.code == 2
    assert "looks for one at temporal.example:7233" in ran.err


async def test_server_of_dev_is_persistent_and_knows_our_search_attributes(tmp_path: Path) -> None:
    from temporalio.client import Client  # noqa: PLC0415

    async with dev_server(tmp_path, headless=True) as server:
        client = await Client.connect(server.address)
        assert await missing_attributes(client) == []
        await client.start_workflow("AgentTask", {}, id="kept", task_queue="none")
    async with dev_server(tmp_path, headless=True) as server:
        client = await Client.connect(server.address)
        assert (await client.get_workflow_handle("kept").describe()).id == "kept"
        with pytest.raises(Unreachable, match="cannot be used"):
            async with dev_server(tmp_path / "other", port=int(server.address.rpartition(":")[2]), headless=True):
                pass


def test_starter_ends_with_its_exit_code_and_no_traceback(tmp_path: Path) -> None:
    config = write_config(tmp_path, "127.0.0.1:1")
    ran = run("starter.py", "ls", LASTMILE_CONFIG=str(config))
    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr.startswith("error: no Temporal server answers")
    assert len(ran.stderr.splitlines()) == 1


def test_worker_without_a_server_says_so_and_exits_3(tmp_path: Path) -> None:
    ran = run("worker.py", "--config", str(write_config(tmp_path, "127.0.0.1:1")))
    assert ran.returncode == 3
    assert ran.stderr.splitlines()[-1].startswith("error: no Temporal server answers at 127.0.0.1:1")
    assert "Traceback" not in ran.stderr


def test_worker_with_a_bad_configuration_names_the_line(tmp_path: Path) -> None:
    bad = tmp_path / "lastmile.toml"
    bad.write_text("\n\nledger = 3\n")
    ran = run("worker.py", "--config", str(bad))
    assert ran.returncode == 2
    assert f"{bad}:3: ledger" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_worker_serves_beside_a_broken_agent_and_says_so_and_drains(shop: Shop, tmp_path: Path) -> None:
    write_agent(tmp_path / "agents" / "broken", {"plan": PLAN})
    (tmp_path / "agents" / "broken" / "agent.toml").write_text("owner = 3\n")
    write_agent(tmp_path / "agents" / "fine", {"plan": PLAN})
    write_agent(tmp_path / "agents" / "blind", {"plan": PLAN}, policy=BLIND)
    config = write_config(tmp_path, shop.address)
    config.write_text(config.read_text().replace('roles = ["lead"]', "roles = []"))
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        worker = subprocess.Popen([sys.executable, str(PROGRAM), "--config", str(config)], stderr=output)
    try:
        _wait_for(log, "worker.started")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
    finally:
        worker.kill()
    said = log.read_text()
    assert "agent.refused" in said
    assert "agent.toml:1: owner" in said
    assert "owner.missing" in said
    assert "Nobody holds the owner's role" in said
    assert "agent.doubted" in said
    assert "look for it in `reads`" in said
    assert "worker.draining" in said
    assert "worker.stopped" in said


def _wait_for(log: Path, word: str, seconds: float = 60) -> None:
    give_up_at = time.monotonic() + seconds
    while word not in log.read_text():
        assert time.monotonic() < give_up_at, log.read_text()
        time.sleep(0.05)


async def test_worker_registers_the_search_attributes_that_are_missing(tmp_path: Path) -> None:
    from temporalio.testing import WorkflowEnvironment  # noqa: PLC0415

    binary = str(Path(sys.executable).with_name("temporal"))
    environment = await WorkflowEnvironment.start_local(dev_server_existing_path=binary, dev_server_log_level="error")
    async with environment:
        client = environment.client
        assert len(await missing_attributes(client)) == 4
        write_agent(tmp_path / "agents" / "shop", {"plan": PLAN})
        config = write_config(tmp_path, client.service_client.config.target_host)
        environ = {"SHOP_BOOK": str(tmp_path / "book.txt")}
        async with running_worker(config, tmp_path / "worker.log", environ):
            assert await missing_attributes(client) == []
            wish = {"agent": "shop", "goal": "buy", "inputs": {"what": "tea", "count": 1}}
            handle = await client.start_workflow("AgentTask", wish, id="first", task_queue="lastmile")
            async with asyncio.timeout(30):
                assert (await handle.result())["status"] == "COMPLETED"
            failed = [event async for event in handle.fetch_history_events() if "TaskFailed" in str(event)]
            assert failed == []


async def test_workers_that_start_at_once_pin_a_server_once_and_say_so(shop: Shop, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    config = write_config(tmp_path, shop.address)
    config.write_text(config.read_text().replace("[temporal]", '[temporal]\ntask_queue = "of-its-own"'))
    logs = [tmp_path / "one.log", tmp_path / "two.log"]
    workers = [running_worker(config, log, os.environ) for log in logs]
    async with AsyncExitStack() as stack:
        await asyncio.gather(*(stack.enter_async_context(one) for one in workers))
    said = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    [pinned] = [line for line in said if line["event"] == "tools.pinned_unread"]
    assert (pinned["level"], pinned["agent"], pinned["server"]) == ("warning", "desk", "shop")
    assert (pinned["tools"], pinned["file"]) == (["pay", "find-payment", "say"], str(desk.folder / "tools.lock"))
    assert [line["agents"] for line in said if line["event"] == "worker.started"] == [["desk"], ["desk"]]


def test_dev_serves_until_it_is_told_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_agent(tmp_path / "agents" / "shop", {"plan": PLAN})
    port = free_port()
    config = write_config(tmp_path, f"127.0.0.1:{port}")
    log, environ = tmp_path / "dev.log", {**os.environ, "SHOP_BOOK": str(tmp_path / "book.txt")}
    with log.open("wb") as output:
        command = [
            sys.executable,
            str(ROOT / "starter.py"),
            "dev",
            "--config",
            str(config),
            "--ui-port",
            str(free_port()),
        ]
        dev = subprocess.Popen(command, stdout=output, stderr=output, env=environ)
    try:
        _wait_for(log, "worker.started")
        ran = CommandLine(config, capsys)("run", "shop", "buy", "--input", "what=tea", "--input", "count=1", "--wait")
        assert ran.code == 0
        dev.send_signal(signal.SIGINT)
        assert dev.wait(20) == 0
    finally:
        dev.kill()
    assert "its UI" in log.read_text()
    assert f"try: python starter.py run shop 'what you want' --wait --config {config}\n" in log.read_text()
    assert (tmp_path / "var" / "temporal.db").exists()
    socket.create_server(("127.0.0.1", port)).close()
