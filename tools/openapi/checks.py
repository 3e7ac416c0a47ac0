"""The checking of values against schemas: which schemas are safe to check with, and what is wrong with a value."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from jsonschema.validators import extend

from core.record import Json
from core.references import escape
from core.schemas import objects_in

_MOST_FAULTS = 10
_MOST_WORK = 20_000  # schemas that one value may be looked at with
_DEEPEST = 40
_DEFINED = "#/$defs/"
_IN_PLACE = ("allOf", "anyOf", "oneOf")
_IN_PLACE_ONE = ("not", "if", "then", "else")


def problem_with(schema: Mapping[str, Json]) -> str:
    """Say why a schema cannot be checked with; "" when it can."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = "/".join(map(str, error.absolute_path))
        return f"is no JSON Schema: {place[:100]}: {error.message[:200]}"
    except Exception as error:  # noqa: BLE001 - numbers beyond any float, and what else a checker stumbles on
        return f"is no JSON Schema: {type(error).__name__}"
    return _Work(schema).problem()


def faults(schema: Mapping[str, Json], value: Json) -> list[str]:
    """Name what is wrong with a value, at most ten faults, each with its place."""
    try:
        errors = list(islice(_counted(schema).iter_errors(value), _MOST_FAULTS))
    except (Exception, RecursionError) as error:  # noqa: BLE001 - a number or a depth that the checker cannot take
        return [f"cannot be checked: {type(error).__name__}"]
    return [f"{_place(error.absolute_path)}{_said(error)}" for error in errors]


def _said(error: Json) -> str:
    if error.validator == "additionalProperties" and error.schema.get("additionalProperties") is False:
        unknown = [name for name in error.instance if name not in error.schema.get("properties", {})]
        return f"there is no such argument: {', '.join(unknown)[:200]}"
    return str(error.message)[:200]


def _place(path: Json) -> str:
    at = "".join(f"/{escape(str(part))}" for part in path)
    return f"{at[:200]}: " if at else ""


class _Work:
    """Counts how many schemas one value is looked at with at most: a chain of unions doubles with each link."""

    def __init__(self, schema: Mapping[str, Json]) -> None:
        self._root = schema
        self._definitions: Mapping[str, Json] = schema.get("$defs", {})
        self._known: dict[str, int] = {}

    def problem(self) -> str:
        for part in objects_in(self._root):
            if (work := self._of(part, ())) is None:
                return "refers to itself without end"
            if work > _MOST_WORK:
                return "takes too long to check: its references multiply"
        return ""

    def _of(self, part: Json, path: tuple[str, ...]) -> int | None:
        """Return the number for one part; None for one that comes back to itself without going into the value."""
        if not isinstance(part, dict):
            return 1
        total = 1
        for inner in _in_place(part):
            found = self._of(inner, path)
            if found is None:
                return None
            total += found
        ref = part.get("$ref")
        if not isinstance(ref, str) or ref.removeprefix(_DEFINED) not in self._definitions:
            return total  # a value or a property of that name
        found = self._of_definition(ref, path)
        return None if found is None else total + found

    def _of_definition(self, ref: str, path: tuple[str, ...]) -> int | None:
        if ref in path:
            return None
        if len(path) > _DEEPEST:
            return _MOST_WORK + 1
        if ref not in self._known:
            if (found := self._of(self._definitions[ref.removeprefix(_DEFINED)], (*path, ref))) is None:
                return None
            self._known[ref] = found
        return self._known[ref]


def _in_place(part: Mapping[str, Json]) -> list[Json]:
    """List what the same value is checked with; a table of properties may have properties of these names."""
    several = [one for word in _IN_PLACE if isinstance(part.get(word), list) for one in part[word]]
    dependent = part.get("dependentSchemas")
    named = list(dependent.values()) if isinstance(dependent, dict) else []
    return [*several, *(part[word] for word in _IN_PLACE_ONE if word in part), *named]


def _counted(schema: Mapping[str, Json]) -> Any:
    """Make a checker that gives up after a number of references: unions within a recursive type multiply by depth."""
    steps, usual = 0, Draft202012Validator.VALIDATORS["$ref"]

    def follow(validator: Any, ref: str, instance: Json, part: Mapping[str, Json]) -> Iterator[Any]:
        nonlocal steps
        steps += 1
        if steps > _MOST_WORK:
            raise OverflowError("too many references")
        yield from usual(validator, ref, instance, part)

    return extend(Draft202012Validator, {"$ref": follow})(schema)
