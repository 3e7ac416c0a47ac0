"""Cuts a JSON value where it is large and leaves whole what is small: people see every member, a long one in part."""

import json
from collections.abc import Sequence

from core.record import Json

LEAST_BYTES = 64
"""With less room than this, a value is only counted."""


def shortened(value: Json, limit: int) -> Json:
    """Return a value whose ASCII JSON has at most `limit` bytes (`LEAST_BYTES` or more).

    What is cut says how much there is. Small members of objects and arrays stay as they are; the large ones share the
    room that is left. A text keeps its beginning; an object or array that has too many members keeps the first, and
    ``"..."`` says how many are left out.
    """
    size = _size(value)
    if size <= limit:
        return value
    match value:
        case dict() if limit >= LEAST_BYTES:
            return _object(value, limit)
        case list() if limit >= LEAST_BYTES:
            return _array(value, limit)
        case str() if limit >= LEAST_BYTES:
            return _text(value, limit)
    return f"... ({size} bytes)"


def _object(value: dict[str, Json], limit: int) -> dict[str, Json]:
    names = {name: _size(name) + 4 for name in value}  # a colon, a comma and two blanks
    kept = _first(list(names.values()), limit - LEAST_BYTES)
    shown = list(value)[:kept]
    rooms = _shares([_size(value[name]) for name in shown], limit - LEAST_BYTES - sum(names[name] for name in shown))
    found = {name: shortened(value[name], room) for name, room in zip(shown, rooms, strict=True)}
    return found if kept == len(value) else {**found, "...": f"{len(value) - kept} more"}


def _array(value: list[Json], limit: int) -> list[Json]:
    kept = _first([2] * len(value), limit - LEAST_BYTES)
    rooms = _shares([_size(one) for one in value[:kept]], limit - LEAST_BYTES - 2 * kept)
    found = [shortened(one, room) for one, room in zip(value[:kept], rooms, strict=True)]
    return found if kept == len(value) else [*found, f"... {len(value) - kept} more"]


def _text(value: str, limit: int) -> str:
    told = f"... ({len(value)} characters)"
    low, high = 0, min(len(value), limit)
    while low < high:  # escapes make some characters longer than others
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _size(value[:middle] + told) <= limit else (low, middle - 1)
    return value[:low] + told


def _first(sizes: Sequence[int], room: int) -> int:
    """Count the members that have room, each with as little as says that it is there."""
    for number, size in enumerate(sizes):
        room -= size + LEAST_BYTES
        if room < 0:
            return number
    return len(sizes)


def _shares(sizes: Sequence[int], room: int) -> list[int]:
    """Give each member what it needs, the smallest first, and those that need more an equal part of the rest."""
    rooms = [0] * len(sizes)
    for left, place in zip(range(len(sizes), 0, -1), sorted(range(len(sizes)), key=sizes.__getitem__), strict=True):
        rooms[place] = min(sizes[place], room // left)
        room -= rooms[place]
    return rooms


def _size(value: Json) -> int:
    return len(json.dumps(value))
