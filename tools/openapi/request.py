"""Arguments into one request: path, query, headers and body, each written as the document says.

What cannot be written is refused before anything is sent; a value can never become another path, header or parameter.
"""

from collections.abc import Iterator, Mapping
from urllib.parse import quote

from core.errors import Refused
from core.names import canonical
from core.record import Json
from tools.openapi.body import Kind
from tools.openapi.client import Request
from tools.openapi.signature import Place, Signature, Slot

Pair = tuple[str, str]


def render(
    method: str,
    address: str,
    signature: Signature,
    args: Mapping[str, Json],
    *,
    headers: Mapping[str, str],
    most: int,
) -> Request:
    """Write the request. `address`: base and path, with ``{names}``; `most`: bytes of path, query, headers and body.

    Raises Refused for a value that cannot be written.
    """
    given = [(slot, args[slot.argument]) for slot in signature.slots if args.get(slot.argument) is not None]
    path = _path(address, {s.wire: _simple(s, args.get(s.argument)) for s in signature.slots if s.place is Place.PATH})
    query = "&".join(f"{quote(k, safe='[]')}={v}" for s, x in given if s.place is Place.QUERY for k, v in _query(s, x))
    sent = {slot.wire: _header(slot, value) for slot, value in given if slot.place is Place.HEADER}
    content_type, content = _content(signature, args)
    url = f"{path}{'&' if '?' in path else '?'}{query}" if query else path
    lines = {"Accept": "application/json, text/*;q=0.5, */*;q=0.1", **content_type, **headers, **sent}
    if (size := len(url) + len(content) + sum(map(len, sent.values()))) > most:
        raise Refused("bad_arguments", f"the request would have {size:,} bytes, and at most {most:,} are sent")
    return Request(method, url, lines, content)


def _path(address: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        if value in ("", ".", ".."):
            raise Refused("bad_arguments", f"{name}: {value!r} cannot stand in a path")
        address = address.replace(f"{{{name}}}", value)
    return address


def _query(slot: Slot, value: Json) -> Iterator[Pair]:
    if slot.is_deep:
        yield from _deep(slot, slot.wire, value)
    elif isinstance(value, list) and slot.exploded:
        yield from ((slot.wire, _quoted(slot, one)) for one in value)
    else:
        yield slot.wire, _simple(slot, value)


def _deep(slot: Slot, name: str, value: Json) -> Iterator[Pair]:
    if not isinstance(value, dict):
        raise Refused("bad_arguments", f"{slot.argument}: expected an object")
    yield from ((f"{name}[{key}]", _quoted(slot, one)) for key, one in value.items())


def _simple(slot: Slot, value: Json) -> str:
    """Write one value, or a list with commas (styles simple, and form without explode)."""
    return ",".join(_quoted(slot, one) for one in value) if isinstance(value, list) else _quoted(slot, value)


def _quoted(slot: Slot, value: Json) -> str:
    return quote(_text(slot, value), safe="")


def _text(slot: Slot, value: Json) -> str:
    match value:
        case str():
            return value
        case bool() | int() | float():
            return canonical(value).decode()
    raise Refused("bad_arguments", f"{slot.argument}: null, arrays and objects cannot stand in a {slot.place} value")


def _header(slot: Slot, value: Json) -> str:
    values = value if isinstance(value, list) else [value]
    text = ", ".join(_text(slot, one) for one in values)
    if not text.isascii() or not text.isprintable() or text != text.strip():
        raise Refused("bad_arguments", f"{slot.argument}: only printable ASCII can stand in a header")
    return text


def _content(signature: Signature, args: Mapping[str, Json]) -> tuple[dict[str, str], bytes]:
    body = signature.body
    if body is None:
        return {}, b""
    slots = [slot for slot in signature.slots if slot.place is Place.BODY]
    given = {slot.wire: args[slot.argument] for slot in slots if slot.argument in args}
    if not given and not body.is_required:
        return {}, b""
    value = given.get("") if body.is_whole else given
    media_type = {"Content-Type": "application/json" if body.media_type == "*/*" else body.media_type}
    if body.kind is Kind.FORM:
        pairs = [pair for slot in slots if given.get(slot.wire) is not None for pair in _field(slot, given[slot.wire])]
        return media_type, "&".join(f"{quote(name, safe='[]')}={text}" for name, text in pairs).encode()
    return media_type, canonical(value)


def _field(slot: Slot, value: Json) -> Iterator[Pair]:
    match value:
        case dict():
            yield from _deep(slot, slot.wire, value)
        case list():
            yield from ((slot.wire, _quoted(slot, one)) for one in value)
        case _:
            yield slot.wire, _quoted(slot, value)
