"""Values that the runtime fills into calls of other people's tools.

A text that starts with ``$`` stands for something else; ``$$`` for a ``$`` itself::

    $key              the idempotency key of the call      $args/order_id    an argument of the call, by JSON pointer
    $task  $step      the ids of task and step             $inputs/customer  an input of the task
                                                           $result/id        what the call brought (verify only)
"""

from collections.abc import Mapping

from core.errors import Refused
from core.ports import Call
from core.record import Json
from core.references import MISSING, look_up

_WORDS = ("$key", "$task", "$step")


def fault_in(value: Json, *, trees: tuple[str, ...]) -> str:
    """Say what is wrong with a value to be filled in; "" when nothing is. `trees`: those of $args... there are."""
    match value:
        case str() if value.startswith("$") and not value.startswith("$$"):
            if value in _WORDS or value.partition("/")[0] in trees:
                return ""
            known = (*_WORDS, *(f"{tree}/NAME" for tree in trees))
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
    tree, slash, rest = text.partition("/")
    match tree:
        case "$key":
            return call.key
        case "$task":
            return call.task_id
        case "$step":
            return call.step_id
    found = look_up(trees.get(tree), f"{slash}{rest}")
    if found is MISSING:
        # the door takes a code with `found` for one that says nothing of earlier sends: inputs may have been amended
        raise Refused("nothing_found_to_fill_in", f"{text} stands for nothing in this call")
    return found
