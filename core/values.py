"""JSON values that others send: what may not be in them anywhere, since it could not be passed on or written down."""

import json
import math
from collections.abc import Callable, Iterator
from typing import Annotated

from pydantic import AfterValidator

from core.record import Json

MAX_DEPTH = 32
MAX_INTEGER = 2**53 - 1
"""The largest that RFC 8785 can write."""
MAX_GIVEN_BYTES = 64 * 1024
"""Of inputs and arguments that people send: they are part of the state, which holds 256 kB in all."""


def no_surrogates(text: str) -> str:
    """Say what is wrong with a text that has no UTF-8 ("" = nothing)."""
    return "half of a surrogate pair" if any(0xD800 <= ord(char) <= 0xDFFF for char in text) else ""


def no_controls(text: str) -> str:
    """Say what is wrong with a text that a program wrote and nobody could read."""
    if any((ord(char) < 32 and char not in "\t\n\r") or ord(char) == 127 for char in text):
        return "control characters"
    return no_surrogates(text)


def unfit_values(document: Json, text_problem: Callable[[str], str] = no_surrogates) -> Iterator[tuple[str, str]]:
    """Yield place and problem of each: without recursion, since a document may be nested without end."""
    heap: list[tuple[Json, str, int]] = [(document, "", 0)]
    while heap:
        value, at, depth = heap.pop()
        if depth > MAX_DEPTH:
            yield at[:80], f"nested too deeply (at most {MAX_DEPTH} levels)"
            return
        if problem := text_problem(value) if isinstance(value, str) else _unfit(value):
            yield at, problem
        if isinstance(value, dict):
            named = [(name, item, f"{at}/{ascii(name)[1:-1]}"[:200]) for name, item in value.items()]
            heap.extend((item, where, depth + 1) for _, item, where in named)
            heap.extend((name, where, depth + 1) for name, _, where in named)
        elif isinstance(value, list):
            heap.extend((item, f"{at}/{index}"[:200], depth + 1) for index, item in enumerate(value))


def _unfit(value: Json) -> str:
    match value:
        case bool() | None | dict() | list():
            return ""
        case int() if abs(value) > MAX_INTEGER:
            return "an integer beyond 2^53 - 1 cannot be passed on exactly"
        case float() if not math.isfinite(value):
            return "NaN and infinities are no JSON"
        case int() | float():
            return ""
    return f"{type(value).__name__} is no JSON value"


def _fit(value: dict[str, Json]) -> dict[str, Json]:
    for where, problem in unfit_values(value):
        raise ValueError(f"{where}: {problem}")
    if (size := len(json.dumps(value))) > MAX_GIVEN_BYTES:
        raise ValueError(f"{size} bytes of JSON, and at most {MAX_GIVEN_BYTES} may be given; hand over a reference")
    return value


Given = Annotated[dict[str, Json], AfterValidator(_fit)]
"""Inputs or arguments that somebody sends."""
