"""A table and its document into tools. Every fault of both is collected, so that one load shows them all."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NoReturn

from core.contract import Contract, Effect
from core.names import RESERVED_TOOL_NAMES, likeness
from core.record import Json
from tools.filling import fault_in
from tools.openapi.addresses import Reachable
from tools.openapi.answers import read_answers
from tools.openapi.checks import problem_with
from tools.openapi.client import Client
from tools.openapi.document import Document, Operation
from tools.openapi.faults import BadDocument, Fault, Place, SourceFaults
from tools.openapi.secrets import Secrets
from tools.openapi.signature import Signature, Wishes, read_signature
from tools.openapi.tables import ContractTable, Lookup, Source
from tools.openapi.tool import Endpoint, OpenApiTool
from tools.options import Fail, Options

MOST_TOOLS = 100
"""Of one source: more than that no model can choose among, and each is in every prompt."""

UNFORESEEN = "is written in a way that nobody foresaw; leave the operation out, and report it"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_OPTIONS = (
    "timeout",
    "attempts",
    "key_window",
    "settle_time",
    "fresh_for",
    "result_cap",
    "approve_hint",
    "identity",
)
_LONGEST_NAME = 64
_LONGEST_TEXT = 1_500  # characters of a description


@dataclass(frozen=True, slots=True)
class LoadedSource:
    """A source that can be used: its tools by name, and the client that they share."""

    name: str
    tools: Mapping[str, OpenApiTool]
    client: Client
    secrets: Secrets

    async def aclose(self) -> None:
        """Close the client."""
        await self.client.aclose()

    def missing(self) -> list[str]:
        """Name the environment variables that are not set."""
        return self.secrets.missing()


def load_source(source: Source, folder: Path, environ: Mapping[str, str]) -> LoadedSource:
    """Load one ``[[openapi]]``; `folder`: where `spec` starts. Raises SourceFaults naming all faults."""
    return _Loader(source, folder, environ).load()


class _Wrong(Exception):
    """One fault of one operation; `place` is below the source's table."""

    def __init__(self, place: Place, problem: str) -> None:
        super().__init__(problem)
        self.fault = Fault(place, problem)


@dataclass(frozen=True, slots=True)
class _Names:
    """The arguments of one operation as `Options` wants to know them."""

    names: tuple[str, ...]
    free_text: tuple[str, ...] = ()


