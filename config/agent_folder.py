"""One agent, built out of its folder: agent.toml, the instructions, the tools, the rules."""

import json
import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from types import MappingProxyType

from config.agent_file import NAME, AgentFile
from config.document import Document, read_document, read_text, suggest, together
from config.openapi_table import OpenApiTables
from config.routes import BuiltRoutes, RouteBuilder, budget_of, counts_dollars, tenants_of
from config.settings import Settings
from core.budget import DENSE_BYTES_PER_TOKEN
from core.contract import Contract
from core.errors import ConfigError
from core.ports import Agent, Tool, ToolSource
from core.profile import Ladder, Limits, Profile
from policy.conditions import Conditions
from policy.expression import ExpressionFaults
from policy.rules import Rule, Rules
from tools.mcp.lock import read_lock
from tools.mcp.pins import Pin
from tools.mcp.server import Server
from tools.mcp.session import Sessions
from tools.mcp.source import ServerSource, build_offer, not_pinned
from tools.mcp.tables import ServerTable
from tools.mcp.tool import McpTool
from tools.registry import fallback_fault, load_tools

_RULES_TOKENS = 2_000
"""What the rules of planning and the schema of a plan add to every prompt (4,700 characters)."""


class NotPinned(ConfigError):
    """All that is wrong with an agent is that tools of a server are not pinned yet."""


def load_agent(
    folder: Path,
    settings: Settings,
    sessions: Sessions | None = None,
    unpinned: Mapping[tuple[Path, str], str] = MappingProxyType({}),
) -> Agent:
    """Load the agent in a folder; its name is that of the folder. Raises ConfigError with all faults that show.

    `sessions`: through which tools of MCP servers are called, by default the agent's own; none is begun here.
    `unpinned`: why a worker could not pin a server's tools (`pinning.Pinned.failed`). NotPinned when that, or that no
    worker has been there yet, is all that is wrong.
    """
    document = read_document(folder / NAME)
    return _Build(folder, document, settings, sessions or Sessions(os.environ), unpinned).agent()


