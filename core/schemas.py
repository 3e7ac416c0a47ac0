"""Just enough of JSON Schema to say that a reference is *certainly* wrong: which part, and which types it may have."""

from collections.abc import Iterator, Mapping

from core.record import Json
from core.references import INDEX, unescape

Schema = Mapping[str, Json] | bool
_NUMBERS = frozenset({"integer", "number"})


def _follow(schema: Schema, root: Schema) -> Schema:
    for _ in range(20):
        if not isinstance(schema, Mapping) or "$ref" not in schema:
            return schema
        ref = schema["$ref"]
        if not isinstance(ref, str) or not ref.startswith("#/"):
            return True
        found: Json = root
        for token in ref[2:].split("/"):
            found = found.get(unescape(token), True) if isinstance(found, Mapping) else True
        schema = found
    return True


def part_for(root: Schema, pointer: str) -> Schema:
    """Return the schema at a JSON pointer: True when anything may be there, False when certainly nothing is."""
    here: Schema = root
    for token in pointer.split("/")[1:]:
        here = _step_into(_follow(here, root), unescape(token))
        if isinstance(here, bool):
            return here
    return _follow(here, root)


def _step_into(schema: Schema, token: str) -> Schema:
    if not isinstance(schema, Mapping) or "anyOf" in schema or "oneOf" in schema or "allOf" in schema:
        return True
    properties = schema.get("properties", {})
    if token in properties:
        found: Schema = properties[token]
        return found
    if schema.get("type") == "object":
        rest: Schema = schema.get("additionalProperties", True)
        return rest if not schema.get("patternProperties") else True
    if schema.get("type") == "array":
        return _item(schema, token)
    return not (isinstance(schema.get("type"), str) and schema["type"] not in ("object", "array"))


def _item(schema: Mapping[str, Json], token: str) -> Schema:
    if not INDEX.fullmatch(token):
        return False
    prefix = schema.get("prefixItems", [])
    if int(token) < len(prefix):
        found: Schema = prefix[int(token)]
        return found
    rest: Schema = schema.get("items", True)
    return rest


def types_of(schema: Schema, root: Schema, depth: int = 8) -> frozenset[str] | None:
    """Return the JSON types that a value may have, or None when that cannot be said."""
    schema = _follow(schema, root)
    if not isinstance(schema, Mapping) or not depth:  # a union may hold itself
        return None
    if branches := schema.get("anyOf") or schema.get("oneOf"):
        found = [types_of(branch, root, depth - 1) for branch in branches]
        known = [types for types in found if types is not None]
        return frozenset().union(*known) if len(known) == len(found) else None
    match schema.get("type"):
        case str(one):
            return frozenset({one})
        case list(several):
            return frozenset(several)
    return None


def can_hold(wanted: frozenset[str] | None, given: frozenset[str] | None) -> bool:
    """Say whether a value of one of the `given` types may go where one of the `wanted` goes."""
    if wanted is None or given is None:
        return True
    if wanted & _NUMBERS and given & _NUMBERS:
        return True
    return bool(wanted & given)


def objects_in(value: Json) -> Iterator[dict[str, Json]]:
    """Yield every object within a JSON value, itself first; of a schema: all its parts, and its tables of parts."""
    match value:
        case dict():
            yield value
            for item in value.values():
                yield from objects_in(item)
        case list():
            for item in value:
                yield from objects_in(item)
