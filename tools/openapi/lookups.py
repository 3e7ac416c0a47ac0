"""What the answer of another operation says of an effect: that it is there, or that it is not."""

from collections.abc import Mapping

from core.names import canonical
from core.record import Json
from core.references import MISSING, look_up
from tools.openapi.tables import Lookup


def find(lookup: Lookup, answer: Json, wanted: Mapping[str, Json]) -> Json | None:
    """Return what an answer says is there; None when it says that it is not. `wanted`: `lookup.where`, filled in.

    Raises LookupError when the answer says neither.
    """
    found = look_up(answer, lookup.found)
    if not lookup.where:
        return None if _is_nothing(found) else found
    items = found if isinstance(found, list) else [found]
    if not all(isinstance(item, dict) for item in items):
        raise LookupError(f"the answer of {lookup.operation} has no objects at {lookup.found or 'its top'} to look at")
    there = next((item for item in items if _fits(item, wanted)), None)
    if there is None and lookup.more is not None and not _is_nothing(look_up(answer, lookup.more)):
        raise LookupError(f"it is not in what {lookup.operation} answered, and the list goes on ({lookup.more})")
    return there


def _is_nothing(value: Json) -> bool:
    return value is MISSING or value is None or value is False or value in ("", [], {})


def _fits(item: Json, wanted: Mapping[str, Json]) -> bool:
    return all(_same(look_up(item, where), value) for where, value in wanted.items())


def _same(found: Json, value: Json) -> bool:
    return found is not MISSING and canonical(found) == canonical(value)
