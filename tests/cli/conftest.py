import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.devserver import dev_server
from cli.main import main
from cli.worker_process import running_worker

TOOLS = '''
import os
from pathlib import Path
from tools import Call, tool

@tool(effect="read")
async def look_up(call: Call, what: str) -> dict:
    """Look up a price."""
    return {"what": what, "price": 5}

@tool(effect="idempotent", approve_hint="buy {count} {what}")
async def buy(call: Call, what: str, count: int) -> dict:
    """Buy something."""
    with Path(os.environ["SHOP_BOOK"]).open("a") as book:
        book.write(f"{call.task_id} {what} {count}\\n")
    return {"bought": what, "count": count}
'''
POLICY = """
[[policy]]
tool = "buy"
when = "args.count <= 10"
do = "allow"
reason = "small amounts need nobody"

[[policy]]
tool = "buy"
do = "ask"
approvers = ["finance"]
reason = "large amounts cost money"
"""
PLAN = {
    "steps": [
        {"id": "look", "tool": "look_up", "args": {"what": {"$from": "inputs", "path": "/what"}}, "why": "the price"},
        {
            "id": "buy",
            "tool": "buy",
            "args": {"what": {"$from": "look", "path": "/what"}, "count": {"$from": "inputs", "path": "/count"}},
            "why": "it is wanted",
        },
    ],
    "finish": {"answer": "Bought {{buy/count}} {{buy/bought}}."},
}
AGAIN = {
    "steps": [
        {
            "id": "buy",
            "tool": "buy",
            "args": {"what": {"$from": "inputs", "path": "/what"}, "count": {"$from": "inputs", "path": "/count"}},
            "why": "it is still wanted",
        },
    ],
    "finish": {"answer": "Bought {{buy/count}} {{buy/bought}}."},
}
ASKS = {"steps": [], "ask": "Which colour?"}
ANSWERS = {"steps": [], "finish": {"answer": "Done as told."}}


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class CommandLine:
    """Runs verbs in this process, as `starter.py` does."""

    config: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, *argv: str) -> Ran:
        self.capture.readouterr()
        code = main(["--config", str(self.config), *argv])
        out, err = self.capture.readouterr()
        assert "Traceback" not in out + err
        return Ran(code, out, err)


@dataclass(frozen=True)
class Shop:
    """A server, a worker, and agents that buy, ask, and get nowhere."""

    folder: Path
    address: str

    @property
    def config(self) -> Path:
        return self.folder / "lastmile.toml"

    def bought(self, task_id: str) -> list[str]:
        book = self.folder / "book.txt"
        lines = book.read_text().splitlines() if book.exists() else []
        return [line.partition(" ")[2] for line in lines if line.startswith(f"{task_id} ")]


def write_agent(folder: Path, *replies: object, policy: str = POLICY) -> None:
    folder.mkdir(parents=True)
    agent = 'owner = "lead"\ninstructions = "i.md"\ntools = ["tools.py"]\nmodels = ["scripted:script.json"]\n'
    (folder / "agent.toml").write_text(agent + policy)
    (folder / "i.md").write_text("Buy what is wanted.")
    (folder / "tools.py").write_text(TOOLS)
    (folder / "script.json").write_text(json.dumps({"replies": list(replies)}))


def write_config(folder: Path, address: str, agents: str = "agents") -> Path:
    file = folder / "lastmile.toml"
    file.write_text(
        f'agents = ["{agents}"]\nledger = "sqlite:///ledger.db"\n[temporal]\naddress = "{address}"\n'
        '[people.ana]\nroles = ["finance"]\n[people.mia]\nroles = ["finance"]\n[people.leo]\nroles = ["lead"]\n'
    )
    return file


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    write_agent(folder / "agents" / "shop", {"plan": PLAN}, {"plan": AGAIN})
    write_agent(folder / "agents" / "asker", {"plan": ASKS}, {"plan": ANSWERS})
    write_agent(folder / "agents" / "lost", *[{"text": "no plan"}] * 3)
    environ = {"SHOP_BOOK": str(folder / "book.txt")}
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        server = runner.run(stack.enter_async_context(dev_server(folder / "temporal", headless=True)))
        config = write_config(folder, server.address)
        runner.run(stack.enter_async_context(running_worker(config, folder / "worker.log", environ)))
        yield Shop(folder, server.address)
        runner.run(stack.aclose())


@pytest.fixture
def cli(shop: Shop, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(shop.config, capsys)


@pytest.fixture
def nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """A command line whose server is not there: port 1 is never served."""
    write_agent(tmp_path / "agents" / "shop", {"plan": PLAN})
    return CommandLine(write_config(tmp_path, "127.0.0.1:1"), capsys)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LASTMILE_CONFIG", "LASTMILE_BY", "LASTMILE_DEBUG"):
        monkeypatch.delenv(name, raising=False)
