"""Durations as people write them: ``20s``, ``5m``, ``1h30m``, ``7d``, or a number of seconds."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds", "ms": "milliseconds"}
_PART = re.compile(r"(\d{1,8}(?:\.\d{1,6})?)(ms|[wdhms])", re.ASCII)
_LONGEST = timedelta(days=36_500)


def parse_duration(value: object) -> timedelta:
    """Read a duration: text such as ``1h30m`` (units w d h m s ms, largest first), seconds, or a timedelta.

    Raises ValueError saying what was expected, also for a negative one and for one above a hundred years.
    """
    match value:
        case timedelta():
            duration = value
        case str():
            duration = _from_text(value)
        case int() | float() if not isinstance(value, bool) and abs(value) <= _LONGEST.total_seconds():
            duration = timedelta(seconds=value)
        case _:
            raise _not_a_duration(value)
    if not timedelta(0) <= duration <= _LONGEST:
        raise _not_a_duration(value)
    return duration


def _from_text(text: str) -> timedelta:
    compact = text.strip().replace(" ", "")
    parts = _PART.findall(compact)
    units = [unit for _, unit in parts]
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise _not_a_duration(text)
    if units != sorted(set(units), key=list(_UNITS).index):
        raise _not_a_duration(text)
    return sum((timedelta(**{_UNITS[unit]: float(number)}) for number, unit in parts), timedelta(0))


def _not_a_duration(found: object) -> ValueError:
    return ValueError(f'expected a duration such as "20s", "5m", "1h30m" or "7d", found {str(found)[:40]!r}')


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(lambda value: value.total_seconds(), return_type=float),
]
"""A duration in a file that people write; in JSON a number of seconds."""
