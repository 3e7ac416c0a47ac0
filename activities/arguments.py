"""The arguments of a call as they arrive at the door: late references filled in, and the origin of every value."""

import copy
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping

from core.messages import Deferred
from core.record import Json
from core.references import Source, Unresolvable, escape, resolve, unescape

Fetch = Callable[[str], Awaitable[bytes | None]]


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


def complete_origin(args: Mapping[str, Json], known: Mapping[str, str]) -> dict[str, str]:
    """Say for every argument and every value inside where it came from; what nobody claims came from the model.

    A value inside an object that came from somewhere as a whole came from there too.
    """
    listed = dict(known)
    for name, value in args.items():
        at = f"/{escape(name)}"
        whole = listed.setdefault(at, "model")
        for pointer, source in _leaves(value, at, whole, known):
            listed.setdefault(pointer, source)
    return listed


def _leaves(value: Json, at: str, source: str, known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    source = known.get(at, source)
    match value:
        case dict() if value:
            for name, item in value.items():
                yield from _leaves(item, f"{at}/{escape(name)}", source, known)
        case list() if value:
            for index, item in enumerate(value):
                yield from _leaves(item, f"{at}/{index}", source, known)
        case _:
            yield at, source
