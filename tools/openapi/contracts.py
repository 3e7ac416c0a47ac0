"""One operation and what the table says of it into a contract, and a way to call it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from core.contract import Contract, Effect
from core.names import RESERVED_TOOL_NAMES, likeness
from core.record import Json
from tools.filling import fault_in
from tools.openapi.answers import read_answers
from tools.openapi.checks import problem_with
from tools.openapi.client import Client
from tools.openapi.document import Document, Operation
from tools.openapi.faults import Place, Wrong, listed
from tools.openapi.secrets import Secrets
from tools.openapi.signature import Signature, Wishes, read_signature
from tools.openapi.tables import ContractTable, Source
from tools.openapi.tool import Endpoint
from tools.options import Fail, Options

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
class _Names:
    """The arguments of one operation as `Options` wants to know them."""

    names: tuple[str, ...]
    free_text: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Drafting:
    """Writes the contracts of one source. Each method raises BadDocument or Wrong."""

    source: Source
    secrets: Secrets
    client: Client

    def draft(self, document: Document, operation: Operation) -> tuple[Contract, Endpoint]:
        """Write the contract of an operation, and how it is called."""
        table = self.source.contracts.get(operation.id, ContractTable())
        name = self._name(operation, table)
        signature = read_signature(document, operation, self._wishes(operation, table))
        answers = read_answers(document, operation, table.headers)
        fills = _fills(operation, table, signature)
        endpoint = Endpoint(self.source, operation, signature, answers, self.client, self.secrets, fills)
        schema = signature.schema(tuple(fills))
        if problem := problem_with(schema):
            raise document.fail(operation.tokens, f"the schema of its arguments {problem}")
        return self._contract(operation, table, name, endpoint, schema), endpoint

    def _name(self, operation: Operation, table: ContractTable) -> str:
        name = table.name or _short(self.source.prefix + re.sub(r"[^A-Za-z0-9]+", "_", operation.id).strip("_"))
        if not _NAME.fullmatch(name) or name in RESERVED_TOOL_NAMES:
            problem = f"its tool would be called {name[:80]!r}; give it another, of up to 64 letters, digits and _"
            raise Wrong(("contracts", operation.id, "name"), problem)
        return name

    def _wishes(self, operation: Operation, table: ContractTable) -> Wishes:
        own = {name.lower() for name in self.source.headers}
        auth, ours = self.source.auth, self.source.idempotency_header
        is_version = operation.method == "PUT" and table.effect in (None, "idempotent")
        return Wishes(
            omit=frozenset(table.omit),
            own_headers=frozenset(own | {one.lower() for one in (ours, auth and auth.header) if one}),
            own_query=frozenset({auth.query} if auth and auth.query else ()),
            needs_version=is_version,
        )

    def _contract(
        self, operation: Operation, table: ContractTable, name: str, endpoint: Endpoint, schema: dict[str, Json]
    ) -> Contract:
        place: Place = ("contracts", operation.id)

        def fail(problem: str) -> NoReturn:
            raise Wrong(place, problem)

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
            has_undo=table.undo is not None,
            source=f"openapi:{self.source.name}",
            **fields,
        )

    def _check_effect(self, effect: Effect, table: ContractTable, endpoint: Endpoint, fail: Fail) -> None:
        carries_key = bool(self.source.idempotency_header) or _holds_key(endpoint.fills)
        match effect:
            case Effect.TRANSACTIONAL:
                fail('effect="transactional" is for tools that write into a database; here there is none')
            case Effect.KEYED if not carries_key:
                fail('effect="keyed" needs idempotency_header = "..." of the source, or key = "ARGUMENT"')
            case Effect.PROBED if table.probe is None:
                fail('effect="probed" needs probe = {operation = "...", ...}')
            case Effect.READ if table.probe or table.verify:
                fail("a read has no probe and no verify; it is simply asked again")


def _fills(operation: Operation, table: ContractTable, signature: Signature) -> dict[str, Json]:
    fills = {**table.fill, **({table.key: "$key"} if table.key else {})}
    for name, value in fills.items():
        place: Place = ("contracts", operation.id, "key" if name == table.key else "fill")
        if name not in signature.names:
            raise Wrong(place, f"there is no argument {name!r}; they are: {listed(signature.names)}")
        if wrong := fault_in(value, trees=("$args", "$inputs")):
            raise Wrong(place, wrong)
    return fills


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
