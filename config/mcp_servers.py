"""What an agent's MCP servers say about their tools now, beside what was accepted in its tools.lock.

The only place outside calls that starts servers; nothing is accepted unless somebody asks for it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.agent_file import NAME, AgentFile
from config.agents import find_folder
from config.document import read_document
from config.settings import Settings
from core.errors import CallerError
from core.ports import Tool
from core.record import Json
from tools.mcp.pins import Difference, Pin, compare, read_lock, write_lock
from tools.mcp.server import Server
from tools.mcp.session import Sessions
from tools.mcp.tool import McpTool


@dataclass(frozen=True, slots=True)
class Said:
    """What one server says. `accepted`: what was accepted of it; `difference`: between the two."""

    server: str
    pins: Mapping[str, Pin]
    accepted: Mapping[str, Pin]
    difference: Difference


async def ask_servers(settings: Settings, agent: str, environ: Mapping[str, str]) -> Sequence[Said]:
    """Start or call every server of an agent, and compare. Raises CallerError, ConfigError, or NotSent."""
    folder = find_folder(settings, agent)
    servers = _servers(folder, agent)
    accepted = read_lock(folder)
    sessions = Sessions(environ)
    try:
        said = await asyncio.gather(*(_ask(server, sessions) for server in servers))
    finally:
        await sessions.aclose()
    names = [server.table.name for server in servers]
    return [
        Said(name, pins, before := accepted.get(name, {}), compare(before, list(pins.values())))
        for name, pins in zip(names, said, strict=True)
    ]


def accept(settings: Settings, agent: str, said: Sequence[Said]) -> Path:
    """Write what the servers say into the agent's tools.lock, and return its path."""
    pins = {one.server: _usable(one) for one in said}
    return write_lock(find_folder(settings, agent), pins)


def hints_of(tool: Tool) -> Mapping[str, Json]:
    """Return what its server hints about the effect of a tool: to be shown, never believed."""
    return tool.terms.accepted.pin.annotations if isinstance(tool, McpTool) else {}


def _servers(folder: Path, agent: str) -> Sequence[Server]:
    tables = read_document(folder / NAME).parse(AgentFile).mcp
    if not tables:
        raise CallerError(f"agent {agent!r} names no MCP server; there is no [[mcp]] in {folder / NAME}")
    return [Server(table, folder.absolute()) for table in tables]


async def _ask(server: Server, sessions: Sessions) -> Mapping[str, Pin]:
    patience = server.table.start_timeout.total_seconds() + 1
    return await sessions.of(server).tools(patience)


def _usable(said: Said) -> Mapping[str, Pin]:
    return {name: pin for name, pin in said.pins.items() if name not in said.difference.unusable}
