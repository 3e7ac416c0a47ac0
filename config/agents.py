"""The agents that this worker serves: every sub-folder with an agent.toml of the folders in the settings.

A broken folder stops nobody else: its error is kept, given to whoever asks for the agent, and listed for `doctor`.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from config.agent_file import NAME
from config.agent_folder import NotPinned, load_agent
from config.document import suggest
from config.settings import Settings
from core.errors import CallerError, ConfigError
from core.ports import Agent
from tools.mcp.session import Sessions

_AGENT = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


class AgentFolders:
    """Implements `core.ports.Agents` over what was found."""

    def __init__(
        self, agents: Mapping[str, Agent], problems: Mapping[str, str], waiting: Sequence[str], sessions: Sessions
    ) -> None:
        self._agents = agents
        self._problems = problems
        self._waiting = waiting
        self._sessions = sessions

    def get(self, name: str) -> Agent:
        """Return the agent. Raises ConfigError when its folder is broken, CallerError when there is none."""
        if name in self._problems:
            raise ConfigError(f"agent {name!r} cannot be used:\n{self._problems[name]}")
        if name not in self._agents:
            known = sorted(self._agents)
            raise CallerError(f"there is no agent {name!r}{suggest(name, known) or '; no folder with agents is known'}")
        return self._agents[name]

    def names(self) -> Sequence[str]:
        """Return the agents that can be used, by name."""
        return sorted(self._agents)

    def problems(self) -> Sequence[tuple[str, str]]:
        """Return what cannot be used: the name of an agent (or the path of a folder), and why."""
        return sorted(self._problems.items())

    def waiting(self) -> Sequence[str]:
        """Return those of the problems that a worker may mend by pinning the tools of a server: names of agents."""
        return sorted(name for name in self._waiting if name in self._problems)

    async def aclose(self) -> None:
        """Close what the agents' tools keep open: connections, and sessions with MCP servers."""
        for agent in self._agents.values():
            for source in agent.sources:
                await source.aclose()
        await self._sessions.aclose()


def load_agents(
    settings: Settings,
    environ: Mapping[str, str] = os.environ,
    unpinned: Mapping[tuple[Path, str], str] = MappingProxyType({}),
) -> AgentFolders:
    """Load all agents. Never raises: what is wrong is kept, see `AgentFolders.problems`.

    `environ`: where the secrets of MCP servers are, when a call needs one; no server is started here. `unpinned`: as
    for `load_agent`.
    """
    sessions = Sessions(environ)
    agents: dict[str, Agent] = {}
    problems: dict[str, str] = {}
    waiting: list[str] = []
    seen: dict[str, Path] = {}
    for root in settings.agents:
        for folder in _folders(root, problems):
            name = folder.name
            if (other := seen.setdefault(name, folder)) is not folder:
                agents.pop(name, None)
                problems[name] = f"there are two agents of this name, in {other} and in {folder}; rename one"
                continue
            try:
                agents[name] = _load(folder, settings, sessions, unpinned)
            except ConfigError as error:
                problems[name] = str(error)
                waiting += [name] if isinstance(error, NotPinned) else []
    return AgentFolders(agents, problems, waiting, sessions)


def agent_folders(settings: Settings) -> list[Path]:
    """Return the folders of all agents, usable or not."""
    return [folder for root in settings.agents for folder in _folders(root, {})]


def find_folder(settings: Settings, name: str) -> Path:
    """Return the folder of an agent, usable or not. Raises CallerError when there is none."""
    folders = {folder.name: folder for folder in agent_folders(settings)}
    if name not in folders:
        known = suggest(name, sorted(folders)) or "; no folder with agents is known"
        raise CallerError(f"there is no agent {name!r}{known}")
    return folders[name]


def _load(folder: Path, settings: Settings, sessions: Sessions, unpinned: Mapping[tuple[Path, str], str]) -> Agent:
    if not _AGENT.fullmatch(folder.name):
        raise ConfigError(
            f"{folder}: an agent is called by letters, digits, _ and -, and starts with a letter; rename it"
        )
    return load_agent(folder, settings, sessions, unpinned)


def _folders(root: Path, problems: dict[str, str]) -> Iterator[Path]:
    try:
        found = sorted(path for path in root.iterdir() if (path / NAME).is_file())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        problems[str(root)] = f"{root}: cannot be read: {reason}; `agents` in lastmile.toml names it"
        return
    yield from found
