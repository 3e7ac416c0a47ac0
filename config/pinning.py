"""Pin at first use: what a server says of which nothing is pinned yet is written into the agent's tools.lock, once.

For processes that load agents to work. Whoever only looks at agents pins nothing, and starts no server.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.agent_file import NAME, AgentFile
from config.agents import agent_folders
from config.document import read_document
from config.settings import Settings
from core.errors import ConfigError, LastmileError
from tools.mcp import lock
from tools.mcp.pins import Pin
from tools.mcp.server import Server
from tools.mcp.session import Sessions


@dataclass(frozen=True, slots=True)
class FirstUse:
    """What was pinned of a server. `left_out`: tools that cannot be used, and why."""

    agent: str
    server: str
    tools: tuple[str, ...]
    left_out: Mapping[str, str]
    file: Path


@dataclass(frozen=True, slots=True)
class Pinned:
    """What a pinning came to. `failed`: why a server is not pinned, by the agent's folder and the server's name."""

    first: Sequence[FirstUse]
    failed: Mapping[tuple[Path, str], str]


def meaning_of(one: FirstUse) -> str:
    """Say what it means that tools were pinned at first use, and what to do."""
    return (
        f"nobody has read what {one.server} says about its tools; a tool that it changes from now on is stopped. "
        f"Read it (python starter.py tools {one.agent}), accept it (--accept), and commit {lock.NAME}"
    )


async def pin_first_use(settings: Settings, environ: Mapping[str, str], agent: str | None = None) -> Pinned:
    """Pin what nothing is pinned of, for one agent or for all. Never raises for an agent that is broken.

    Servers are started or called, side by side, each for its `start_timeout` at most; those that say `pinned = true`
    are not. `environ`: where their secrets are.
    """
    folders = [folder for folder in agent_folders(settings) if agent in (None, folder.name)]
    sessions = Sessions(environ)
    try:
        found = await asyncio.gather(*(_pin_one(server, sessions) for one in folders for server in _unpinned(one)))
    finally:
        await sessions.aclose()
    return Pinned(
        [one for one in found if isinstance(one, FirstUse)],
        {place: why for one in found if not isinstance(one, FirstUse) for place, why in one.items()},
    )


def _unpinned(folder: Path) -> Sequence[Server]:
    """Return the servers of an agent that may be pinned now; what is wrong with its files is said when it is loaded."""
    try:
        tables = read_document(folder / NAME).parse(AgentFile).mcp
        known = lock.read_lock(folder).servers if tables else {}
    except ConfigError:
        return []
    return [Server(one, folder.absolute()) for one in tables if not one.pinned and one.name not in known]


async def _pin_one(server: Server, sessions: Sessions) -> FirstUse | Mapping[tuple[Path, str], str]:
    name, folder = server.table.name, server.folder
    try:
        said = await sessions.of(server).tools(server.patience)
        left_out = {one: problem for one, pin in said.items() if (problem := pin.problem())}
        pins = {one: pin for one, pin in said.items() if one not in left_out}
        return _keep(server, pins, left_out) if pins else {(folder, name): "it offers no tool that can be used"}
    except LastmileError as error:
        return {(folder, name): str(error)}


def _keep(
    server: Server, pins: Mapping[str, Pin], left_out: Mapping[str, str]
) -> FirstUse | Mapping[tuple[Path, str], str]:
    """Write it; nothing is new when another worker was first."""
    name, folder = server.table.name, server.folder
    if name not in lock.pin_first(folder, {name: pins}):
        return {}
    return FirstUse(folder.name, name, tuple(pins), left_out, folder / lock.NAME)
