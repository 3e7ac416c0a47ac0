"""What the answer of a second tool says of an effect: that it is there, or that it is not."""

from collections.abc import Mapping

from core.ports import Call
from core.record import Json
from core.references import MISSING, look_up
from tools.filling import fill
from tools.mcp.faults import UnreadableAnswer
from tools.mcp.tables import Lookup


def find(lookup: Lookup, answer: Json, call: Call, args: Mapping[str, Json], result: Json = None) -> Json | None:
    """Return what an answer says is there; None when it says that nothing is."""
    if not isinstance(answer, (dict, list)) and (lookup.found or lookup.where or isinstance(answer, str)):
        raise UnreadableAnswer(f"{lookup.tool} answered text, which says neither yes nor no")
    found = look_up(answer, lookup.found)
    if found is MISSING:
        return None
    if not lookup.where:
        return found if found or (found == 0 and found is not False) else None
    if not isinstance(found, list):
        raise UnreadableAnswer(
            f"the answer of {lookup.tool} has no list at {lookup.found or 'its top'}, to look for an item in"
        )
    wanted = {pointer: fill(value, call, args, result) for pointer, value in lookup.where.items()}
    return next((item for item in found if all(look_up(item, where) == value for where, value in wanted.items())), None)
