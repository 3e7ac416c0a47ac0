"""One tool of an MCP server behind the port that the door knows. What an error means for a row is decided there."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from core.contract import Contract
from core.errors import Refused
from core.names import NotCanonical, canonical
from core.ports import Call, Sorted
from core.record import Json
from tools.filling import fill
from tools.mcp.faults import UnreadableAnswer, refusal, sort_error
from tools.mcp.lookups import find
from tools.mcp.pins import Accepted
from tools.mcp.results import as_result, problem_in, to_json
from tools.mcp.schemas import faults
from tools.mcp.session import Session
from tools.mcp.tables import Lookup


@dataclass(frozen=True, slots=True)
class Question:
    """A look-up with the tool that it is put to. `fills`: what the runtime fills in there."""

    lookup: Lookup
    accepted: Accepted
    fills: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Terms:
    """All that is known of one tool. `agent`: whose tools.lock says what was accepted."""

    agent: str
    contract: Contract
    accepted: Accepted
    fills: Mapping[str, Json]
    probe: Question | None = None
    verify: Question | None = None


class McpTool:
    """Implements `core.ports.Tool` over the session that all tools of the server share."""

    def __init__(self, terms: Terms, session: Session) -> None:
        self.terms = terms
        self.contract = terms.contract
        self._session = session

    def __repr__(self) -> str:
        return f"<tool {self.contract.name} ({self.contract.source})>"

    @property
    def server(self) -> str:
        """The name of its server in agent.toml."""
        return self._session.server.table.name

    def check(self, args: Mapping[str, Json]) -> dict[str, Json]:
        try:
            normal: dict[str, Json] = json.loads(canonical(dict(args)))
        except NotCanonical as error:
            raise self._refused(f"the arguments have no canonical JSON: {error}") from error
        if wrong := faults(self.contract.args_schema, normal):
            raise self._refused("; ".join(wrong))
        return normal

    async def preflight(self, call: Call, args: Mapping[str, Json]) -> dict[str, Json]:  # noqa: ARG002 - the port's
        return {}

    async def send(self, call: Call, args: Mapping[str, Json]) -> Json:
        given = {**args, **{name: fill(value, call, args) for name, value in self.terms.fills.items()}}
        answer = await self._session.call(self.terms.accepted, given, self._patience)
        if answer.is_error:
            raise refusal(self.contract.effect, answer.reason)
        return to_json(answer, self.terms.accepted.pin.output_schema)

    async def verify(self, call: Call, args: Mapping[str, Json], result: Json) -> bool | None:
        if self.terms.verify is None:
            return None
        return await self._look(self.terms.verify, call, args, result) is not None

    async def probe(self, call: Call, args: Mapping[str, Json]) -> Json | None:
        if self.terms.probe is None:
            raise LookupError(f"{self.contract.name} has no probe")
        found = await self._look(self.terms.probe, call, args, None)
        return None if found is None else as_result(found, self.terms.accepted.pin.output_schema)

    def sort(self, error: BaseException) -> Sorted:
        return sort_error(error, how_to_accept(self.terms.agent))

    async def _look(self, question: Question, call: Call, args: Mapping[str, Json], result: Json) -> Json | None:
        """Put a question. Raises UnreadableAnswer for an answer that says neither yes nor no."""
        lookup = question.lookup
        values = {**lookup.args, **question.fills}
        asked = {name: fill(value, call, args, result) for name, value in values.items()}
        answer = await self._session.call(question.accepted, asked, self._patience)
        if answer.is_error:
            if lookup.absent_if is not None and lookup.absent_if.casefold() in answer.reason.casefold():
                return None
            raise UnreadableAnswer(f"{lookup.tool}: {answer.reason}"[:500])
        value = to_json(answer, question.accepted.pin.output_schema)
        if problem := problem_in(value):
            raise UnreadableAnswer(f"{lookup.tool}: {problem}"[:500])
        return find(lookup, value, call, args, result)

    @property
    def _patience(self) -> float:
        """Seconds to wait for a session: less than the door waits, since it cannot see that nothing was sent yet."""
        return self.contract.timeout.total_seconds() / 2

    def _refused(self, problem: str) -> Refused:
        return Refused("bad_arguments", f"{self.contract.name}: {problem}")


def how_to_accept(agent: str) -> str:
    """Say what to run."""
    return f"read what it says and accept it: python starter.py tools {agent} --accept; then start the workers anew"
