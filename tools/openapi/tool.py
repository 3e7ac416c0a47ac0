"""One operation behind the port that the door knows. What an error means for a row is decided there."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from core.contract import Contract
from core.errors import Refused
from core.names import NotCanonical, canonical
from core.ports import Call, Sorted
from core.record import Json
from tools.filling import fill
from tools.openapi.answers import Answers, ErrorAnswer, read
from tools.openapi.checks import faults
from tools.openapi.client import Answer, Client, Request
from tools.openapi.document import Operation
from tools.openapi.lookups import find
from tools.openapi.request import render
from tools.openapi.secrets import Secrets
from tools.openapi.signature import Signature
from tools.openapi.tables import Lookup, Source
from tools.sorting import sort
from tools.sorting.http import sort_status

_ANY_KEY = "k" * 64
"""Stands for the key while arguments are checked: what cannot be written is refused before a row is claimed."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How one operation is called. `fills`: arguments that the runtime gives, and what they stand for."""

    source: Source
    operation: Operation
    signature: Signature
    answers: Answers
    client: Client
    secrets: Secrets
    fills: Mapping[str, Json] = field(default_factory=dict)

    async def ask(self, call: Call, args: Mapping[str, Json], contract: Contract) -> Answer:
        """Send, and return a success. Raises ErrorAnswer, Refused, NotSent, and what httpx raises."""
        filled = {name: fill(value, call, args) for name, value in self.fills.items()}
        answer = await self.client.send(self.request({**args, **filled}, call.key), contract.timeout)
        if not 200 <= answer.status < 300:
            raise ErrorAnswer(self.operation.method, self.operation.path, answer)
        return answer

    def request(self, args: Mapping[str, Json], key: str) -> Request:
        """Write the request. Raises Refused."""
        headers = dict(self.source.headers)
        is_write = self.operation.method not in ("GET", "HEAD")
        if self.source.idempotency_header and is_write:
            headers[self.source.idempotency_header] = key
        address = self.source.base_url + self.operation.path
        most = self.source.request_bytes
        return render(self.operation.method, address, self.signature, args, headers=headers, most=most)


class OpenApiTool:
    """Implements `core.ports.Tool` over one operation. `probe`, `verify`: what to ask which other operation."""

    def __init__(
        self,
        contract: Contract,
        endpoint: Endpoint,
        *,
        probe: "tuple[Lookup, OpenApiTool] | None" = None,
        verify: "tuple[Lookup, OpenApiTool] | None" = None,
    ) -> None:
        self.contract = contract
        self.endpoint = endpoint
        self._probe = probe
        self._verify = verify

    def __repr__(self) -> str:
        return f"<tool {self.contract.name} ({self.contract.source})>"

    def check(self, args: Mapping[str, Json]) -> dict[str, Json]:
        try:
            normal: dict[str, Json] = json.loads(canonical(dict(args)))
        except NotCanonical as error:
            raise self._refused(f"the arguments have no canonical JSON: {error}") from error
        if wrong := faults(self.contract.args_schema, normal):
            raise self._refused("; ".join(wrong))
        stand_ins = dict.fromkeys(self.endpoint.fills, _ANY_KEY)
        try:
            self.endpoint.request({**normal, **stand_ins}, _ANY_KEY)
        except Refused as error:
            raise self._refused(error.message) from error
        return normal

    async def preflight(self, call: Call, args: Mapping[str, Json]) -> dict[str, Json]:  # noqa: ARG002 - the port's
        return {}

    async def send(self, call: Call, args: Mapping[str, Json]) -> Json:
        answer = await self.endpoint.ask(call, args, self.contract)
        if answer.cut and not self.contract.writes:
            raise Refused("response_too_large", f"the answer is of no use: {answer.cut}")
        result = self.endpoint.answers.result(answer)
        if isinstance(result, dict) and "opaque" in result and call.log is not None:
            call.log.warning("response.not_understood", tool=self.contract.name, problem=result.get("problem"))
        return result

    async def verify(self, call: Call, args: Mapping[str, Json], result: Json) -> bool | None:
        if self._verify is None:
            return None
        lookup, tool = self._verify
        return await tool.look(lookup, call, args, result) is not None

    async def probe(self, call: Call, args: Mapping[str, Json]) -> Json | None:
        if self._probe is None:
            raise LookupError(f"{self.contract.name} has no probe")
        lookup, tool = self._probe
        found = await tool.look(lookup, call, args, None)
        return None if found is None else self.endpoint.answers.found(found)

    async def look(self, lookup: Lookup, call: Call, args: Mapping[str, Json], result: Json) -> Json | None:
        """Ask this operation whether an effect is there: what is there, or None. Raises when that stays open."""
        asked = {name: fill(value, call, args, result) for name, value in lookup.args.items()}
        wanted = {pointer: fill(value, call, args, result) for pointer, value in lookup.where.items()}
        try:
            answer = await self.endpoint.ask(call, self.check(asked), self.contract)
        except ErrorAnswer as error:
            if error.answer.status in lookup.absent:
                return None
            raise
        value, problem = read(answer)
        if problem:
            raise LookupError(f"the answer of {self.contract.name} cannot be read: {problem}")
        return find(lookup, value if self.endpoint.operation.method != "HEAD" else {"status": answer.status}, wanted)

    def sort(self, error: BaseException) -> Sorted:
        match error:
            case ErrorAnswer():
                found = sort_status(error.answer.status, error, error.answer.headers, error.answer.text)
            case _:
                found = sort(error)
        return found.model_copy(update={"message": self.endpoint.secrets.hide(found.message)})

    def _refused(self, problem: str) -> Refused:
        return Refused("bad_arguments", f"{self.contract.name}: {problem}"[:2_000])
