"""An agent with the shop as its MCP server, in a folder of the test; over stdio, or over HTTP when it has a url."""

import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from config.agents import AgentFolders, load_agents
from config.mcp_servers import Said, accept, ask_servers
from config.settings import Settings
from core.ports import Call, Tool

STDIO = Path(__file__).with_name("stdio_shop.py")
KEYED = """
[mcp.contracts.pay]
effect = "keyed"
key = "reference"
key_window = "24h"
timeout = "5s"
"""
PROBED = """
[mcp.contracts.pay]
effect = "probed"
fill = {reference = "$key", desk = "$inputs/desk"}
settle_time = "1s"
timeout = "5s"
probe = {tool = "find-payment", args = {reference = "$key"}, found = "/payments", where = {"/order" = "$args/order"}}
"""


class Desk:
    """`more`: what agent.toml says about the server besides how it is reached."""

    def __init__(self, root: Path, more: str = KEYED, url: str = "", name: str = "desk") -> None:
        self.root = root
        self.name = name
        self.folder = root / "agents" / name
        self.shop = root / "shop"
        self.folder.mkdir(parents=True)
        self.shop.mkdir(exist_ok=True)
        (self.folder / "instructions.md").write_text("Pay.")
        self.reached_by = f'url = "{url}"' if url else f'command = ["python", "-c", {json.dumps(self._start())}]'
        self.write(more)

    def write(self, more: str) -> None:
        head = 'owner = "leads"\nmodels = ["openai:x"]\ntools = []\n\n[[mcp]]\nname = "shop"\n'
        (self.folder / "agent.toml").write_text(f"{head}{self.reached_by}\n{more}")

    def _start(self) -> str:
        return f"import os, runpy; os.chdir({str(self.shop)!r}); runpy.run_path({str(STDIO)!r}, run_name='__main__')"

    @property
    def settings(self) -> Settings:
        return Settings.model_validate({"folder": self.root, "agents": [self.root / "agents"]})

    async def ask(self, environ: Mapping[str, str] = os.environ) -> Sequence[Said]:
        return await ask_servers(self.settings, self.name, environ)

    async def accept(self) -> None:
        accept(self.settings, self.name, await self.ask())

    def load(self, environ: Mapping[str, str] = os.environ) -> AgentFolders:
        return load_agents(self.settings, environ)

    @property
    def problem(self) -> str:
        [(name, text)] = self.load().problems()
        assert name == self.name
        return text.replace(f"{self.folder}/", "")

    @asynccontextmanager
    async def tools(self, environ: Mapping[str, str] = os.environ) -> AsyncIterator[Mapping[str, Tool]]:
        agents = self.load(environ)
        try:
            yield agents.get(self.name).tools
        finally:
            await agents.aclose()

    def fates(self, *fates: Any) -> None:
        (self.shop / "fates.json").write_text(json.dumps(fates))

    def says(self, tools: Sequence[Mapping[str, Any]]) -> None:
        (self.shop / "tools.json").write_text(json.dumps(tools))

    def paid(self) -> list[dict[str, Any]]:
        path = self.shop / "paid.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def starts(self) -> list[int]:
        path = self.shop / "starts.log"
        return [int(line) for line in path.read_text().split()] if path.exists() else []


def call(key: str = "k1", **inputs: Any) -> Call:
    deadline = datetime.now(UTC) + timedelta(seconds=5)
    return Call(key=key, task_id="t1", step_id="r1.s1", attempt=1, deadline=deadline, inputs=inputs)


PAY = {"order": "o1", "amount": 5}
