"""The body of one operation: JSON or a form, as separate arguments where its schema is a plain object."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from core.record import Json
from tools.openapi.document import Document, Operation, Tokens
from tools.openapi.parsing import body_of
from tools.openapi.schemas import Schema, Schemas

_FORM = "application/x-www-form-urlencoded"


class Kind(StrEnum):
    """How a body is written."""

    JSON = "json"
    FORM = "form"


@dataclass(frozen=True, slots=True)
class Field:
    """One property of a body; `name` is "" for a body that is one argument as a whole."""

    name: str
    is_required: bool
    schema: Schema


@dataclass(frozen=True, slots=True)
class Body:
    """What an operation takes as body."""

    kind: Kind
    media_type: str
    is_required: bool
    fields: tuple[Field, ...]

    @property
    def is_whole(self) -> bool:
        """Whether the body is one argument."""
        return any(not field.name for field in self.fields)

    @property
    def required(self) -> frozenset[str]:
        """The properties without which there is no body."""
        return frozenset(field.name for field in self.fields if field.is_required and field.name)


def read_body(document: Document, operation: Operation, schemas: Schemas, omit: frozenset[str]) -> Body | None:
    """Read the body; None when there is none. Raises BadDocument for one that cannot be expressed."""
    if operation.raw.get("requestBody") is None:
        return None
    raw, tokens = document.resolve(operation.raw["requestBody"], (*operation.tokens, "requestBody"))
    is_required = bool(body_of(document, raw, tokens).required)
    if "body" in omit and not is_required:
        return None
    content = raw.get("content") or {}
    media_type, kind = _media_type(document, content, (*tokens, "content"))
    place: Tokens = (*tokens, "content", media_type, "schema")
    schema = (content[media_type] or {}).get("schema", {})
    if kind is Kind.FORM and (content[media_type] or {}).get("encoding"):
        raise document.fail(
            (*place[:-1], "encoding"), "an encoding of form fields is not supported; leave the operation out"
        )
    fields = _fields(document, schemas, schema, place, omit)
    if kind is Kind.FORM and any(not field.name for field in fields):
        raise document.fail(place, "a form whose schema is no plain object is not supported; leave the operation out")
    return Body(kind, media_type, is_required, fields)


def _media_type(document: Document, content: Mapping[str, Json], tokens: Tokens) -> tuple[str, Kind]:
    kinds = {name: kind for name in content if (kind := _kind(name)) is not None}
    for wanted in Kind:
        for name, kind in kinds.items():
            if kind is wanted:
                return name, kind
    found = ", ".join(content)[:200] or "nothing"
    raise document.fail(tokens, f"expected application/json or {_FORM}, found {found}; leave the operation out")


def _kind(media_type: str) -> Kind | None:
    plain = media_type.partition(";")[0].strip().lower()
    if plain == _FORM:
        return Kind.FORM
    return Kind.JSON if plain in ("application/json", "*/*") or plain.endswith("+json") else None


def _fields(document: Document, schemas: Schemas, raw: Json, tokens: Tokens, omit: frozenset[str]) -> tuple[Field, ...]:
    plain, place = schemas.resolved(raw, tokens) if isinstance(raw, dict) else ({}, tokens)
    if not _is_flat(plain):
        return (Field("", is_required=True, schema=schemas.convert(raw, tokens)),)
    required = set(plain.get("required") or ())
    found = []
    for name, one in plain["properties"].items():
        at: Tokens = (*place, "properties", name)
        if schemas.is_hidden(one, at):
            continue
        if name in omit or f"body.{name}" in omit:
            if name in required:
                raise document.fail(at, f"{name!r} is required, and `omit` names it")
            continue
        found.append(Field(name, is_required=name in required, schema=schemas.convert(one, at)))
    return tuple(found)


_FLAT = frozenset(
    {"type", "properties", "required", "title", "description", "example", "examples", "xml", "externalDocs"}
)


def _is_flat(schema: Mapping[str, Json]) -> bool:
    """Whether an object is no more than its properties: then they can stand beside the parameters."""
    properties, names = schema.get("properties"), schema.get("required") or ()
    if not isinstance(properties, dict) or not properties or not isinstance(names, list | tuple):
        return False
    words = {word for word in schema if not word.startswith("x-")}
    is_closed = schema.get("type", "object") == "object" and schema.get("additionalProperties", False) is False
    return is_closed and set(map(str, names)) <= set(properties) and words <= _FLAT | {"additionalProperties"}
