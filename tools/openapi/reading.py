"""Reads a document: JSON or YAML to plain JSON values, in bounded time and memory, every fault with its place.

YAML is read by YAML 1.2's JSON rules (``no`` and ``2024-01-01`` are texts). What aliases stand for is counted before
anything is built out of them, so that a few lines cannot become gigabytes (the "billion laughs").
"""

import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from core.record import Json
from core.references import escape
from tools.openapi.faults import BadDocument

LARGEST = 16 * 1024 * 1024
"""Bytes of a JSON document."""

LARGEST_YAML = 4 * 1024 * 1024
"""Bytes of a YAML document: reading it costs about ten times as much (measured: 1.5 s a megabyte)."""

MOST_VALUES = 1_000_000
DEEPEST = 64


def read_value(path: Path) -> Json:
    """Read a document. Raises BadDocument naming the file, and line and column or place of a fault."""
    text = _text(path)
    value = _json(path, text) if _is_json(path, text) else _yaml(path, text)
    _check(path, value)
    return value


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            body = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadDocument(f"{path}: cannot be read: {reason}") from error
    if len(body) > LARGEST:
        raise BadDocument(f"{path}: has more than {LARGEST:,} bytes; keep only the operations that are used")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body[: error.start].count(b"\n") + 1
        raise BadDocument(f"{path}:{line}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def _is_json(path: Path, text: str) -> bool:
    return path.suffix.lower() == ".json" or text.lstrip()[:1] == "{"


# ---------------------------------------------------------------------------------------------------------------- json


def _json(path: Path, text: str) -> Json:
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise BadDocument(f"{path}:{error.lineno}:{error.colno}: is not JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # a key twice, a number of 5000 digits, brackets nested too deep
        raise BadDocument(f"{path}: is not JSON that can be read: {error}"[:500]) from error


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice[:80]!r} stands twice in one object; remove one")
    return found


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is no JSON value")


# ---------------------------------------------------------------------------------------------------------------- yaml


def _yaml(path: Path, text: str) -> Json:
    if len(text) > LARGEST_YAML:
        raise BadDocument(f"{path}: has more than {LARGEST_YAML:,} characters of YAML; save it as JSON")
    try:
        _count(path, text)
        return yaml.load(text, Loader=_loader())  # noqa: S506 - a SafeLoader, with fewer types
    except yaml.MarkedYAMLError as error:
        raise BadDocument(f"{_marked(path, error)}: is not YAML: {error.problem or error.context}"[:500]) from error
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        raise BadDocument(f"{path}: is not YAML that can be read: {' '.join(str(error).split())}"[:500]) from error


def _marked(path: Path, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)


def _count(path: Path, text: str) -> None:
    """Go through the events once: how deep it is, and how many values it has with every alias written out."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(text, Loader=_base()):
        line = f"{path}:{event.start_mark.line + 1}" if event.start_mark else str(path)
        match event:
            case yaml.AliasEvent():
                if event.anchor not in sizes:
                    raise BadDocument(f"{line}: *{event.anchor} stands inside of what it names, or before it")
                total += sizes[event.anchor]
            case yaml.ScalarEvent():
                total += 1
                if event.anchor:
                    sizes[event.anchor] = 1
            case yaml.CollectionStartEvent():
                total += 1
                open_nodes.append((event.anchor, total))
            case yaml.CollectionEndEvent():
                anchor, before = open_nodes.pop()
                if anchor:
                    sizes[anchor] = total - before + 1
        if total > MOST_VALUES:
            raise BadDocument(f"{line}: has more than {MOST_VALUES:,} values with its aliases written out")
        if len(open_nodes) > DEEPEST:
            raise BadDocument(f"{line}: is nested more than {DEEPEST} deep")


def _base() -> Any:
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _loader() -> Any:
    """Make the loader of YAML 1.2's JSON rules out of PyYAML's safe one (YAML 1.1)."""

    class Loader(_base()):  # type: ignore[misc]  # chosen at run time: with libyaml, or without
        yaml_implicit_resolvers = {
            first: [(tag, pattern) for tag, pattern in rules if tag in _TAGS]
            for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: ARG002 - as the base
            written = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE]
            if len(written) != len(set(written)):
                counts = Counter(written)
                twice = next(key for key, _ in reversed(node.value) if counts[key.value] > 1)
                problem = f"the key {twice.value[:80]!r} stands twice in one object; remove one"
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=twice.start_mark)
            found: dict[Any, Any] = super().construct_mapping(node, deep=True)
            return found

    Loader.add_constructor(_BOOL, _boolean)
    Loader.add_constructor(_INT, _integer)
    return Loader


_MERGE = "tag:yaml.org,2002:merge"
_BOOL = "tag:yaml.org,2002:bool"
_INT = "tag:yaml.org,2002:int"
_TAGS = frozenset({_MERGE, _BOOL, _INT, "tag:yaml.org,2002:null", "tag:yaml.org,2002:float"})


def _boolean(loader: Any, node: Any) -> bool | str:
    text = str(loader.construct_scalar(node))
    match text.lower():
        case "true":
            return True
        case "false":
            return False
    return text


def _integer(loader: Any, node: Any) -> int | str:
    text = str(loader.construct_scalar(node))
    digits = text.lstrip("+-")
    is_plain = digits.isdecimal() and (digits == "0" or not digits.startswith("0"))
    return int(text) if is_plain else text


# --------------------------------------------------------------------------------------------------------- both kinds


def _check(path: Path, value: Json) -> None:
    """Check that all of it is JSON, and make texts of keys that are numbers (``200:``). In place; not recursive."""
    todo: list[tuple[str, Json, int]] = [("#", value, 0)]
    total = 0
    while todo:
        place, here, depth = todo.pop()
        total += 1
        if depth > DEEPEST or total > MOST_VALUES:
            limit = (
                f"is nested more than {DEEPEST} deep" if depth > DEEPEST else f"has more than {MOST_VALUES:,} values"
            )
            raise BadDocument(f"{path}: {place[:200]}: {limit}")
        _check_value(path, place, here)
        todo.extend((f"{place}/{token}", part, depth + 1) for token, part in _parts(path, place, here))


def _parts(path: Path, place: str, here: Json) -> Iterator[tuple[str, Json]]:
    match here:
        case dict():
            _mend_keys(path, place, here)
            for key, part in here.items():
                yield escape(key), part
        case list():
            for number, part in enumerate(here):
                yield str(number), part


def _mend_keys(path: Path, place: str, here: dict[Any, Json]) -> None:
    for key in [key for key in here if not isinstance(key, str)]:
        if not isinstance(key, int) or isinstance(key, bool):
            raise BadDocument(f"{path}: {place[:200]}: the key {str(key)[:80]!r} is no text; put it in quotes")
        here[str(key)] = here.pop(key)


def _check_value(path: Path, place: str, here: Json) -> None:
    match here:
        case float() if not math.isfinite(here):
            problem = "is no number that JSON has"
        case None | bool() | int() | float() | dict() | list():
            return
        case str():
            if here.isascii() or here.isprintable() or not any("\ud800" <= sign <= "\udfff" for sign in here):
                return
            problem = "holds half of a surrogate pair, which is no text"
        case _:
            problem = f"is a {type(here).__name__}, which JSON does not have; put it in quotes"
    raise BadDocument(f"{path}: {place[:200]}: {problem}")
