"""One TOML file: read, validated, and every fault in it named with file, line, key, expectation and what was found."""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from config.lines import Place, find_line
from core.errors import ConfigError

RecordType = TypeVar("RecordType", bound=BaseModel)

_LARGEST = 1_000_000  # bytes of a file
_MOST_FAULTS = 30
_SECRETS = frozenset({"api_key", "webhook", "ledger", "base_url", "url", "env", "headers"})
_EXPECTED = {
    "tuple_type": "expected an array",
    "dict_type": "expected a table",
    "model_type": "expected a table",
    "too_short": "expected at least one",
    "string_type": "expected some text",
    "string_too_short": "expected some text",
}
_NO_KEYS = frozenset({"[key]", "[array]", "[table]"})
"""Pydantic's word for the key of a table, and the tags of what may be written in two ways."""
_POSITION = re.compile(r"^(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)$", re.DOTALL)


class Document:
    """A TOML file as read; ``variables``: what environment variables that start with `prefix` lay over it."""

    def __init__(
        self,
        path: Path,
        text: str,
        data: Mapping[str, Any],
        variables: Mapping[str, Any] | None = None,
        prefix: str = "",
    ) -> None:
        self.path = path
        self._text = text
        self._data = _over(data, variables or {})
        self._variables = variables or {}
        self._prefix = prefix

    def fault(self, place: Place, problem: str) -> str:
        """Write one fault: ``agent.toml:12: limits.rounds: expected ..., found ...``."""
        if _reaches(self._variables, place):
            return f"{self._prefix}{'__'.join(str(part).upper() for part in place)} (environment): {problem}"
        line = find_line(self._text, place)
        where = f"{self.path}:{line}" if line else str(self.path)
        return f"{where}: {dotted(place)}: {problem}" if place else f"{where}: {problem}"

    def parse(self, record: type[RecordType]) -> RecordType:
        """Validate the whole. Raises ConfigError with all faults, one a line."""
        try:
            return record.model_validate(self._data)
        except ValidationError as error:
            faults = [self.fault(place, problem) for place, problem in explain(error, record)]
        except Exception as error:  # what arbitrary TOML holds (such as numbers of 5000 digits) may upset a message
            raise ConfigError(f"{self.path}: cannot be read: {type(error).__name__}") from error
        raise together(faults)


def read_document(path: Path, variables: Mapping[str, Any] | None = None, prefix: str = "") -> Document:
    """Read a TOML file. Raises ConfigError naming the file, and line and column of a fault."""
    text = read_text(path)
    try:
        return Document(path, text, tomllib.loads(text), variables, prefix)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax(path, text, str(error))) from error
    except (ValueError, RecursionError) as error:  # a number of 5000 digits, brackets nested a thousand deep
        raise ConfigError(f"{path}: is not TOML that can be read: {error}"[:500]) from error


def read_text(path: Path) -> str:
    """Read a text file. Raises ConfigError naming it."""
    try:
        body = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{path}: cannot be read: {reason}") from error
    if len(body) > _LARGEST:
        raise ConfigError(f"{path}: is {len(body):,} bytes, and at most {_LARGEST:,} are read")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def together(faults: Sequence[str]) -> ConfigError:
    """Make one error of many faults, one a line."""
    more = [f"... and {len(faults) - _MOST_FAULTS} more"] if len(faults) > _MOST_FAULTS else []
    return ConfigError("\n".join([*faults[:_MOST_FAULTS], *more]))


def dotted(place: Place) -> str:
    """Write a place as people do; elements of arrays count from 1: ``policy[2].when``."""
    text = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


def explain(error: ValidationError, record: type[BaseModel]) -> Iterable[tuple[Place, str]]:
    """Yield place and problem of each fault, in words for the author of the file."""
    for detail in error.errors(include_url=False):
        place = tuple(part for part in detail["loc"] if part not in _NO_KEYS)
        match detail["type"]:
            case "extra_forbidden":
                *_, key = detail["loc"]  # whatever it is called
                above = place[:-1] if key not in _NO_KEYS else place
                yield (*above, key), f"unknown key{suggest(str(key), _keys_at(record, above))}"
            case "missing":
                yield place, "is required and missing"
            case "too_short" if detail["input"]:
                continue  # pydantic counts those that are right; the others are named themselves
            case "value_error" if isinstance(detail["input"], dict | list):
                yield (
                    place,
                    _expected(detail["type"], detail["msg"]),
                )  # a table where one belongs: what it says is wrong, not what it is
            case _:
                expected = _expected(detail["type"], detail["msg"])
                yield place, expected + _found(place, detail["input"], expected)


def _expected(kind: str, message: str) -> str:
    expected = _EXPECTED.get(kind) or message.removeprefix("Value error, ")
    return expected.replace("Input should be", "expected", 1)


def suggest(word: str, known: Sequence[str]) -> str:
    """Say what was probably meant, or what there is."""
    close = difflib.get_close_matches(word, known, 1, 0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are: {', '.join(known)}" if known else ""


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        standing = merged.get(key)
        both = isinstance(standing, Mapping) and isinstance(value, Mapping)
        merged[key] = _over(standing, value) if both else value  # type: ignore[arg-type]  # both are mappings
    return merged


def _reaches(tree: Any, place: Place) -> bool:
    """Whether a nested mapping has a value at a place, or one above it that is no mapping."""
    for part in place:
        if not isinstance(tree, Mapping) or part not in tree:
            return False
        tree = tree[part]
        if not isinstance(tree, Mapping):
            return True
    return bool(place)


def _found(place: Place, value: object, expected: str) -> str:
    if _SECRETS.intersection(map(str, place)) or "found" in expected:
        return ""
    match value:
        case str() | bool() | float():
            return f", found {value!r:.60}"
        case int():
            return f", found {value}" if abs(value) < 10**20 else ", found a huge number"
        case dict():
            return ", found a table"
        case list() | tuple():
            return ", found an array"
        case _:
            return f", found {type(value).__name__}"


def _keys_at(record: Any, place: Place) -> Sequence[str]:
    """Return the keys of the record that stands at a place: those of the first one along the types found there."""
    for part in place:
        record = _step(record, part)
    kinds = (tuple(field.alias or name for name, field in kind.model_fields.items()) for kind in _records(record))
    return next(kinds, ())


def _step(annotation: Any, part: str | int) -> Any:
    for kind in _records(annotation):
        if isinstance(part, str) and part in kind.model_fields:
            return kind.model_fields[part].annotation
    return annotation  # an element of an array or of a table of tables: its record is among the arguments


def _records(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [kind for argument in get_args(annotation) for kind in _records(argument)]


def _syntax(path: Path, text: str, message: str) -> str:
    found = _POSITION.match(message)
    if found is None:
        return f"{path}: is not TOML: {message}"
    lines = text.splitlines() or [""]
    line, column = found[2] or str(len(lines)), found[3] or str(len(lines[-1]) + 1)
    return f"{path}:{line}:{column}: is not TOML: {found[1]}"
