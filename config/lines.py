"""Finds the line of a TOML file on which a key stands, so that a fault can be shown there."""

import tomllib
from collections.abc import Mapping
from typing import Any

Place = tuple[str | int, ...]


def find_line(text: str, place: Place) -> int | None:
    """Return the line (from 1) of the key at `place`, or of the nearest table around it; None when there is none."""
    lines = _lines(text)
    for length in range(len(place), 0, -1):
        if (line := lines.get(place[:length])) is not None:
            return line
    return None


def _lines(text: str) -> Mapping[Place, int]:
    """Map each table and each key that starts a line to that line (text in a multi-line value may look like one)."""
    found: dict[Place, int] = {}
    counts: dict[Place, int] = {}
    table: Place = ()
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith("["):
            path = _keys(line)
            if path is None:
                continue
            table = _enter(path, counts, is_list=line.startswith("[["))
            found.setdefault(table, number)
            found.setdefault(tuple(path), number)
        elif "=" in line and (path := _keys(f"{line.partition('=')[0]}=0")) is not None:
            for length in range(1, len(path) + 1):
                found.setdefault((*table, *path[:length]), number)
    return found


def _enter(path: list[str], counts: dict[Place, int], *, is_list: bool) -> Place:
    """Return the place of a table header: a table of an array gets its number, one inside it the number of the last."""
    place: Place = ()
    for key in path[:-1]:
        place = (*place, key)
        if place in counts:
            place = (*place, counts[place])
    place = (*place, path[-1])
    if is_list:
        counts[place] = counts.get(place, -1) + 1
        place = (*place, counts[place])
    return place


def _keys(line: str) -> list[str] | None:
    """Read the keys of a header or of an assignment as TOML does; None when it is neither."""
    try:
        value: Any = tomllib.loads(line)
    except (ValueError, RecursionError):
        return None
    keys = []
    while isinstance(value, (dict, list)) and len(value) == 1:
        if isinstance(value, dict):
            [(key, value)] = value.items()
            keys.append(key)
        else:
            value = value[0]
    return keys or None