class _Loader:
    """Loads one source; `_faults` gathers what is wrong."""

    def __init__(self, source: Source, folder: Path, environ: Mapping[str, str]) -> None:
        self._source = source
        self._path = folder / source.spec
        self._secrets = Secrets(source.auth, environ)
        self._faults: list[Fault] = []

    def load(self) -> LoadedSource:
        document, operations = self._document()
        self._check_address()
        client = Client(self._source, self._secrets)
        parts = {one.id: part for one in operations if (part := self._part(document, one, client)) is not None}
        tools = self._tools(parts)
        if self._faults:
            raise SourceFaults(self._faults)
        return LoadedSource(self._source.name, tools, client, self._secrets)

    # ------------------------------------------------------------------------------------------------ the document

    def _document(self) -> tuple[Document, list[Operation]]:
        try:
            document = Document.read(self._path)
            known = list(document.operations())
        except BadDocument as error:
            raise SourceFaults([Fault(("spec",), str(error))]) from error
        self._check_names([one.id for one in known])
        wanted = [one for one in known if self._is_wanted(one.id)]
        if not wanted and not self._faults:
            self._fault(("spec",), f"{self._path}: there is no operation in it that is wanted")
        if len(wanted) > MOST_TOOLS:
            problem = f"{len(wanted)} operations would become tools, and at most {MOST_TOOLS} may; name those that are"
            raise SourceFaults([Fault(("only",), f"{problem} needed in `only`")])
        return document, wanted

    def _check_names(self, known: Sequence[str]) -> None:
        named = {
            "only": self._source.only,
            "except": self._source.leave_out,
            "contracts": tuple(self._source.contracts),
        }
        for key, names in named.items():
            for number, name in enumerate(names):
                if not any(fnmatchcase(one, name) for one in known):
                    place: Place = (key, name) if key == "contracts" else (key, number)
                    self._fault(place, f"there is no operation {name!r} in {self._path.name}; {_some(known)}")

    def _is_wanted(self, name: str) -> bool:
        chosen = not self._source.only or any(fnmatchcase(name, one) for one in self._source.only)
        return chosen and not any(fnmatchcase(name, one) for one in self._source.leave_out)

    def _check_address(self) -> None:
        host = re.sub(r"^https?://(\[([^\]]*)\]|([^/:]*)).*$", r"\2\3", self._source.base_url)
        is_figures = bool(re.fullmatch(r"[0-9.]+|.*:.*", host))
        if is_figures and not Reachable(self._source.private_addresses).allows(host):
            problem = f"{host} is not a public address; list it: private_addresses = [{host!r}], if it is meant"
            self._fault(("base_url",), problem.replace("'", '"'))

    # ---------------------------------------------------------------------------------------------- the operations

    def _part(self, document: Document, operation: Operation, client: Client) -> tuple[Contract, Endpoint] | None:
        try:
            return self._built(document, operation, client)
        except BadDocument as error:
            self._fault((), str(error))
        except _Wrong as error:
            self._faults.append(error.fault)
        except Exception as error:  # noqa: BLE001 - a document may hold anything, and nobody is to see a traceback
            self._fault((), document.fault(operation.tokens, f"{UNFORESEEN} ({type(error).__name__})"))
        return None

    def _built(self, document: Document, operation: Operation, client: Client) -> tuple[Contract, Endpoint]:
        table = self._source.contracts.get(operation.id, ContractTable())
        name = self._name(operation, table)
        wishes = self._wishes(operation, table)
        signature = read_signature(document, operation, wishes)
        answers = read_answers(document, operation, table.headers)
        fills = self._fills(operation, table, signature)
        endpoint = Endpoint(self._source, operation, signature, answers, client, self._secrets, fills)
        schema = signature.schema(tuple(fills))
        if problem := problem_with(schema):
            raise document.fail(operation.tokens, f"the schema of its arguments {problem}")
        return self._contract(operation, table, name, endpoint, schema), endpoint

    def _name(self, operation: Operation, table: ContractTable) -> str:
        name = table.name or _short(self._source.prefix + re.sub(r"[^A-Za-z0-9]+", "_", operation.id).strip("_"))
        if not _NAME.fullmatch(name) or name in RESERVED_TOOL_NAMES:
            problem = f"its tool would be called {name[:80]!r}; give it another, of up to 64 letters, digits and _"
            raise _Wrong(("contracts", operation.id, "name"), problem)
        return name

    def _wishes(self, operation: Operation, table: ContractTable) -> Wishes:
        own = {name.lower() for name in self._source.headers}
        auth, ours = self._source.auth, self._source.idempotency_header
        is_version = operation.method == "PUT" and table.effect in (None, "idempotent")
        return Wishes(
            omit=frozenset(table.omit),
            own_headers=frozenset(own | {one.lower() for one in (ours, auth and auth.header) if one}),
            own_query=frozenset({auth.query} if auth and auth.query else ()),
            needs_version=is_version,
        )

    def _fills(self, operation: Operation, table: ContractTable, signature: Signature) -> dict[str, Json]:
        fills = {**table.fill, **({table.key: "$key"} if table.key else {})}
        for name, value in fills.items():
            place: Place = ("contracts", operation.id, "key" if name == table.key else "fill")
            if name not in signature.names:
                raise _Wrong(place, f"there is no argument {name!r}; they are: {_some(signature.names)}")
            if wrong := fault_in(value, trees=("$args", "$inputs")):
                raise _Wrong(place, wrong)
        return fills

    # ----------------------------------------------------------------------------------------------- the contracts

    def _contract(
        self, operation: Operation, table: ContractTable, name: str, endpoint: Endpoint, schema: dict[str, Json]
    ) -> Contract:
        place: Place = ("contracts", operation.id)

        def fail(problem: str) -> NoReturn:
            raise _Wrong(place, problem)

        shown = tuple(schema["properties"])
        given = {word: value for word in _OPTIONS if (value := getattr(table, word)) is not None}
        effect = table.effect or _effect(operation, endpoint.signature)
        fields = Options(fail, _Names(shown), {"effect": effect, **given}).read()
        self._check_effect(fields["effect"], table, endpoint, fail)
        return Contract(
            name=name,
            description=_description(operation, table, endpoint.signature),
            args_schema=schema,
            result_schema=endpoint.answers.schema(),
            has_verify=table.verify is not None,
            has_probe=table.probe is not None,
            source=f"openapi:{self._source.name}",
            **fields,
        )

    def _check_effect(self, effect: Effect, table: ContractTable, endpoint: Endpoint, fail: Fail) -> None:
        carries_key = bool(self._source.idempotency_header) or _holds_key(endpoint.fills)
        match effect:
            case Effect.TRANSACTIONAL:
                fail('effect="transactional" is for tools that write into a database; here there is none')
            case Effect.KEYED if not carries_key:
                fail('effect="keyed" needs idempotency_header = "..." of the source, or key = "ARGUMENT"')
            case Effect.PROBED if table.probe is None:
                fail('effect="probed" needs probe = {operation = "...", ...}')
            case Effect.READ if table.probe or table.verify:
                fail("a read has no probe and no verify; it is simply asked again")

    def _tools(self, parts: Mapping[str, tuple[Contract, Endpoint]]) -> dict[str, OpenApiTool]:
        bare = {name: OpenApiTool(contract, endpoint) for name, (contract, endpoint) in parts.items()}
        found: dict[str, OpenApiTool] = {}
        for operation, (contract, endpoint) in parts.items():
            try:
                tool = OpenApiTool(contract, endpoint, **dict(self._lookups(operation, bare)))
            except _Wrong as error:
                self._faults.append(error.fault)
                continue
            if contract.name in found:
                problem = f"two operations would become the tool {contract.name!r}; give one a name of its own"
                self._fault(("contracts", operation, "name"), problem)
            found[contract.name] = tool
        return found

    def _lookups(
        self, operation: str, tools: Mapping[str, OpenApiTool]
    ) -> Iterator[tuple[str, tuple[Lookup, OpenApiTool]]]:
        table = self._source.contracts.get(operation, ContractTable())
        for word, lookup in (("probe", table.probe), ("verify", table.verify)):
            if lookup is not None:
                place: Place = ("contracts", operation, word)
                yield word, (lookup, self._asked(place, lookup, tools, is_verify=word == "verify"))

    def _asked(self, place: Place, lookup: Lookup, tools: Mapping[str, OpenApiTool], *, is_verify: bool) -> OpenApiTool:
        if (tool := tools.get(lookup.operation)) is None:
            raise _Wrong(
                (*place, "operation"), f"there is no operation {lookup.operation!r} among the tools; {_some(tools)}"
            )
        if tool.contract.writes:
            raise _Wrong((*place, "operation"), f"{lookup.operation} may write; a look-up has to be a read")
        trees = ("$args", "$inputs", "$result") if is_verify else ("$args", "$inputs")
        for value in (*lookup.args.values(), *lookup.where.values()):
            if wrong := fault_in(value, trees=trees):
                raise _Wrong(place, wrong)
        schema = tool.contract.args_schema
        if unknown := sorted(set(lookup.args) - set(schema["properties"])):
            raise _Wrong(
                (*place, "args"),
                f"{lookup.operation} has no argument {unknown[0]!r}; they are: {_some(schema['properties'])}",
            )
        if lacking := sorted(set(schema.get("required", ())) - set(lookup.args)):
            raise _Wrong((*place, "args"), f"{lookup.operation} needs {lacking[0]!r}")
        return tool

    def _fault(self, place: Place, problem: str) -> None:
        self._faults.append(Fault(place, problem))


