"""The agent that uses an MCP server, as a fresh checkout has it: its lock, its server, its task, on a real Temporal."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from config.agents import AgentFolders, load_agents
from config.mcp_servers import ask_servers
from config.settings import Settings
from tests.workflows.stories import outcome_of
from tests.worlds import World, dev_server, until

AGENT = Path(__file__).parents[3] / "agents" / "meeting_rooms"
WISH = {"day": "2026-12-01", "hour": 9, "title": "Planning", "to": "ana@example.org"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    shutil.copytree(AGENT, tmp_path / "agents" / AGENT.name)
    (tmp_path / "var").mkdir()
    return Settings.model_validate({"folder": tmp_path, "agents": [tmp_path / "agents"]})


async def test_what_the_server_says_is_what_was_accepted(settings: Settings) -> None:
    [said] = await ask_servers(settings, "meeting_rooms", {})
    assert not said.difference
    assert said.difference.unusable == {}


async def test_room_of_a_cancelled_task_is_given_back(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "agents" / "meeting_rooms" / "agent.toml"
    rule = 'tool = "invite"\n'
    assert rule in file.read_text()
    file.write_text(file.read_text().replace(rule, f'{rule}when = "false"\ndo = "deny"\n\n[[policy]]\ntool = "x*"\n'))
    agents: AgentFolders = load_agents(settings, {})
    assert agents.problems() == []
    async with dev_server() as environment:
        world = World(environment.client, tmp_path)
        world.agents["meeting_rooms"] = agents.get("meeting_rooms")
        async with world.worker():
            handle = await world.start("rooms-1", "meeting_rooms", goal="Book a room", inputs=WISH)
            await until(handle, "AWAITING_APPROVAL")
            assert booked(tmp_path) == ["Ada"]
            await handle.cancel()
            result = await outcome_of(handle)
    await agents.aclose()
    assert result["status"] == "CANCELLED"
    assert booked(tmp_path) == []


def booked(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "var" / "meeting_rooms.db")) as database:
        return [room for (room,) in database.execute("select room from bookings")]


async def test_task_books_one_room_and_sends_one_invitation(settings: Settings, tmp_path: Path) -> None:
    agents: AgentFolders = load_agents(settings, {})
    assert agents.problems() == []
    async with dev_server() as environment:
        world = World(environment.client, tmp_path)
        world.agents["meeting_rooms"] = agents.get("meeting_rooms")
        async with world.worker():
            handle = await world.start("rooms-1", "meeting_rooms", goal="Book a room", inputs=WISH)
            result = await handle.result()
    await agents.aclose()
    assert result["answer"] == "Booked Ada as b0001 and invited ana@example.org."
    assert [(one["tool"], one["outcome"]) for one in result["effects"]] == [
        ("book_room", "succeeded"),
        ("invite", "succeeded"),
    ]
    database = sqlite3.connect(tmp_path / "var" / "meeting_rooms.db")
    assert database.execute("select room, hour, reference from bookings").fetchall() == [
        ("Ada", 9, result["effects"][0]["key"])
    ]
    assert database.execute("select recipient, reference from invitations").fetchall() == [
        ("ana@example.org", result["effects"][1]["key"])
    ]
    database.close()