class _Build:
    """Gathers the parts of one agent, and the faults in them, so that one run shows them all."""

    def __init__(
        self,
        folder: Path,
        document: Document,
        settings: Settings,
        sessions: Sessions,
        unpinned: Mapping[tuple[Path, str], str],
    ) -> None:
        self._name = folder.name
        self._folder = folder
        self._document = document
        self._file = document.parse(AgentFile)
        self._settings = settings
        self._sessions = sessions
        self._unpinned = unpinned
        self._waiting: list[str] = []
        self._faults: list[str] = []
        self._sources: list[ToolSource] = []

    def agent(self) -> Agent:
        tools = self._with_openapi(self._tools())
        instructions = self._instructions()
        routes = self._routes()
        rules, done = self._rules(), self._done()
        self._check_rules(tools)
        if self._faults or rules is None or done is None:
            raise together([*self._faults, *self._waiting])
        if self._waiting:
            raise NotPinned("\n".join(self._waiting))
        contracts = [tool.contract for tool in tools.values() if tool.contract.undoes is None]
        profile = self._profile(routes, _tokens(instructions, contracts), _high_stakes(self._file.policy, tools))
        return Agent(
            self._name,
            instructions,
            profile,
            tools,
            rules,
            done,
            budget=budget_of(self._file.budgets, self._settings),
            tenants=tenants_of(self._settings),
            sources=tuple(self._sources),
            doubts=tuple(done.misplaced({name for name, tool in tools.items() if not tool.contract.writes})),
        )

    def _tools(self) -> Mapping[str, Tool]:
        try:
            own = load_tools(self._name, self._folder, self._file.tools, self._settings.folder)
            pins = read_lock(self._folder).servers if self._file.mcp else {}
        except ConfigError as error:
            self._faults.append(str(error))
            return {}
        tools: dict[str, Tool] = {**own}
        for number, table in enumerate(self._file.mcp):
            self._add_server(number, table, pins.get(table.name), tools)
        if not self._waiting:
            self._check_fallbacks(tools)
        return tools

    def _add_server(
        self, number: int, table: ServerTable, pins: Mapping[str, Pin] | None, tools: dict[str, Tool]
    ) -> None:
        server = Server(table, self._folder.absolute())
        self._sources.append(ServerSource(server, self._sessions.environ))
        if pins is None:
            self._not_pinned(number, table)
            return
        offer = build_offer(self._name, server, pins, self._sessions.of(server))
        self._faults.extend(
            self._document.fault(("mcp", number, *fault.place), fault.problem) for fault in offer.faults
        )
        offered: Mapping[str, Tool] = {**offer.tools, **offer.undos}
        for name, tool in offered.items():
            if tools.setdefault(name, tool) is not tool:
                problem = f"there is another tool called {name} ({tools[name]!r}); give a prefix"
                self._faults.append(self._document.fault(("mcp", number, "prefix"), problem))

    def _not_pinned(self, number: int, table: ServerTable) -> None:
        fault = not_pinned(self._name, table, self._unpinned.get((self._folder.absolute(), table.name), ""))
        text = self._document.fault(("mcp", number, *fault.place), fault.problem)
        (self._faults if table.pinned else self._waiting).append(text)

    def _check_fallbacks(self, tools: Mapping[str, Tool]) -> None:
        """Check those of servers' tools; a tool in Python names another one in Python."""
        contracts = {name: tool.contract for name, tool in tools.items() if tool.contract.undoes is None}
        places = {table.name: number for number, table in enumerate(self._file.mcp)}
        for tool in tools.values():
            if isinstance(tool, McpTool) and (problem := fallback_fault(tool.contract, contracts)):
                place = ("mcp", places[tool.server], "contracts", tool.terms.accepted.pin.name, "fallback")
                self._faults.append(self._document.fault(place, problem))

    def _with_openapi(self, tools: Mapping[str, Tool]) -> Mapping[str, Tool]:
        tables = OpenApiTables(self._document, self._folder, self._sessions.environ)
        found = tables.load(self._file.openapi, list(tools))
        self._faults += tables.faults
        self._sources += tables.sources
        return {**tools, **found}

    def _instructions(self) -> str:
        try:
            return read_text(self._folder / self._file.instructions)
        except ConfigError as error:
            self._faults.append(self._document.fault(("instructions",), str(error)))
            return ""

    def _routes(self) -> BuiltRoutes:
        dollars = counts_dollars(self._file.budgets, self._settings)
        builder = RouteBuilder(self._folder, self._settings, counts_dollars=dollars)
        routes = builder.build(self._file.models)
        self._faults += [self._document.fault(place, problem) for place, problem in builder.faults]
        return routes

    def _rules(self) -> Rules | None:
        try:
            return Rules(self._name, self._file.policy, undoes=bool(self._file.undo.on))
        except ExpressionFaults as error:
            self._faults.extend(self._located(error))
            return None

    def _done(self) -> Conditions | None:
        try:
            return Conditions(self._file.done.require)
        except ExpressionFaults as error:
            self._faults.extend(self._located(error))
            return None

    def _located(self, error: ExpressionFaults) -> list[str]:
        return [self._document.fault(fault.place, fault.problem) for fault in error.faults]

    def _check_rules(self, tools: Mapping[str, Tool]) -> None:
        for number, rule in enumerate(self._file.policy):
            if tools and not self._waiting and not _is_pattern(rule.tool) and rule.tool not in tools:
                problem = f"there is no tool {rule.tool!r}{suggest(rule.tool, list(tools))}"
                self._faults.append(self._document.fault(("policy", number, "tool"), problem))
            self._check_quorum(number, rule)

    def _check_quorum(self, number: int, rule: Rule) -> None:
        """Refuse a quorum that can never be reached; a role that nobody holds yet may be meant for later."""
        holders = {name for approver in rule.approvers for name in self._holders(approver)}
        if all(self._holders(approver) for approver in rule.approvers) and 0 < len(holders) < rule.quorum:
            who = ", ".join(sorted(holders))
            problem = f"{rule.quorum} people have to approve, and only {len(holders)} may: {who}"
            self._faults.append(self._document.fault(("policy", number, "quorum"), problem))

    def _profile(self, routes: BuiltRoutes, prompt_tokens: int, high_stakes: tuple[str, ...]) -> Profile:
        file = self._file
        mentioned = chain([file.owner], file.approvals.escalate_to, *(rule.approvers for rule in file.policy))
        return Profile(
            agent=self._name,
            owner=file.owner,
            route=routes.route,
            routes=routes.routes,
            strong=routes.strong,
            high_stakes=high_stakes,
            routed=True,
            limits=Limits.model_validate(file.limits.model_dump()),
            ladder=Ladder.model_validate(file.approvals.model_dump()),
            people={who: self._holders(who) for who in dict.fromkeys(mentioned)},
            knows_people=bool(self._settings.people),
            trust=self._settings.trust,
            undo_on=file.undo.ends(),
            rereads=True,
            prompt_tokens=prompt_tokens,
        )

    def _holders(self, who: str) -> tuple[str, ...]:
        """Resolve a role or a name: a person stands for themselves, and a role for those who hold it."""
        return tuple(name for name, person in self._settings.people.items() if name == who or who in person.roles)


def _is_pattern(tool: str) -> bool:
    return any(sign in tool for sign in "*?[")


def _high_stakes(rules: Sequence[Rule], tools: Mapping[str, Tool]) -> tuple[str, ...]:
    """Name the tools that a rule with high stakes is about, whatever it says of their arguments: when a plan is made,
    most of these are not known yet.
    """
    patterns = [rule.tool for rule in rules if rule.stakes == "high"]
    return tuple(name for name in tools if any(fnmatchcase(name, pattern) for pattern in patterns))


def _tokens(instructions: str, contracts: Sequence[Contract]) -> int:
    """Estimate the part of the prompt that does not change, rather too high: it is what a call is reserved with."""
    shown = [[tool.name, tool.description, tool.args_schema, tool.result_schema] for tool in contracts]
    size = len(instructions.encode()) + len(json.dumps(shown).encode())
    return _RULES_TOKENS + size // DENSE_BYTES_PER_TOKEN
