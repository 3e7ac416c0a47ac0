"""The arguments of a call as they arrive at the door: late references filled in, the origin of every value, and
integers of the request in the form that the tool takes.
"""

import copy
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping

from core.messages import Deferred
from core.record import Json
from core.references import Source, Unresolvable, escape, resolve, unescape
from core.schemas import part_for, types_of

Fetch = Callable[[str], Awaitable[bytes | None]]
_TEXT_ALONE = (frozenset({"string"}), frozenset({"string", "null"}))


async def fill_in(value: Json, deferred: tuple[Deferred, ...], fetch: Fetch) -> tuple[Json, dict[str, str]]:
    """Put the stored values in the places that only the door can fill; also return the origins found on the way.

    Raises Unresolvable when a stored result is gone or has nothing at the pointer.
    """
    filled, origin = copy.deepcopy(value), dict[str, str]()
    for place in deferred:
        known = dict(place.values)
        for step, blob in place.blobs.items():
            known[step] = await _load(step, blob, fetch)
        resolved = resolve(place.expression, _source(place, known))
        origin.update({f"{place.at}{pointer}": source for pointer, source in resolved.origin.items()})
        filled = _put(filled, place.at, resolved.value)
    return filled, origin


async def _load(step: str, blob: str, fetch: Fetch) -> Json:
    body = await fetch(blob)
    if body is None:
        raise Unresolvable(f"the stored result of {step} ({blob}) is not in the ledger any more")
    return json.loads(body)


def _source(place: Deferred, known: Mapping[str, Json]) -> Source:
    def value_and_origin(step: str) -> tuple[Json, str]:
        if step not in known:
            raise Unresolvable(f"the value of {step} was not handed to the door")
        return known[step], place.origins.get(step, "tool")

    return value_and_origin


def _put(holder: Json, pointer: str, value: Json) -> Json:
    tokens = [unescape(token) for token in pointer.split("/")[1:]]
    place = holder
    for token in tokens[:-1]:
        place = place[int(token)] if isinstance(place, list) else place[token]
    place[int(tokens[-1]) if isinstance(place, list) else tokens[-1]] = value
    return holder


def numbers_as_text(args: Mapping[str, Json], origin: Mapping[str, str], schema: Mapping[str, Json]) -> dict[str, Json]:
    """Write an integer of the request in decimal where the tool takes text and no number.

    Whoever starts a task with an order's number cannot know that a tool takes it as text. What came from elsewhere
    stays as it is: a tool's or the model's value of the wrong type is an error that has to be seen.
    """
    texts = {
        pointer: str(leaf)
        for name, value in args.items()
        for pointer, source, leaf in _leaves(value, f"/{escape(name)}", "model", origin)
        if source == "request" and _is_integer(leaf) and types_of(part_for(schema, pointer), schema) in _TEXT_ALONE
    }
    written: dict[str, Json] = copy.deepcopy(dict(args)) if texts else dict(args)
    for pointer, text in texts.items():
        _put(written, pointer, text)
    return written


def _is_integer(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def complete_origin(args: Mapping[str, Json], known: Mapping[str, str]) -> dict[str, str]:
    """Say for every argument and every value inside where it came from; what nobody claims came from the model.

    A value inside an object that came from somewhere as a whole came from there too.
    """
    listed = dict(known)
    for name, value in args.items():
        at = f"/{escape(name)}"
        whole = listed.setdefault(at, "model")
        for pointer, source, _ in _leaves(value, at, whole, known):
            listed.setdefault(pointer, source)
    return listed


def _leaves(value: Json, at: str, source: str, known: Mapping[str, str]) -> Iterator[tuple[str, str, Json]]:
    """Yield pointer, origin and value of everything inside that holds nothing itself."""
    source = known.get(at, source)
    match value:
        case dict() if value:
            for name, item in value.items():
                yield from _leaves(item, f"{at}/{escape(name)}", source, known)
        case list() if value:
            for index, item in enumerate(value):
                yield from _leaves(item, f"{at}/{index}", source, known)
        case _:
            yield at, source, value
