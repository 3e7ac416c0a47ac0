"""What a tool answered, as plain JSON. Never raises: when an answer arrives the effect has happened.

Structured content counts where there is some. Without it, one text is the result (a JSON object or array in it is
taken as that); several blocks become ``{"text": ..., "content": [...]}``. Images, sounds and resources are kept by
reference: kind, type, size and digest, and the bytes themselves only while all of them fit 32 kB.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.names import NotCanonical, blob_digest, canonical
from core.record import Json
from tools.mcp.faults import UnreadableAnswer
from tools.mcp.schemas import faults

EMBEDDED = 32 * 1024  # bytes; a result of 16 kB leaves its row for a blob of the ledger by itself
_OPAQUE = "mcp result"
_MOST_BLOCKS = 100
_LONGEST_ERROR = 2_000  # characters


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered to a call. `is_error`: a definite no, in the words of its text."""

    content: tuple[Mapping[str, Json], ...]
    structured: Json
    is_structured: bool
    is_error: bool

    @property
    def text(self) -> str:
        """All text blocks, one after the other."""
        return "\n".join(str(block.get("text", "")) for block in self.content if block.get("type") == "text")

    @property
    def reason(self) -> str:
        """The words of an error, cut to 2,000 characters."""
        text = self.text or (json.dumps(self.structured) if self.is_structured else "")
        return " ".join(text.split())[:_LONGEST_ERROR] or "the tool says that it failed, and nothing else"


def read_answer(raw: Mapping[str, Json]) -> Answer:
    """Read the result of a ``tools/call``. Raises UnreadableAnswer for one that says nothing of what happened."""
    if (kind := raw.get("resultType", "complete")) != "complete":
        raise UnreadableAnswer(f"the tool did not finish: it answered {kind!r:.60}, which nobody here can go on with")
    content, is_error = raw.get("content", []), raw.get("isError", False)
    if not isinstance(is_error, bool) or not isinstance(content, list) or not all(map(_is_block, content)):
        raise UnreadableAnswer("the answer is no result of a tool")
    structured = raw.get("structuredContent")
    return Answer(tuple(content), structured, structured is not None, is_error)


def _is_block(value: Json) -> bool:
    return isinstance(value, dict)


def to_json(answer: Answer, schema: Mapping[str, Json] | None) -> Json:
    """Return the result; one that does not fit the schema as ``{opaque, problem, value}``, as every other tool's."""
    value = _value(answer)
    try:
        canonical(value)
    except NotCanonical as error:
        return _opaque(f"has no canonical JSON: {error}", ascii(value)[:_LONGEST_ERROR])
    if schema is None:
        return value
    if not answer.is_structured:
        return _opaque("the tool declares an output schema and answered without structured content", value)
    if wrong := faults(schema, answer.structured):
        return _opaque(f"does not fit the declared output schema: {'; '.join(wrong)}", value)
    return value


def as_result(found: Json, schema: Mapping[str, Json] | None) -> Json:
    """Return what another tool says of an effect as the result of the call; marked when it has another shape."""
    wrong = faults(schema, found) if schema is not None else []
    return (
        _opaque(f"what was found does not fit the declared output schema: {'; '.join(wrong)}", found)
        if wrong
        else found
    )


def _opaque(problem: str, value: Json) -> dict[str, Json]:
    return {"opaque": _OPAQUE, "problem": problem, "value": value}


def problem_in(result: Json) -> str:
    """Say what `to_json` found wrong with a result; "" when nothing."""
    is_opaque = isinstance(result, dict) and result.get("opaque") == _OPAQUE and len(result) == 3
    return str(result["problem"]) if is_opaque else ""


def _value(answer: Answer) -> Json:
    others = [block for block in answer.content if block.get("type") != "text"]
    attached = _references(others)
    if answer.is_structured:
        is_object = isinstance(answer.structured, dict)
        return {**answer.structured, "_attached": attached} if is_object and attached else answer.structured
    if attached:
        return {"text": answer.text, "content": attached}
    return _read(answer.text)


def _read(text: str) -> Json:
    if text.lstrip()[:1] not in ("{", "["):
        return text
    try:
        value = json.loads(text)
        canonical(value)
    except (ValueError, RecursionError):  # not JSON after all, or none that can be kept: the text is
        return text
    return value


def _references(blocks: list[Mapping[str, Json]]) -> list[Json]:
    room, found = EMBEDDED, list[Json]()
    for block in blocks[:_MOST_BLOCKS]:
        reference, size = _reference(block, room)
        room -= size
        found.append(reference)
    more = len(blocks) - _MOST_BLOCKS
    return [*found, {"type": "cut", "blocks": more}] if more > 0 else found


def _reference(block: Mapping[str, Any], room: int) -> tuple[dict[str, Json], int]:
    """Describe one block; also say how many bytes of it are kept, at most `room`."""
    held = block.get("resource") if block.get("type") == "resource" else block
    held = held if isinstance(held, Mapping) else {}
    about = {"type": block.get("type"), "mime": held.get("mimeType"), "uri": held.get("uri"), "name": held.get("name")}
    about = {name: value[:2_000] for name, value in about.items() if isinstance(value, str)}
    body, kept = _body(held)
    if body is None:
        return about, 0
    about |= {"size": len(body), "digest": blob_digest(body)}
    return ({**about, **kept}, len(body)) if len(body) <= room else (about, 0)


def _body(held: Mapping[str, Any]) -> tuple[bytes | None, dict[str, Json]]:
    """Return the bytes of a block, and how they stand in a result."""
    if isinstance(text := held.get("text"), str):
        return text.encode("utf-8", "replace"), {"text": text}
    data = held.get("data", held.get("blob"))
    if not isinstance(data, str):
        return None, {}
    try:
        return base64.b64decode(data, validate=True), {"data": data}
    except (binascii.Error, ValueError):  # not what it says it is: kept as the text that came
        return data.encode("utf-8", "replace"), {"data": data}
