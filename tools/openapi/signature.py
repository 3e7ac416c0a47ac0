"""What one operation takes: parameters and body as one flat list of arguments, and the schema that the planner sees.

Where a name stands twice (an ``id`` in the path and one in the body) each gets its place in front: ``path_id``,
``body_id``. Characters other than letters, digits, ``_`` and ``-`` become ``_``. Both are said in the description.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from core.record import Json
from core.schemas import types_of
from tools.openapi.body import Body, Field, read_body
from tools.openapi.document import Document, Operation, Tokens
from tools.openapi.parsing import parameter_of
from tools.openapi.schemas import Direction, Schema, Schemas, within_budget

_LARGEST = 32 * 1024  # bytes of the schema of one tool's arguments
_IGNORED = frozenset({"accept", "content-type", "authorization"})
"""Headers that are no parameters, whatever the document says (OpenAPI 3.1.1, 4.8.12.2)."""
_SCALARS = frozenset({"string", "number", "integer", "boolean", "null"})
_STYLES = {"path": "simple", "query": "form", "header": "simple"}
_PATH = re.compile(r"/[^\s?#\\]*(\?[A-Za-z0-9_.~%=&-]*)?")
_TEMPLATE = re.compile(r"\{([^{}]*)\}")


class Place(StrEnum):
    """Where an argument goes."""

    PATH = "path"
    QUERY = "query"
    HEADER = "header"
    BODY = "body"


@dataclass(frozen=True, slots=True)
class Slot:
    """One argument. `wire`: its name in the request; ``""`` for a whole body. `exploded`: lists are repeated names."""

    argument: str
    wire: str
    place: Place
    is_required: bool
    schema: Schema
    exploded: bool = True
    is_deep: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """All that an operation takes. `body`: None when it has none. `renamed`: what to say of names that were changed."""

    slots: tuple[Slot, ...]
    body: Body | None
    definitions: Mapping[str, Schema]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all arguments."""
        return tuple(slot.argument for slot in self.slots)

    def schema(self, hidden: Sequence[str]) -> dict[str, Json]:
        """Write the schema of the arguments, without those that the runtime fills in."""
        shown = [slot for slot in self.slots if slot.argument not in hidden]
        properties = {slot.argument: slot.schema for slot in shown}
        whole: dict[str, Json] = {"type": "object", "properties": properties, "additionalProperties": False}
        if required := [slot.argument for slot in shown if slot.is_required]:
            whole["required"] = required
        if together := self._together(shown):
            whole["dependentRequired"] = together
        return {**whole, "$defs": dict(self.definitions)} if self.definitions else whole

    def renamed(self) -> list[str]:
        """Say which arguments are called otherwise than the document calls them."""
        changed = [slot for slot in self.slots if slot.wire and slot.wire != slot.argument]
        return [f"`{slot.argument}` is {slot.wire!r} in the {slot.place}" for slot in changed]

    def _together(self, shown: Sequence[Slot]) -> dict[str, Json]:
        """In a body that may be left out, what it requires is required as soon as any part of it is given."""
        if self.body is None or self.body.is_required:
            return {}
        parts = [slot.argument for slot in shown if slot.place is Place.BODY and slot.wire]
        needed = [slot.argument for slot in shown if slot.wire in self.body.required and slot.place is Place.BODY]
        return {name: [one for one in needed if one != name] for name in parts if set(needed) - {name}}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the table says of the arguments: names that are never sent, and headers and parameters of the client."""

    omit: frozenset[str]
    own_headers: frozenset[str]
    own_query: frozenset[str]
    needs_version: bool


def read_signature(document: Document, operation: Operation, wishes: Wishes) -> Signature:
    """Read what an operation takes. Raises BadDocument, naming what cannot be expressed."""
    found: list[Signature] = []

    def build(schemas: Schemas) -> dict[str, Json]:
        reader = _Reader(document, operation, wishes, schemas)
        found.append(reader.read())
        return found[-1].schema(())

    within_budget(document, operation.tokens, Direction.SENT, build, _LARGEST)
    return found[-1]


class _Reader:
    """Reads one operation, with the schemas of one depth."""

    def __init__(self, document: Document, operation: Operation, wishes: Wishes, schemas: Schemas) -> None:
        self._document = document
        self._operation = operation
        self._wishes = wishes
        self._schemas = schemas

    def read(self) -> Signature:
        slots = [slot for raw, tokens in self._parameters() if (slot := self._slot(raw, tokens)) is not None]
        self._check_path(slots)
        body = read_body(self._document, self._operation, self._schemas, self._wishes.omit)
        slots += [_of_body(field, body) for field in body.fields] if body else []
        return Signature(tuple(self._named(slots)), body, self._schemas.definitions)

    def _parameters(self) -> Iterator[tuple[dict[str, Json], Tokens]]:
        """Yield the parameters of the path and of the operation; the operation's own win."""
        found: dict[tuple[Json, Json], tuple[dict[str, Json], Tokens]] = {}
        for owner, tokens in (
            (self._operation.shared, self._operation.tokens[:-1]),
            (self._operation.raw, self._operation.tokens),
        ):
            listed = owner.get("parameters", [])
            if not isinstance(listed, list):
                raise self._document.fail((*tokens, "parameters"), "expected an array")
            for number, one in enumerate(listed):
                raw, place = self._document.resolve(one, (*tokens, "parameters", str(number)))
                found[(str(raw.get("name")), str(raw.get("in")))] = raw, place
        yield from found.values()

    def _slot(self, raw: dict[str, Json], tokens: Tokens) -> Slot | None:
        parameter = parameter_of(self._document, raw, tokens)
        name, place, is_required = parameter.name, str(parameter.param_in.value), bool(parameter.required)
        if self._is_ours(name, place):
            return None
        if name in self._wishes.omit or f"{place}.{name}" in self._wishes.omit:
            self._check_omitted(name, tokens, is_required=is_required)
            return None
        if place == "cookie":
            raise self._document.fail(tokens, f"{name!r} goes into a cookie, which is not sent; name it in `omit`")
        if raw.get("schema") is None:
            raise self._document.fail(tokens, f"{name!r} has no schema (`content` is not supported); name it in `omit`")
        is_version = place == "header" and name.lower() == "if-match" and self._wishes.needs_version
        schema = self._described(raw, self._schemas.convert(raw["schema"], (*tokens, "schema")))
        slot = Slot(name, name, Place(place), is_required or place == "path" or is_version, schema)
        return self._styled(slot, raw, tokens)

    def _is_ours(self, name: str, place: str) -> bool:
        match place:
            case "header":
                return name.lower() in _IGNORED | self._wishes.own_headers
            case "query":
                return name in self._wishes.own_query
        return False

    def _check_omitted(self, name: str, tokens: Tokens, *, is_required: bool) -> None:
        if is_required:
            raise self._document.fail(tokens, f"{name!r} is required, and `omit` names it")

    def _described(self, raw: Mapping[str, Json], schema: Schema) -> Schema:
        told = str(raw.get("description") or "").strip()[:400]
        if not told or not isinstance(schema, dict) or "description" in schema:
            return schema
        return {**schema, "description": told}

    def _styled(self, slot: Slot, raw: Mapping[str, Json], tokens: Tokens) -> Slot:
        """Say how lists and objects are written; refuse what is not supported, by its name."""
        usual = _STYLES[slot.place]
        style = str(raw.get("style") or usual)
        types = types_of(slot.schema, {"$defs": self._schemas.definitions})
        if style not in (usual, "deepObject"):
            raise self._document.fail(
                tokens, f"{slot.wire!r} has style {style!r}, which is not supported; name it in `omit`"
            )
        explode = raw.get("explode")
        exploded = explode if isinstance(explode, bool) else usual == "form"
        if style == "deepObject":
            return replace(slot, is_deep=True)
        if types is not None and "object" in types:
            how = f"style {style!r} with explode {str(exploded).lower()}"
            raise self._document.fail(
                tokens, f"{slot.wire!r} is an object in {how}, which is not supported; name it in `omit`"
            )
        limited = slot.schema if types is not None else _limited(slot.schema)
        return replace(slot, exploded=exploded, schema=limited)

    def _check_path(self, slots: Sequence[Slot]) -> None:
        if not _PATH.fullmatch(self._operation.path):  # one without a / in front would belong to another host
            raise self._document.fail(self._operation.tokens[:2], "expected a path: a / in front, no blanks, ? or #")
        wanted = set(_TEMPLATE.findall(self._operation.path))
        given = {slot.wire for slot in slots if slot.place is Place.PATH}
        if lacking := sorted(wanted - given):
            raise self._document.fail(
                self._operation.tokens, f"the path has {{{lacking[0]}}}, and no path parameter of this name"
            )
        if unknown := sorted(given - wanted):
            raise self._document.fail(self._operation.tokens, f"the path parameter {unknown[0]!r} is not in the path")

    def _named(self, slots: Sequence[Slot]) -> list[Slot]:
        counts = Counter(_word(slot.argument) for slot in slots)
        named = [replace(slot, argument=_distinct(slot, counts)) for slot in slots]
        again = Counter(slot.argument for slot in named)
        if twice := next((slot for slot in named if again[slot.argument] > 1), None):
            problem = f"two arguments would be called {twice.argument!r}; name one in `omit`"
            raise self._document.fail(self._operation.tokens, problem)
        return named


def _of_body(field: Field, body: Body) -> Slot:
    is_needed = field.is_required and body.is_required
    return Slot(field.name or "body", field.name, Place.BODY, is_needed, field.schema)


def _limited(schema: Schema) -> Schema:
    """A parameter that may be anything may be what can be written: one value, or a list of them."""
    return {"allOf": [schema], "type": ["string", "number", "boolean", "array"]} if schema is not False else schema


def _distinct(slot: Slot, counts: Mapping[str, int]) -> str:
    word = _word(slot.argument)
    return word if counts[word] == 1 else f"{slot.place}_{word}"


def _word(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:100]
    return plain if re.match(r"[A-Za-z_]", plain) else f"_{plain}"