def _short(name: str) -> str:
    """Cut a name that is too long for models, and keep it distinct."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 9]}_{likeness(name)[:8]}"


def _effect(operation: Operation, signature: Signature) -> str:
    """GET and HEAD read; a PUT that says which version it replaces may be sent again; all else may not."""
    if operation.method in ("GET", "HEAD"):
        return Effect.READ
    is_versioned = any(slot.wire.lower() == "if-match" and slot.place == "header" for slot in signature.slots)
    return Effect.IDEMPOTENT if operation.method == "PUT" and is_versioned else Effect.UNREPEATABLE


def _description(operation: Operation, table: ContractTable, signature: Signature) -> str:
    texts = [operation.raw.get("summary"), operation.raw.get("description")]
    said = "\n".join(dict.fromkeys(text.strip() for text in texts if isinstance(text, str) and text.strip()))
    text = table.description or said[:_LONGEST_TEXT] or f"{operation.method} {operation.path}"
    return "\n".join([text, *([f"({'; '.join(renamed)})"] if (renamed := signature.renamed()) else [])])


def _holds_key(value: Json) -> bool:
    match value:
        case str():
            return value == "$key"
        case Mapping():
            return any(_holds_key(one) for one in value.values())
        case list():
            return any(_holds_key(one) for one in value)
    return False


def _some(names: Sequence[str] | Mapping[str, Json]) -> str:
    listed = [str(name)[:60] for name in list(names)[:12]]
    return f"known are: {', '.join(listed)}{' ...' if len(names) > 12 else ''}" if listed else "there are none"
