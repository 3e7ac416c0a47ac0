"""From one ``[[mcp]]`` table and what was accepted of its server: tools for an agent. No server is started here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from core.names import undo_of
from tools.mcp.contracts import Fault, check_lookup, draft, fills_of, is_chosen
from tools.mcp.pins import Accepted, Pin
from tools.mcp.server import Server
from tools.mcp.session import Session
from tools.mcp.tables import ContractTable, Lookup, ServerTable, UndoCall
from tools.mcp.tool import McpTool, Question, Terms, how_to_accept
from tools.undo_by_tool import UndoByTool, undo_fault

_NOTHING_DECLARED = ContractTable()


@dataclass(frozen=True, slots=True)
class ServerSource:
    """Implements `core.ports.ToolSource`. Its session is one of the worker's, so there is nothing of it to close."""

    server: Server
    environ: Mapping[str, str]

    @property
    def name(self) -> str:
        """The name of the server in agent.toml."""
        return self.server.table.name

    def missing(self) -> list[str]:
        """Name the environment variables that are not set."""
        return self.server.missing(self.environ)

    async def aclose(self) -> None:
        """Close nothing."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What an agent gets of a server: its tools by the names of plans, undos of them, and the faults of the table."""

    tools: Mapping[str, McpTool]
    faults: tuple[Fault, ...]
    undos: Mapping[str, UndoByTool] = field(default_factory=dict)


def build_offer(agent: str, server: Server, pins: Mapping[str, Pin], session: Session) -> Offer:
    """Build the tools. `pins`: what was accepted, by the server's names."""
    return _Source(agent, server.table, pins, session).offer()


def not_pinned(agent: str, table: ServerTable, why: str = "") -> Fault:
    """Say that nothing of a server is pinned. `why`: what kept a worker from it; "" when none has tried yet."""
    said = "nobody has accepted what the server says about its tools, and `pinned` asks for that"
    if not table.pinned:
        said = "what the server says about its tools is not pinned yet"
        said += f", and cannot be now: {why}" if why else "; the first worker pins it, unread"
    return Fault(("name",), f"{said}; {how_to_accept(agent)}")


class _Source:
    """Gathers the tools of one server, and all faults of its table."""

    def __init__(self, agent: str, table: ServerTable, pins: Mapping[str, Pin], session: Session) -> None:
        self._agent = agent
        self._table = table
        self._session = session
        self._pins = {name: Accepted(pin, pin.digest) for name, pin in pins.items()}

    def offer(self) -> Offer:
        faults = list(self._misnamed())
        tools: dict[str, McpTool] = {}
        for accepted in self._pins.values():
            if not is_chosen(self._table, accepted.pin.name):
                continue
            try:
                tool = self._tool(accepted)
            except Fault as fault:
                faults.append(fault)
                continue
            if (other := tools.setdefault(tool.contract.name, tool)) is not tool:
                names = f"{other.terms.accepted.pin.name} and {accepted.pin.name}"
                problem = f"{names} would both be called {tool.contract.name}; leave one out with `except`"
                faults.append(Fault(("name",), problem))
        undos = self._undos(tools, faults)
        return Offer(tools, tuple(faults), undos)

    def _undos(self, tools: Mapping[str, McpTool], faults: list[Fault]) -> dict[str, UndoByTool]:
        by_name = {tool.terms.accepted.pin.name: tool for tool in tools.values()}
        found: dict[str, UndoByTool] = {}
        for name, tool in by_name.items():
            if (undo := self._table.contracts.get(name, _NOTHING_DECLARED).undo) is None:
                continue
            try:
                found[undo_of(tool.contract.name)] = self._undo(tool, undo, by_name)
            except Fault as fault:
                faults.append(fault)
        return found

    def _undo(self, of: McpTool, undo: UndoCall, by_name: Mapping[str, McpTool]) -> UndoByTool:
        place = ("contracts", of.terms.accepted.pin.name, "undo")
        if (by := by_name.get(undo.tool)) is None:
            raise Fault((*place, "tool"), f"there is no tool {undo.tool!r}; they are: {', '.join(by_name)}")
        if wrong := undo_fault(of.contract, by.contract, undo.args):
            raise Fault(place, wrong)
        return UndoByTool(of, by, undo.args)

    def _misnamed(self) -> Iterator[Fault]:
        """Name what the table says about tools that are not there."""
        known = ", ".join(self._pins) or "none"
        for key, patterns in (
            ("only", self._table.only),
            ("except", self._table.except_),
            ("reads", self._table.reads),
        ):
            for pattern in patterns:
                if not _is_pattern(pattern) and pattern not in self._pins:
                    yield Fault((key,), f"the server has no tool {pattern!r} that was accepted; known are: {known}")
        for name in self._table.contracts:
            if name not in self._pins:
                yield Fault(("contracts", name), f"there is no such tool of this server; known are: {known}")
            elif not is_chosen(self._table, name):
                yield Fault(("contracts", name), f"{name} is no tool: `only` or `except` leaves it out")

    def _tool(self, accepted: Accepted) -> McpTool:
        declared = self._table.contracts.get(accepted.pin.name, _NOTHING_DECLARED)
        drafted = draft(self._table, accepted.pin, declared)
        terms = Terms(
            agent=self._agent,
            contract=drafted.contract,
            accepted=accepted,
            fills=drafted.fills,
            probe=self._question(declared.probe, accepted, "probe", ("$args", "$inputs")),
            verify=self._question(declared.verify, accepted, "verify", ("$args", "$inputs", "$result")),
        )
        return McpTool(terms, self._session)

    def _question(
        self, lookup: Lookup | None, accepted: Accepted, hook: str, trees: tuple[str, ...]
    ) -> Question | None:
        if lookup is None:
            return None
        place = ("contracts", accepted.pin.name, hook)
        if (other := self._pins.get(lookup.tool)) is None:
            raise Fault((*place, "tool"), f"the server has no tool {lookup.tool!r} that was accepted")
        fills = {name: value for name, value in fills_of(self._table, other.pin).items() if name not in lookup.args}
        check_lookup(lookup, other.pin, fills, place, trees)
        return Question(lookup, other, fills)


def _is_pattern(name: str) -> bool:
    return any(sign in name for sign in "*?[")
