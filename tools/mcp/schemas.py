"""Which JSON Schemas of a server are used at all, and the checking of values against them.

A server may say anything. A schema that fetches, that never ends or that is no schema would stop whoever checks with
it, so such a tool is not accepted (JSON Schema 2020-12; https://json-schema.org/draft/2020-12).
"""

import json
from collections.abc import Iterator, Mapping

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from core.record import Json
from core.references import escape, unescape
from core.schemas import objects_in

_LARGEST = 256 * 1024  # bytes
_DEEPEST = 40  # levels
_MOST_FAULTS = 10
_IN_PLACE = ("allOf", "anyOf", "oneOf")
_IN_PLACE_ONE = ("not", "if", "then", "else")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


def problem_with(schema: Json, *, is_arguments: bool) -> str:
    """Say why a schema cannot be used; "" when it can. That of arguments has to describe an object."""
    if not isinstance(schema, dict):
        return "is no JSON Schema object"
    if is_arguments and schema.get("type") != "object":
        return 'does not say type = "object"'
    if not _depth_at_most(schema, _DEEPEST):
        return f"is nested deeper than {_DEEPEST} levels"
    if (size := len(json.dumps(schema))) > _LARGEST:
        return f"has {size:,} bytes, and at most {_LARGEST:,} are used"
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"is no JSON Schema (2020-12): {error.message[:200]}"
    except Exception as error:  # noqa: BLE001 - patterns that are none, numbers beyond any float
        return f"is no JSON Schema (2020-12): {type(error).__name__}"
    return _bad_reference(schema)


def faults(schema: Mapping[str, Json], value: Json) -> list[str]:
    """Name what is wrong with a value, at most ten faults, each with its place."""
    try:
        errors = list(_first(Draft202012Validator(schema).iter_errors(value)))
    except Exception as error:  # noqa: BLE001 - a pattern or a number that the checker cannot take
        return [f"cannot be checked: {type(error).__name__}: {error}"[:300]]
    return [f"{_place(error.absolute_path)}{error.message[:200]}" for error in errors]


def _first(errors: Iterator[Json]) -> Iterator[Json]:
    for number, error in enumerate(errors):
        if number == _MOST_FAULTS:
            return
        yield error


def _place(path: Json) -> str:
    at = "".join(f"/{escape(str(part))}" for part in path)
    return f"{at}: " if at else ""


def _depth_at_most(value: Json, depth: int) -> bool:
    if depth == 0:
        return False
    match value:
        case dict():
            return all(_depth_at_most(item, depth - 1) for item in value.values())
        case list():
            return all(_depth_at_most(item, depth - 1) for item in value)
    return True


def _bad_reference(root: Mapping[str, Json]) -> str:
    for part in objects_in(root):
        for word in _REFERENCES:
            if isinstance(ref := part.get(word), str) and _target(root, ref) is None:
                return f"refers to {ref[:100]!r}, which is not in it"
        if part is not root and isinstance(part.get("$id"), str):
            return "has a part with an $id of its own"
    return "refers to itself without end" if any(_is_endless(root, part) for part in objects_in(root)) else ""


def _target(root: Json, ref: str) -> Json:
    """Return what a reference within the document leads to; None when it leads out, or nowhere."""
    if ref != "#" and not ref.startswith("#/"):
        return None
    found = root
    for token in ref[2:].split("/") if len(ref) > 1 else ():
        name = unescape(token)
        if not isinstance(found, dict) or name not in found:
            return None
        found = found[name]
    return found


def _is_endless(root: Mapping[str, Json], start: dict[str, Json]) -> bool:
    """Whether checking one value against this part comes back to this part without going into the value."""
    seen, todo = set[int](), list(_in_place(root, start))
    while todo:
        part = todo.pop()
        if part is start:
            return True
        if id(part) not in seen:
            seen.add(id(part))
            todo.extend(_in_place(root, part))
    return False


def _in_place(root: Mapping[str, Json], part: dict[str, Json]) -> Iterator[dict[str, Json]]:
    refs = [_target(root, ref) for word in _REFERENCES if isinstance(ref := part.get(word), str)]
    several = [item for word in _IN_PLACE if isinstance(part.get(word), list) for item in part[word]]
    single = [part.get(word) for word in _IN_PLACE_ONE]
    yield from (one for one in (*refs, *several, *single) if isinstance(one, dict))
