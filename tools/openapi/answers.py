"""What a server answered: a result as plain JSON, or an error that is sorted by its status.

A success is a success whatever its body is: what does not fit is kept as ``{opaque, problem, value}``, as every other
tool's. Reading never raises then; the effect has happened.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.names import NotCanonical, blob_digest, canonical
from core.record import Json
from tools.openapi.checks import faults, problem_with
from tools.openapi.client import Answer
from tools.openapi.document import Document, Operation, Tokens
from tools.openapi.parsing import response_of
from tools.openapi.schemas import Direction, within_budget

_LARGEST = 16 * 1024  # bytes of one schema of answers: the planner reads it
_LONGEST_TEXT = 2_000  # characters of what can only be described
_OF_HEAD = ("ETag", "Last-Modified", "Content-Length", "Content-Type")
_NOTHING: dict[str, Json] = {"type": "null"}


class ErrorAnswer(Exception):
    """The server answered, and not with a success; `sort` reads the status."""

    def __init__(self, method: str, path: str, answer: Answer) -> None:
        super().__init__(f"HTTP {answer.status} of {method} {path}: {' '.join(answer.text.split())[:300]}")
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Answers:
    """How the answers of one operation are read. `schemas`: by status, as written (``200``, ``2XX``, ``default``)."""

    schemas: Mapping[str, dict[str, Json] | None] = field(default_factory=dict)
    headers: Sequence[str] = ()
    is_head: bool = False

    def schema(self) -> dict[str, Json] | None:
        """Return the schema of results; None when it is not known, or not one."""
        if self.is_head:
            return _with_headers({"type": "integer"}, "status")
        found = [one for status, one in self.schemas.items() if status[0] == "2"] or [self.schemas.get("default")]
        first = found[0]
        if first is None or any(one != first for one in found):
            return None
        return _with_headers(first, "body") if self.headers else first

    def result(self, answer: Answer) -> Json:
        """Make the result of a success."""
        if self.is_head:
            return {"status": answer.status, "headers": _chosen(answer, (*_OF_HEAD, *self.headers))}
        body = self._body(answer)
        return {"body": body, "headers": _chosen(answer, self.headers)} if self.headers else body

    def found(self, value: Json) -> Json:
        """Make the result of a success whose answer was lost, out of what another operation says of it.

        Its headers are not known. What has another shape than the answer is kept and marked, as an answer would be.
        """
        result = {"body": value, "headers": {}} if self.headers else value
        schema = self.schema()
        wrong = faults(schema, result) if schema is not None else []
        return (
            _opaque(f"what was found does not fit the document's schema: {'; '.join(wrong)}", value)
            if wrong
            else result
        )

    def _body(self, answer: Answer) -> Json:
        value, problem = read(answer)
        if problem:
            return _opaque(problem, value)
        schema = self._schema_of(answer.status)
        wrong = faults(schema, value) if schema is not None else []
        return _opaque(f"does not fit the document's schema: {'; '.join(wrong)}", value) if wrong else value

    def _schema_of(self, status: int) -> dict[str, Json] | None:
        names = (str(status), f"{status // 100}XX", "default")
        return next((self.schemas[name] for name in names if name in self.schemas), None)


def read_answers(document: Document, operation: Operation, headers: Sequence[str]) -> Answers:
    """Read what the document says of an operation's answers. Raises BadDocument."""
    listed = operation.raw.get("responses", {})
    tokens = (*operation.tokens, "responses")
    if not isinstance(listed, dict):
        raise document.fail(tokens, "expected an object")
    successes = [status for status in listed if str(status)[:1] == "2" or status == "default"]
    schemas = {
        status.upper() if status != "default" else status: _schema(document, listed[status], (*tokens, status))
        for status in successes
    }
    return Answers(schemas, tuple(headers), operation.method == "HEAD")


def _schema(document: Document, value: Json, tokens: Tokens) -> dict[str, Json] | None:
    raw, place = document.resolve(value, tokens)
    content = response_of(document, raw, place).content or {}
    if not content:
        return _NOTHING
    media_type = next((name for name in content if _is_json(name)), None)
    written = ((raw["content"][media_type] or {}) if media_type else {}).get("schema")
    if written is None:
        return None
    at = (*place, "content", str(media_type), "schema")
    schema = within_budget(document, at, Direction.RECEIVED, lambda one: _object(one.convert(written, at)), _LARGEST)
    if problem := problem_with(schema):
        raise document.fail(at, problem)
    return schema


def _object(schema: dict[str, Json] | bool) -> dict[str, Json]:
    return schema if isinstance(schema, dict) else {} if schema else {"not": {}}


def read(answer: Answer) -> tuple[Json, str]:
    """Read a body by its type; also say why the value is not what the server meant, or "". Never raises."""
    media_type = answer.headers.get("content-type", "")
    plain = media_type.partition(";")[0].strip().lower()
    if answer.cut:
        return answer.text[:_LONGEST_TEXT], answer.cut
    if not answer.body:
        return None, ""
    if answer.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        return _described(answer, plain), "it is encoded, though that was not asked for"
    if _is_json(plain) or not plain:
        return _json(answer)
    if plain.startswith("text/"):
        return answer.text.replace("\x00", "�"), ""
    return _described(answer, plain), ""


def _json(answer: Answer) -> tuple[Json, str]:
    try:
        value = json.loads(answer.body)
        canonical(value)
    except NotCanonical as error:
        return answer.text[:_LONGEST_TEXT], f"has no canonical JSON: {error}"[:300]
    except (ValueError, RecursionError) as error:
        return answer.text[:_LONGEST_TEXT], f"is not JSON: {error}"[:300]
    return value, ""


def _is_json(media_type: str) -> bool:
    plain = media_type.partition(";")[0].strip().lower()
    return plain in ("application/json", "*/*", "text/json") or plain.endswith("+json")


def _described(answer: Answer, media_type: str) -> dict[str, Json]:
    """Keep bytes by reference: kind, size and digest."""
    return {"media_type": media_type[:200], "size_bytes": len(answer.body), "digest": blob_digest(answer.body)}


def _chosen(answer: Answer, names: Sequence[str]) -> dict[str, Json]:
    found = {name: answer.headers.get(name.lower()) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def _with_headers(schema: dict[str, Json], name: str) -> dict[str, Json]:
    inner = {word: value for word, value in schema.items() if word != "$defs"}
    texts = {"type": "object", "additionalProperties": {"type": "string"}}
    whole: dict[str, Json] = {
        "type": "object",
        "properties": {name: inner, "headers": texts},
        "required": [name, "headers"],
    }
    return {**whole, "$defs": schema["$defs"]} if "$defs" in schema else whole


def _opaque(problem: str, value: Json) -> dict[str, Json]:
    return {"opaque": "response", "problem": problem, "value": value}
