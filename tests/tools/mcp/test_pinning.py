"""Pin at first use: once, for good, by whoever works; and what keeps it from happening."""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.running import require_agent
from config.agents import load_agents
from config.pinning import Pinned, pin_first_use
from core.errors import ConfigError
from tests.tools.mcp.desk import PAY, Desk, call
from tests.tools.mcp.shop import TOOLS
from tools.mcp.lock import pin_first, read_lock
from tools.mcp.pins import Pin

ROOT = Path(__file__).parents[3]
NAMES = ("pay", "find-payment", "say")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def pinned(desk: Desk) -> Pinned:
    return await pin_first_use(desk.settings, os.environ)


async def why_not(desk: Desk) -> str:
    """Try to pin as a worker does; return what it then says about the agent."""
    found = await pinned(desk)
    assert found.first == []
    [(_, text)] = load_agents(desk.settings, unpinned=found.failed).problems()
    return text


async def test_first_use_pins_what_the_server_says_and_the_agent_loads(desk: Desk) -> None:
    [first] = (await pinned(desk)).first
    assert (first.agent, first.server, first.tools) == ("desk", "shop", NAMES)
    assert first.file == desk.folder / "tools.lock"
    async with desk.tools() as tools:
        assert list(tools) == ["find_payment", "pay", "say"]
        await tools["pay"].send(call(), PAY)


async def test_what_is_pinned_is_not_asked_for_again(desk: Desk) -> None:
    await pinned(desk)
    kept, starts = (desk.folder / "tools.lock").read_bytes(), desk.starts()
    desk.says([TOOLS[0] | {"description": "Pay twice."}])
    assert await pinned(desk) == Pinned([], {})
    assert ((desk.folder / "tools.lock").read_bytes(), desk.starts()) == (kept, starts)


async def test_tool_that_changes_after_first_use_is_stopped_and_a_new_one_is_not_offered(desk: Desk) -> None:
    await pinned(desk)
    new = {"name": "wire", "inputSchema": {"type": "object"}}
    desk.says([*(one | {"description": "Changed."} if one["name"] == "pay" else one for one in TOOLS), new])
    await pinned(desk)
    async with desk.tools() as tools:
        assert "wire" not in tools
        with pytest.raises(Exception, match="says something else about it than was accepted"):
            await tools["pay"].send(call(), PAY)
        assert await tools["say"].send(call(), {}) == "hello"


async def test_server_that_is_added_later_is_pinned_beside_the_others(desk: Desk) -> None:
    await desk.accept()
    desk.write(f'[[mcp]]\nname = "annex"\n{desk.reached_by}\nprefix = "annex_"\n')
    assert [one.server for one in (await pinned(desk)).first] == ["annex"]
    lock = read_lock(desk.folder)
    assert (set(lock.servers), lock.unread) == ({"shop", "annex"}, frozenset({"annex"}))


async def test_accepting_marks_what_was_pinned_as_read(desk: Desk) -> None:
    await pinned(desk)
    assert read_lock(desk.folder).unread == {"shop"}
    await desk.accept()
    assert read_lock(desk.folder).unread == set()


def test_looking_pins_nothing_and_starts_nothing(desk: Desk) -> None:
    assert "agent.toml:6: mcp[1].name: what the server says about its tools is not pinned yet" in desk.problem
    assert "pins it, unread; read what it says and accept it: python starter.py tools desk" in desk.problem
    assert desk.load().waiting() == ["desk"]
    assert (desk.starts(), (desk.folder / "tools.lock").exists()) == ([], False)


def test_task_may_be_started_before_the_worker_that_pins(desk: Desk) -> None:
    require_agent(desk.settings, "desk")
    desk.write("pinned = true")
    with pytest.raises(ConfigError, match="nobody has accepted"):
        require_agent(desk.settings, "desk")


def test_other_faults_are_not_hidden_by_what_is_not_pinned(desk: Desk) -> None:
    desk.write('[[policy]]\ntool = "pay"\ndo = "allow"\nwhen = "1 +"\n')
    assert "policy[1].when" in desk.problem
    assert "is not pinned yet" in desk.problem
    assert "there is no tool 'pay'" not in desk.problem
    assert desk.load().waiting() == []


async def test_server_that_asks_for_acceptance_is_neither_started_nor_pinned(desk: Desk) -> None:
    desk.write("pinned = true")
    why = await why_not(desk)
    assert "nobody has accepted what the server says about its tools, and `pinned` asks for that" in why
    assert "starter.py tools desk --accept" in why
    assert (desk.starts(), desk.load().waiting()) == ([], [])
    await desk.accept()
    assert desk.load().names() == ["desk"]


