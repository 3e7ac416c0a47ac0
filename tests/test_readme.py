"""What the README shows must run: its agent is taken out of the text, loaded, and does its task."""

import re
from pathlib import Path

import pytest

from config.agents import load_agents
from config.settings import load
from tests.worlds import World, dev_server

README = Path(__file__).parent.parent / "README.md"
_FILE = re.compile(r"^`(agents/[\w/.]+)`[^\n]*\n\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def write_agent(folder: Path) -> None:
    for name, text in _FILE.findall(README.read_text()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_every_linked_file_exists() -> None:
    links = re.findall(r"\]\(((?!http)[^)]+)\)", README.read_text())
    assert links
    assert [link for link in links if not (README.parent / link).exists()] == []


async def test_agent_of_the_readme_does_its_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_agent(tmp_path)
    (tmp_path / "lastmile.toml").write_text("")
    agents = load_agents(load(tmp_path / "lastmile.toml"))
    async with dev_server() as environment:
        world = World(environment.client, tmp_path)
        world.agents["guestbook"] = agents.get("guestbook")
        async with world.worker():
            handle = await world.start("sign-1", "guestbook", goal="Sign for Ana", inputs={"name": "Ana"})
            result = await handle.result()
    assert result["answer"] == "Signed for Ana; 0 guests were there before."
    assert [effect["tool"] for effect in result["effects"]] == ["sign_book"]
    assert Path("var/guestbook.txt").read_text().endswith(" Ana\n")
