"""Schemas of a document, as JSON Schema 2020-12 that stands by itself: for what is sent, or for what comes back.

OpenAPI 3.0 has a dialect of its own (``nullable``, ``exclusiveMinimum: true``); 3.1 is 2020-12. Only the words that
say which JSON fits are kept. A word whose checking has no bound in time is not: expressions that may backtrack are
told to the model in the description and left to the server.
"""

import json
import re
from collections import deque
from collections.abc import Callable, Collection, Mapping
from enum import StrEnum

from core.names import NotCanonical, canonical
from core.record import Json
from tools.openapi.document import Document, Tokens

Schema = dict[str, Json] | bool

_PLAIN = (
    "type", "enum", "const", "format", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "multipleOf", "minItems", "maxItems", "minProperties", "maxProperties", "required",
    "minContains", "maxContains", "default", "dependentRequired",
)  # fmt: skip
_ONE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_SEVERAL = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("properties", "dependentSchemas")
_OPEN = ("$dynamicRef", "$recursiveRef")
"""What these lead to depends on who asks; a value there may be anything."""

_LONGEST_TEXT = 400  # characters of a description
_MOST_PARTS = 3_000
_UNBOUNDED = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|([*+{])")
_BOUNDS = {"minimum": "exclusiveMinimum", "maximum": "exclusiveMaximum"}


class Direction(StrEnum):
    """Which way values go: what is ``readOnly`` is not sent, what is ``writeOnly`` does not come back."""

    SENT = "sent"
    RECEIVED = "received"


class TooLarge(Exception):
    """More parts than are of use to a model."""


class Schemas:
    """The schemas of one tool, one way. `definitions` fills up as schemas are converted.

    ``depth``: how many references deep they are followed; None = all. Deeper ones allow anything.
    """

    def __init__(self, document: Document, direction: Direction, depth: int | None = None) -> None:
        self._document = document
        self._direction = direction
        self._depth = depth
        self._names: dict[Tokens, str] = {}
        self._parts = 0
        self._waiting: deque[tuple[str, Json, Tokens, int]] = deque()
        self.definitions: dict[str, Schema] = {}

    def convert(self, raw: Json, tokens: Tokens) -> Schema:
        """Convert one schema and what it refers to. Raises BadDocument, TooLarge."""
        schema = self._convert(raw, tokens, 0)
        while self._waiting:  # one after the other, however long a chain of references is
            name, target, place, depth = self._waiting.popleft()
            self.definitions[name] = self._convert(target, place, depth)
        return schema

    def resolved(self, raw: Json, tokens: Tokens) -> tuple[dict[str, Json], Tokens]:
        """Follow the reference that a schema may be. Raises BadDocument."""
        return self._document.resolve(raw, tokens)

    def is_hidden(self, raw: Json, tokens: Tokens) -> bool:
        """Whether a property does not go this way."""
        if not isinstance(raw, dict):
            return False
        own, _ = self._document.resolve(raw, tokens)
        word = "readOnly" if self._direction is Direction.SENT else "writeOnly"
        return own.get(word) is True or raw.get(word) is True

    def _convert(self, raw: Json, tokens: Tokens, depth: int) -> Schema:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise TooLarge
        if isinstance(raw, bool):
            return raw
        if not isinstance(raw, dict):
            raise self._document.fail(tokens, "expected a schema, which is an object")
        if "$id" in raw:
            raise self._document.fail(tokens, "uses $id, which changes what references mean; remove it")
        if any(word in raw for word in _OPEN):
            return {}
        if "$ref" in raw:
            return self._reference(raw, tokens, depth)
        return self._nullable(raw, self._words(raw, tokens, depth))

    def _reference(self, raw: Mapping[str, Json], tokens: Tokens, depth: int) -> Schema:
        target, place = self._document.follow(raw["$ref"], tokens)
        if self._depth is not None and depth >= self._depth:
            return {}
        if place not in self._names:
            name = self._names[place] = _free_name(place, self.definitions)
            self.definitions[name] = True
            self._waiting.append((name, target, place, depth + 1))
        here: dict[str, Json] = {"$ref": f"#/$defs/{self._names[place]}"}
        if self._document.version == "3.0":  # beside a reference, nothing counts
            return here
        rest = {word: value for word, value in raw.items() if word != "$ref"}
        return {**self._words(rest, tokens, depth), **here}

    def _words(self, raw: Mapping[str, Json], tokens: Tokens, depth: int) -> dict[str, Json]:
        found = {word: raw[word] for word in _PLAIN if word in raw and not _is_beyond(word, raw[word])}
        if not _are_texts(found.get("type", [])):
            raise self._document.fail((*tokens, "type"), "expected the name of a type, or an array of names")
        if isinstance(names := found.get("required"), list):
            found["required"] = list({json.dumps(name): name for name in names}.values())
        if self._direction is Direction.SENT and raw.get("uniqueItems") is True:
            found["uniqueItems"] = True
        for word in _ONE:
            if word in raw:
                found[word] = self._convert(raw[word], (*tokens, word), depth)
        for word in _SEVERAL:
            if word in raw:
                found[word] = self._list(raw[word], (*tokens, word), depth)
        for word in _NAMED:
            if word in raw:
                found[word] = self._table(raw[word], (*tokens, word), depth)
        self._mend_bounds(found)
        self._leave_out(raw, found, tokens)
        self._patterns(raw, found, tokens)
        return found

    def _list(self, raw: Json, tokens: Tokens, depth: int) -> list[Schema]:
        if not isinstance(raw, list) or not raw:
            raise self._document.fail(tokens, "expected an array of schemas")
        return [self._convert(one, (*tokens, str(number)), depth) for number, one in enumerate(raw)]

    def _table(self, raw: Json, tokens: Tokens, depth: int) -> dict[str, Schema]:
        if not isinstance(raw, dict):
            raise self._document.fail(tokens, "expected an object of schemas")
        return {name: self._convert(one, (*tokens, name), depth) for name, one in raw.items()}

    def _mend_bounds(self, found: dict[str, Json]) -> None:
        """Write 3.0's ``minimum: 0, exclusiveMinimum: true`` as 2020-12 does."""
        for bound, exclusive in _BOUNDS.items():
            match found.get(exclusive):
                case True if bound in found:
                    found[exclusive] = found.pop(bound)
                case bool():
                    del found[exclusive]

    def _leave_out(self, raw: Mapping[str, Json], found: dict[str, Json], tokens: Tokens) -> None:
        """Take out what does not go this way; what comes back is only not required to be without it."""
        properties = raw.get("properties", {})
        hidden = {n for n, one in properties.items() if self.is_hidden(one, (*tokens, "properties", n))}
        if hidden and isinstance(found.get("required"), list):
            found["required"] = [name for name in found["required"] if name not in hidden]
        if hidden and self._direction is Direction.SENT:
            found["properties"] = {name: one for name, one in found["properties"].items() if name not in hidden}

    def _patterns(self, raw: Mapping[str, Json], found: dict[str, Json], tokens: Tokens) -> None:
        told = str(raw.get("description") or "").strip()[:_LONGEST_TEXT]
        pattern = raw.get("pattern")
        if pattern is not None and not isinstance(pattern, str):
            raise self._document.fail((*tokens, "pattern"), "expected a regular expression as text")
        if pattern is not None and self._direction is Direction.SENT:
            if _is_bounded(pattern):
                found["pattern"] = pattern
            told = f"{told} (the server expects: {pattern[:200]})".strip()
        if told and self._direction is Direction.SENT:
            found["description"] = told
        if raw.get("patternProperties"):
            found["additionalProperties"] = True

    def _nullable(self, raw: Mapping[str, Json], found: dict[str, Json]) -> dict[str, Json]:
        if self._document.version != "3.0" or raw.get("nullable") is not True:
            return found
        if isinstance(found.get("enum"), list) and None not in found["enum"]:
            found["enum"] = [*found["enum"], None]
        if isinstance(found.get("type"), str):
            return {**found, "type": [found["type"], "null"]}
        return {"anyOf": [found, {"type": "null"}]} if found else found


def within_budget(
    document: Document,
    tokens: Tokens,
    direction: Direction,
    build: Callable[[Schemas], dict[str, Json]],
    most_bytes: int,
) -> dict[str, Json]:
    """Build a schema with its ``$defs``, following references as deep as fits `most_bytes`. Raises BadDocument."""
    for depth in (None, 4, 2, 1, 0):
        schemas = Schemas(document, direction, depth)
        try:
            schema = build(schemas)
        except TooLarge:
            continue
        whole = {**schema, "$defs": schemas.definitions} if schemas.definitions else schema
        if len(_written(document, tokens, whole)) <= most_bytes:
            return whole
    raise document.fail(tokens, f"the schema has more than {most_bytes:,} bytes of its own")


def _written(document: Document, tokens: Tokens, schema: dict[str, Json]) -> bytes:
    try:
        return canonical(schema)
    except NotCanonical as error:
        raise document.fail(tokens, f"the schema has no canonical JSON (RFC 8785): {error}") from error


def _free_name(place: Tokens, taken: Collection[str]) -> str:
    stem = re.sub(r"[^A-Za-z0-9_.-]", "_", place[-1])[:60] or "schema"
    return stem if stem not in taken else f"{stem}_{len(taken)}"


def _are_texts(value: Json) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))


def _is_beyond(word: str, value: Json) -> bool:
    """Whether a bound or a default lies beyond 2^53, where no argument and no result can be (RFC 8785)."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return word not in ("enum", "const") and is_number and abs(value) >= 2**53


def _is_bounded(pattern: str) -> bool:
    """Whether an expression has at most one repetition and is one for Python: then matching cannot explode."""
    if len(pattern) > 200 or sum(found.group(1) is not None for found in _UNBOUNDED.finditer(pattern)) > 1:
        return False
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return False
    return True
