"""The results of a tool: from whatever a function returned to plain JSON, and back for its read-back.

Converting never raises: when a result arrives the effect has happened, and that must not be lost to a type.
"""

import inspect
from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from core.names import NotCanonical, canonical
from core.record import Json
from tools.arguments import BadSignature, Schema, type_hints

_MOST_TEXT = 2_000  # characters of a result that can only be described


class ResultConverter:
    """Converts results of one tool by its return annotation; without one, anything that can be JSON is a result."""

    def __init__(self, function: Callable[..., Any]) -> None:
        declared = inspect.signature(function).return_annotation is not inspect.Signature.empty
        self._adapter = _adapter(type_hints(function).get("return")) if declared else None

    def schema(self) -> dict[str, Json] | None:
        """Write the JSON Schema of results as they are serialised; None when nothing is declared."""
        if self._adapter is None:
            return None
        schema = self._adapter.json_schema(mode="serialization", by_alias=True, schema_generator=Schema)
        schema.pop("title", None)
        return schema

    def to_json(self, result: Any) -> Json:
        """Return the result as JSON; one that has none, or does not fit its type, as ``{opaque, problem, value}``."""
        try:
            plain = self._dump(result)
            canonical(plain)
        except Exception as error:  # noqa: BLE001 - serialisers and validators of the tool's own types may raise anything
            return _opaque(result, error)
        return plain

    def from_json(self, result: Json) -> Any:
        """Turn a stored result back into the declared type; one that does not fit any more comes as it is."""
        if self._adapter is None:
            return result
        try:
            return self._adapter.validate_json(canonical(result))
        except Exception:  # noqa: BLE001 - as above; the plain value is still of use to a read-back
            return result

    def _dump(self, result: Any) -> Json:
        if self._adapter is None:
            return to_jsonable_python(result, by_alias=True)
        return self._adapter.dump_python(self._adapter.validate_python(result), mode="json", by_alias=True)


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation)
    except Exception as error:  # pydantic raises many kinds for types that it cannot handle
        first = str(error).strip().splitlines()[0]
        raise BadSignature(f"its result is no pydantic type: {first}") from error


def _opaque(result: Any, error: Exception) -> dict[str, Json]:
    try:
        value = to_jsonable_python(result, by_alias=True)
        canonical(value)
    except Exception:  # noqa: BLE001 - see to_json
        value = _text(result)
    return {"opaque": type(result).__name__, "problem": _problem(error), "value": value}


def _problem(error: Exception) -> str:
    match error:
        case ValidationError():
            details = error.errors(include_url=False, include_input=False, include_context=False)[:5]
            faults = [f"{'.'.join(map(str, detail['loc'])) or 'result'}: {detail['msg']}" for detail in details]
            return f"does not fit the declared type: {'; '.join(faults)}"
        case NotCanonical():
            return f"has no canonical JSON: {error}"
        case _:
            return f"cannot be written as JSON: {type(error).__name__}"


def _text(result: Any) -> str:
    try:
        return ascii(result)[:_MOST_TEXT]
    except Exception:  # noqa: BLE001 - a __repr__ that raises must not cost the receipt
        return f"<{type(result).__name__}>"
