"""``tools.lock``: what the servers of an agent say about their tools, as somebody accepted it.

A server that changes what it says stops exactly the tool that it changed until that was read and accepted too: a
description is text in the planner's prompt, and a schema is what its calls are checked by. The file belongs beside
agent.toml and under version control. It also lets agents load without starting any server.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from core.errors import ConfigError
from core.names import NotCanonical, digest
from core.record import Json, Record
from tools.mcp.schemas import problem_with

NAME = "tools.lock"

_VERSION = 1
_LARGEST = 16 * 1024 * 1024  # bytes of a file
_LONGEST = 16_000  # characters of a description
_NAME = 128  # characters; the specification's limit (2025-11-25, server/tools)


class Pin(Record):
    """One tool as its server describes it. ``annotations`` are the server's own hints: shown, never believed."""

    name: str
    description: str = ""
    input_schema: dict[str, Json]
    output_schema: dict[str, Json] | None = None
    annotations: dict[str, Json] = {}

    @property
    def digest(self) -> str:
        """Hash of all that reaches the planner or decides about a call; 32 hex digits. Raises NotCanonical."""
        return digest([self.name, self.description, self.input_schema, self.output_schema])

    @property
    def contract(self) -> dict[str, Json]:
        """What somebody accepts: all that is hashed, but the name."""
        return self.model_dump(mode="json", include={"description", "input_schema", "output_schema"})

    def problem(self) -> str:
        """Say why the tool cannot be used as described; "" when it can."""
        if not self.name or len(self.name) > _NAME or not self.name.isprintable():
            return f"its name has to be 1 to {_NAME} printable characters"
        if len(self.description) > _LONGEST:
            return f"its description has {len(self.description):,} characters; at most {_LONGEST:,} are taken"
        if wrong := problem_with(self.input_schema, is_arguments=True):
            return f"the schema of its arguments {wrong}"
        if self.output_schema is not None and (wrong := problem_with(self.output_schema, is_arguments=False)):
            return f"the schema of its result {wrong}"
        try:
            return "" if self.digest else "has no digest"
        except NotCanonical as error:
            return f"what it says has no canonical JSON: {error}"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A pin with its digest, made once."""

    pin: Pin
    digest: str


@dataclass(frozen=True, slots=True)
class Difference:
    """How what a server says now differs from what was accepted; names of its tools."""

    new: tuple[str, ...]
    changed: tuple[str, ...]
    gone: tuple[str, ...]
    unusable: Mapping[str, str]

    def __bool__(self) -> bool:
        return bool(self.new or self.changed or self.gone)


def compare(accepted: Mapping[str, Pin], said: Sequence[Pin]) -> Difference:
    """Compare what was accepted with what a server says now."""
    unusable = {pin.name: problem for pin in said if (problem := pin.problem())}
    now = {pin.name: pin.digest for pin in said if pin.name not in unusable}
    before = {name: pin.digest for name, pin in accepted.items()}
    return Difference(
        new=tuple(name for name in now if name not in before),
        changed=tuple(name for name in now if name in before and now[name] != before[name]),
        gone=tuple(name for name in before if name not in now),
        unusable=unusable,
    )


Pins = Mapping[str, Mapping[str, Pin]]
"""By server, by the server's name of the tool."""


def read_lock(folder: Path) -> Pins:
    """Read what was accepted; nothing when there is no file. Raises ConfigError for one that was changed by hand."""
    path = folder / NAME
    try:
        body = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return _parse(body)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ValidationError) as error:
        raise ConfigError(
            f"{path}: {_why(error)}; accept the tools anew: python starter.py tools AGENT --accept"
        ) from error


def write_lock(folder: Path, pins: Pins) -> Path:
    """Write what is accepted from now on: sorted, one tool after the other, so that a change is readable as a diff."""
    servers = {
        server: {name: _entry(pin) for name, pin in sorted(tools.items())} for server, tools in sorted(pins.items())
    }
    text = json.dumps({"version": _VERSION, "servers": servers}, indent=1, ensure_ascii=False) + "\n"
    path = folder / NAME
    temporary = path.with_suffix(".lock.new")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
    return path


def _entry(pin: Pin) -> dict[str, Json]:
    return {"digest": pin.digest, **pin.model_dump(mode="json", exclude={"name"}, exclude_defaults=True)}


class _BadLock(ValueError):
    """What a lock file holds is not what was written."""


def _parse(body: bytes) -> Pins:
    if len(body) > _LARGEST:
        raise _BadLock(f"has {len(body):,} bytes, and at most {_LARGEST:,} are read")
    data = json.loads(body)
    if not isinstance(data, dict) or data.get("version") != _VERSION or not isinstance(data.get("servers"), dict):
        raise _BadLock(f"is no lock file of version {_VERSION}")
    return {
        server: {name: _pin(name, entry) for name, entry in tools.items()} for server, tools in data["servers"].items()
    }


def _pin(name: str, entry: Mapping[str, Json]) -> Pin:
    pin = Pin.model_validate({**entry, "name": name})
    if problem := pin.problem():
        raise _BadLock(f"tool {name!r:.140}: {problem}")
    if pin.digest != entry.get("digest"):
        raise _BadLock(f"tool {name!r:.140} was changed by hand (its digest does not fit)")
    return pin


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, _BadLock) else f"is damaged ({type(error).__name__})"