async def test_lock_that_cannot_be_written_keeps_the_agent_out_with_what_to_do(desk: Desk) -> None:
    (desk.folder / "tools.lock.new").mkdir()  # what a read-only folder is for a user who is not root
    why = await why_not(desk)
    assert "tools.lock: cannot be written: Is a directory" in why
    assert "starter.py tools desk --accept" in why


async def test_server_that_does_not_start_is_named_with_its_last_words(desk: Desk) -> None:
    (desk.shop / "dies_at_start").touch()
    assert "no licence found" in await why_not(desk)
    (desk.shop / "dies_at_start").unlink()
    assert len((await pinned(desk)).first) == 1


async def test_server_without_a_tool_that_can_be_used_is_not_pinned(desk: Desk) -> None:
    desk.says([{"name": "a", "inputSchema": {"type": "object", "allOf": [{"$ref": "#"}]}}])
    assert "it offers no tool that can be used" in await why_not(desk)
    assert not (desk.folder / "tools.lock").exists()


async def test_tool_that_cannot_be_used_is_left_out_and_named(desk: Desk) -> None:
    desk.says([TOOLS[2], {"name": "b", "inputSchema": {"type": "object", "allOf": [{"$ref": "#"}]}}])
    desk.write("")
    [first] = (await pinned(desk)).first
    assert (first.tools, set(first.left_out)) == (("say",), {"b"})


async def test_broken_agent_keeps_no_other_from_being_pinned(tmp_path: Path) -> None:
    broken, sound = Desk(tmp_path, name="broken"), Desk(tmp_path, name="sound")
    (broken.folder / "agent.toml").write_text("owner = ")
    (broken.folder / "tools.lock").write_text("nonsense")
    assert [one.agent for one in (await pinned(sound)).first] == ["sound"]


# ------------------------------------------------------------------------------------------- workers that start at once

RACER = """
import sys
from pathlib import Path
from tools.mcp.lock import pin_first
from tools.mcp.pins import Pin

folder, who = Path(sys.argv[1]), sys.argv[2]
tools = {f"tool-{n}": Pin(name=f"tool-{n}", description=who * 200, input_schema={"type": "object"}) for n in range(200)}
print("ready", flush=True)
sys.stdin.readline()
print(",".join(pin_first(folder, {"shop": tools, who: tools})), flush=True)
"""


def racer(folder: Path, who: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", RACER, str(folder), who]
    racing = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert racing.stdout is not None
    assert racing.stdout.readline() == "ready\n"
    return racing


def result(racing: "subprocess.Popen[str]") -> list[str]:
    said, _ = racing.communicate(timeout=30)
    assert racing.returncode == 0
    return said.strip().split(",") if said.strip() else []


def go(racing: "subprocess.Popen[str]") -> None:
    assert racing.stdin is not None
    racing.stdin.write("go\n")
    racing.stdin.flush()


def test_workers_that_start_at_once_pin_a_server_once_and_lose_nothing(tmp_path: Path) -> None:
    racing = {who: racer(tmp_path, who) for who in "abcd"}
    for one in racing.values():
        go(one)
    first = {who: result(one) for who, one in racing.items()}
    lock = read_lock(tmp_path)  # raises for a torn one
    [winner] = [who for who, servers in first.items() if "shop" in servers]
    assert set(lock.servers) == {"shop", *"abcd"}
    assert {pin.description for pin in lock.servers["shop"].values()} == {winner * 200}


def test_what_another_process_pinned_meanwhile_stands(tmp_path: Path) -> None:
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    racing = racer(tmp_path, "late")
    go(racing)
    said = {"servers": {"shop": {}, "late": {}}, "version": 1}
    (tmp_path / "tools.lock").write_text(json.dumps(said))
    os.close(held)
    assert result(racing) == []
    assert json.loads((tmp_path / "tools.lock").read_text()) == said


def test_nothing_new_leaves_the_file_alone(tmp_path: Path) -> None:
    pin = Pin(name="pay", input_schema={"type": "object"})
    assert pin_first(tmp_path, {"shop": {"pay": pin}}) == ("shop",)
    before = (tmp_path / "tools.lock").stat()
    assert pin_first(tmp_path, {"shop": {}}) == ()
    assert (tmp_path / "tools.lock").stat().st_ino == before.st_ino
