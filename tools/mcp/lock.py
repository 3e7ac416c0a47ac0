"""The file ``tools.lock``: read and checked, written whole or not at all, by one process at a time."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from core.errors import ConfigError
from core.record import Json
from tools.mcp.pins import Pin

NAME = "tools.lock"

_VERSION = 1
_LARGEST = 16 * 1024 * 1024  # bytes of a file

Pins = Mapping[str, Mapping[str, Pin]]
"""By server, by the server's name of the tool."""


@dataclass(frozen=True, slots=True)
class Lock:
    """What is pinned. `unread`: servers whose tools were pinned at first use, and that nobody has accepted since."""

    servers: Pins = field(default_factory=dict)
    unread: frozenset[str] = frozenset()


def read_lock(folder: Path) -> Lock:
    """Read what is pinned; nothing when there is no file. Raises ConfigError for one that was changed by hand."""
    path = folder / NAME
    try:
        body = path.read_bytes()
    except FileNotFoundError:
        return Lock()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return _parse(body)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ValidationError) as error:
        raise ConfigError(
            f"{path}: {_why(error)}; accept the tools anew: python starter.py tools AGENT --accept"
        ) from error


def write_lock(folder: Path, pins: Pins) -> Path:
    """Write what is accepted from now on, and nothing else. Raises ConfigError when it cannot be written."""
    with _alone(folder):
        return _write(folder, Lock(pins))


def pin_first(folder: Path, said: Pins) -> tuple[str, ...]:
    """Add the servers of which nothing is pinned yet; return which. What another process pinned meanwhile stands.

    Raises ConfigError when the file cannot be read or written.
    """
    with _alone(folder):
        lock = read_lock(folder)
        first = {server: tools for server, tools in said.items() if server not in lock.servers}
        if first:
            _write(folder, Lock({**lock.servers, **first}, lock.unread | set(first)))
        return tuple(first)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes out: workers that start at once all find that nothing is pinned."""
    held = _hold(folder)
    try:
        yield
    finally:
        os.close(held)


def _hold(folder: Path) -> int:
    try:
        held = os.open(folder, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
    except OSError as error:
        raise ConfigError(f"{folder / NAME}: cannot be written: {error.strerror}") from error
    return held


def _write(folder: Path, lock: Lock) -> Path:
    """Write it sorted, one tool after the other, so that a change is readable as a diff."""
    servers = {
        server: {name: _entry(pin) for name, pin in sorted(tools.items())}
        for server, tools in sorted(lock.servers.items())
    }
    unread = {"pinned_at_first_use": sorted(lock.unread)} if lock.unread else {}
    text = json.dumps({"version": _VERSION, **unread, "servers": servers}, indent=1, ensure_ascii=False) + "\n"
    path = folder / NAME
    temporary = path.with_suffix(".lock.new")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
    return path


def _entry(pin: Pin) -> dict[str, Json]:
    return {"digest": pin.digest, **pin.model_dump(mode="json", exclude={"name"}, exclude_defaults=True)}


class _BadLock(ValueError):
    """What a lock file holds is not what was written."""


def _parse(body: bytes) -> Lock:
    if len(body) > _LARGEST:
        raise _BadLock(f"has {len(body):,} bytes, and at most {_LARGEST:,} are read")
    data = json.loads(body)
    if not isinstance(data, dict) or data.get("version") != _VERSION or not isinstance(data.get("servers"), dict):
        raise _BadLock(f"is no lock file of version {_VERSION}")
    servers = {
        server: {name: _pin(name, entry) for name, entry in tools.items()} for server, tools in data["servers"].items()
    }
    return Lock(servers, frozenset(data.get("pinned_at_first_use", ())) & set(servers))


def _pin(name: str, entry: Mapping[str, Json]) -> Pin:
    pin = Pin.model_validate({**entry, "name": name})
    if problem := pin.problem():
        raise _BadLock(f"tool {name!r:.140}: {problem}")
    if pin.digest != entry.get("digest"):
        raise _BadLock(f"tool {name!r:.140} was changed by hand (its digest does not fit)")
    return pin


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, _BadLock) else f"is damaged ({type(error).__name__})"
