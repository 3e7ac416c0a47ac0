"""References between steps: ``{"$from": STEP, "path": POINTER}`` as a value and ``{{STEP/POINTER}}`` inside a string.

Parsing and resolving, with the provenance of every value. Pointers are RFC 6901.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from core.record import Json

INPUTS = "inputs"
MISSING = object()
INDEX = re.compile(r"0|[1-9][0-9]{0,15}")
"""A place in an array (RFC 6901, section 4)."""
_TEMPLATE = re.compile(r"\{\{\{\{|\{\{([^{}]*)\}\}")
_TARGET = re.compile(r"\s*((?:r[0-9]+\.)?[a-z][a-z0-9_]{0,31})(/[^{}]*?)?\s*")


class Unresolvable(ValueError):
    """A reference that has no value: the step's result has nothing at that pointer, or not what a text can hold."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference: `step` as written (``s1``, ``r1.s2`` or ``inputs``), `path` a pointer ("" = the whole result).

    ``at``: pointer of the place in the arguments that holds it; ``inside``: whether it is part of a longer text.
    """

    at: str
    step: str
    path: str
    inside: bool


@dataclass(frozen=True, slots=True)
class Malformed:
    """Something that looks like a reference and is none."""

    at: str
    problem: str


def escape(token: str) -> str:
    """Write one key as a token of a JSON pointer."""
    return token.replace("~", "~0").replace("/", "~1")


def unescape(token: str) -> str:
    """Read one token of a JSON pointer as the key it stands for."""
    return token.replace("~1", "/").replace("~0", "~")


def look_up(value: Json, pointer: str) -> Json:
    """Follow a JSON pointer; MISSING when there is nothing."""
    for token in pointer.split("/")[1:]:
        key = unescape(token)
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif isinstance(value, list) and INDEX.fullmatch(key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return MISSING
    return value


def find(value: Json, at: str = "") -> Iterator[Reference | Malformed]:
    """Yield every reference in planned arguments, depth first."""
    match value:
        case {"$from": _}:
            yield _read_value(value, at)
        case dict():
            for name, item in value.items():
                yield from find(item, f"{at}/{escape(name)}")
        case list():
            for index, item in enumerate(value):
                yield from find(item, f"{at}/{index}")
        case str():
            yield from _read_template(value, at)


def _read_value(value: dict[str, Json], at: str) -> Reference | Malformed:
    step, path = value["$from"], value.get("path", "")
    if set(value) - {"$from", "path"} or not isinstance(step, str) or not isinstance(path, str):
        return Malformed(at, 'a reference is {"$from": STEP, "path": POINTER} and nothing else')
    if path and not path.startswith("/"):
        return Malformed(at, f"the path {path!r} is no JSON pointer: it starts with /")
    return Reference(at, step, path, inside=False)


def _read_template(text: str, at: str) -> Iterator[Reference | Malformed]:
    for found in _TEMPLATE.finditer(text):
        if found.group(0) == "{{{{":
            continue
        target = _TARGET.fullmatch(found.group(1))
        if target is None:
            yield Malformed(at, f"{found.group(0)!r} is no reference: write {{{{STEP/POINTER}}}}")
        else:
            yield Reference(at, target.group(1), target.group(2) or "", inside=True)


@dataclass(slots=True)
class Resolved:
    """Arguments with their values; `origin` by pointer (only where it is not the model)."""

    value: Json
    origin: dict[str, str] = field(default_factory=dict)
    deferred: dict[str, Json] = field(default_factory=dict)


Source = Callable[[str], tuple[Json, str]]
"""Gives value and origin of a step (or of ``inputs``); raises Later when only the door has the value."""


class Later(Exception):
    """The value is not in the state; the door resolves the reference."""


def resolve(args: Json, source: Source) -> Resolved:
    """Put values in the place of all references. Raises Unresolvable naming the reference and what is missing."""
    out = Resolved(None)
    out.value = _fill(args, "", source, out)
    return out


def _fill(value: Json, at: str, source: Source, out: Resolved) -> Json:
    match value:
        case {"$from": _}:
            reference = _read_value(value, at)
            if isinstance(reference, Malformed):
                raise Unresolvable(f"{at or '/'}: {reference.problem}")
            return _defer_or(value, at, out, lambda: _take(reference, source, out))
        case dict():
            return {name: _fill(item, f"{at}/{escape(name)}", source, out) for name, item in value.items()}
        case list():
            return [_fill(item, f"{at}/{index}", source, out) for index, item in enumerate(value)]
        case str() if "{{" in value:
            return _defer_or(value, at, out, lambda: _render(value, at, source, out))
    return value


def _defer_or(expression: Json, at: str, out: Resolved, fill: Callable[[], Json]) -> Json:
    try:
        return fill()
    except Later:
        out.deferred[at] = expression
        return None


def _take(reference: Reference, source: Source, out: Resolved) -> Json:
    value, origin = source(reference.step)
    found = look_up(value, reference.path)
    if found is MISSING:
        raise Unresolvable(f"{reference.at or '/'}: {reference.step} has nothing at {reference.path!r}")
    out.origin[reference.at] = origin
    return found


def _render(text: str, at: str, source: Source, out: Resolved) -> str:
    origins: list[str] = []

    def put(found: re.Match[str]) -> str:
        target = _TARGET.fullmatch(found.group(1) or "")
        if found.group(0) == "{{{{" or target is None:
            return "{{"
        value, origin = source(target.group(1))
        origins.append(origin)
        return _as_text(look_up(value, target.group(2) or ""), found.group(0), at)

    rendered = _TEMPLATE.sub(put, text)
    whole = _TEMPLATE.fullmatch(text) is not None and len(origins) == 1
    if whole:
        out.origin[at] = origins[0]
    return rendered


def _as_text(value: Json, reference: str, at: str) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int():
            return str(value)
    what = "nothing there" if value is MISSING else f"{type(value).__name__} where a text, an integer or a boolean goes"
    raise Unresolvable(f"{at or '/'}: {reference}: {what}")
