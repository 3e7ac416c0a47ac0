"""The parts of a document as openapi-pydantic knows them; what does not fit is named with its place."""

from typing import TypeVar

from openapi_pydantic.v3 import v3_0, v3_1
from pydantic import BaseModel, ValidationError

from core.record import Json
from tools.openapi.document import Document, Tokens

Part = TypeVar("Part", bound=BaseModel)
Parameter = v3_0.Parameter | v3_1.Parameter
RequestBody = v3_0.RequestBody | v3_1.RequestBody
Response = v3_0.Response | v3_1.Response

_SCHEMAS = frozenset({"schema", "example", "examples"})
"""Schemas are converted and checked by themselves (schemas.py)."""


def parameter_of(document: Document, raw: dict[str, Json], tokens: Tokens) -> Parameter:
    """Parse a parameter. Raises BadDocument."""
    if document.version == "3.0":
        return _parse(document, v3_0.Parameter, raw, tokens)
    return _parse(document, v3_1.Parameter, raw, tokens)


def body_of(document: Document, raw: dict[str, Json], tokens: Tokens) -> RequestBody:
    """Parse a request body. Raises BadDocument."""
    if document.version == "3.0":
        return _parse(document, v3_0.RequestBody, raw, tokens)
    return _parse(document, v3_1.RequestBody, raw, tokens)


def response_of(document: Document, raw: dict[str, Json], tokens: Tokens) -> Response:
    """Parse a response. Raises BadDocument."""
    if document.version == "3.0":
        return _parse(document, v3_0.Response, raw, tokens)
    return _parse(document, v3_1.Response, raw, tokens)


def _parse(document: Document, kind: type[Part], raw: dict[str, Json], tokens: Tokens) -> Part:
    try:
        return kind.model_validate(_bare(raw))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = [str(part) for part in first["loc"] if str(part) in raw or len(first["loc"]) == 1]
        raise document.fail((*tokens, *place), str(first["msg"])[:200]) from error


def _bare(raw: dict[str, Json]) -> dict[str, Json]:
    """Leave schemas and examples out: parsing them here too would cost the most and say the least."""
    found = {name: value for name, value in raw.items() if name not in _SCHEMAS}
    if isinstance(found.get("content"), dict):
        found["content"] = {
            media: _bare(one) if isinstance(one, dict) else one for media, one in found["content"].items()
        }
    return found
