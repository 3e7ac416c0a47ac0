"""Values that the runtime fills in, and answers of a second tool that say whether an effect is there.

A text that starts with ``$`` stands for something else; ``$$`` for a ``$`` itself::

    $key              the idempotency key of the call      $args/order_id    an argument of the call, by JSON pointer
    $task  $step      the ids of task and step             $inputs/customer  an input of the task
                                                           $result/id        what the call brought (verify only)
"""

from collections.abc import Mapping
from typing import Any

from core.errors import Refused
from core.ports import Call
from core.record import Json
from tools.mcp.faults import UnreadableAnswer
from tools.mcp.tables import Lookup

_MISSING: Any = object()
_WORDS = ("$key", "$task", "$step")
_TREES = ("$args", "$inputs", "$result")


def fault_in(value: Json, *, trees: tuple[str, ...]) -> str:
    """Say what is wrong with a value to be filled in; "" when nothing is. `trees`: those of $args... there are."""
    match value:
        case str() if value.startswith("$") and not value.startswith("$$"):
            known = (*_WORDS, *(f"{tree}/NAME" for tree in trees))
            if value in _WORDS or value in trees or value.partition("/")[0] in trees:
                return ""
            return f"{value[:60]!r} stands for nothing; known are {', '.join(known)} ($$ is a $)"
        case dict():
            return next((wrong for item in value.values() if (wrong := fault_in(item, trees=trees))), "")
        case list():
            return next((wrong for item in value if (wrong := fault_in(item, trees=trees))), "")
    return ""


def fill(value: Json, call: Call, args: Mapping[str, Json], result: Json = None) -> Json:
    """Put in what the texts with ``$`` stand for. Raises Refused when there is no such value."""
    match value:
        case str() if value.startswith("$"):
            return _stands_for(value, call, {"$args": dict(args), "$inputs": dict(call.inputs), "$result": result})
        case dict():
            return {name: fill(item, call, args, result) for name, item in value.items()}
        case list():
            return [fill(item, call, args, result) for item in value]
    return value


def _stands_for(text: str, call: Call, trees: Mapping[str, Json]) -> Json:
    if text.startswith("$$"):
        return text[1:]
    tree, _, rest = text.partition("/")
    match tree:
        case "$key":
            return call.key
        case "$task":
            return call.task_id
        case "$step":
            return call.step_id
    found = at(trees[tree], f"/{rest}" if rest else "")
    if found is _MISSING:
        # the door takes a code with `found` for one that says nothing of earlier sends: inputs may have been amended
        raise Refused("nothing_found_to_fill_in", f"{text} stands for nothing in this call")
    return found


def at(value: Json, pointer: str) -> Json:
    """Return what a JSON pointer (RFC 6901) leads to; a mark of its own where there is nothing."""
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        match value:
            case dict() if name in value:
                value = value[name]
            case list() if name.isdecimal() and int(name) < len(value):
                value = value[int(name)]
            case _:
                return _MISSING
    return value


def find(lookup: Lookup, answer: Json, call: Call, args: Mapping[str, Json], result: Json = None) -> Json | None:
    """Return what an answer says is there; None when it says that nothing is."""
    if not isinstance(answer, (dict, list)) and (lookup.found or lookup.where or isinstance(answer, str)):
        raise UnreadableAnswer(f"{lookup.tool} answered text, which says neither yes nor no")
    found = at(answer, lookup.found)
    if found is _MISSING:
        return None
    if not lookup.where:
        return found if found or (found == 0 and found is not False) else None
    if not isinstance(found, list):
        raise UnreadableAnswer(
            f"the answer of {lookup.tool} has no list at {lookup.found or 'its top'}, to look for an item in"
        )
    wanted = {pointer: fill(value, call, args, result) for pointer, value in lookup.where.items()}
    return next((item for item in found if all(at(item, where) == value for where, value in wanted.items())), None)
