"""The arguments of a tool: from a function's signature to a strict parser of JSON and its schema."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticSerializationError

from core.errors import Refused
from core.names import NotCanonical, canonical
from core.ports import Call
from core.record import Json

_MOST_FAULTS = 20
_FORBIDDEN_KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: "is positional-only",
    inspect.Parameter.VAR_POSITIONAL: "takes any number of values",
    inspect.Parameter.VAR_KEYWORD: "takes any name",
}


class FreeTextMark:
    """Marks an argument whose wording does not make two calls different intents."""


FreeText = Annotated[str, FreeTextMark()]
"""Text in the model's own words (a body, a comment): by default no part of a call's identity."""


class Schema(GenerateJsonSchema):
    """JSON Schema 2020-12 without the titles that pydantic makes out of names: they tell a model nothing."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - the base class's signature
        return False


class BadSignature(Exception):
    """A function cannot be a tool; the text says why and how to mend it."""


class Arguments(Mapping[str, Any]):
    """The converted arguments of one call, as attributes and as items: ``args.order_id``, ``args["order_id"]``."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)  # instance attributes win over methods, so an argument may be called `items`

    def __getitem__(self, name: str) -> Any:
        return self.__dict__[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dict__)

    def __len__(self) -> int:
        return len(self.__dict__)

    def __repr__(self) -> str:
        return f"Arguments({self.__dict__})"


class ArgumentParser:
    """Parses the JSON arguments of one tool: strict ('5' is no integer), nothing unknown, defaults filled in.

    Fields of the pydantic model have numbered names and the real ones as aliases: an argument may then be called
    ``schema`` or ``copy``, which a field may not.
    """

    def __init__(self, tool: str, function: Callable[..., Any]) -> None:
        self._tool = tool
        parameters = _parameters(function)
        self.names = tuple(parameters)
        self.free_text = tuple(name for name, (annotation, _) in parameters.items() if _is_free_text(annotation))
        self._model = _model(tool, parameters)

    def schema(self) -> dict[str, Json]:
        """Write the JSON Schema of the arguments."""
        schema = self._model.model_json_schema(by_alias=True, schema_generator=Schema)
        schema.pop("title", None)
        return {"properties": {}, **schema}

    def normalise(self, args: Mapping[str, Json]) -> dict[str, Json]:
        """Validate and return the arguments as canonical JSON values, defaults included. Raises Refused."""
        parsed = self._parse(args)
        try:
            normal: dict[str, Json] = parsed.model_dump(mode="json", by_alias=True)
            canonical(normal)
        except (PydanticSerializationError, NotCanonical) as error:
            raise self._refused([f"the arguments have no canonical JSON: {error}"]) from error
        return normal

    def convert(self, args: Mapping[str, Json]) -> Arguments:
        """Turn JSON arguments into the types that the function declares. Raises Refused."""
        parsed = self._parse(args)
        return Arguments({name: getattr(parsed, _field(number)) for number, name in enumerate(self.names)})

    def _parse(self, args: Mapping[str, Json]) -> BaseModel:
        # From canonical JSON and not from Python values: then strict mode takes dates and enums as their text, and
        # 5.0 is the integer 5, as it is in the fingerprint.
        try:
            return self._model.model_validate_json(canonical(dict(args)), strict=True)
        except ValidationError as error:
            raise self._refused([_fault(detail) for detail in error.errors(include_url=False)]) from error
        except NotCanonical as error:
            raise self._refused([f"the arguments have no canonical JSON: {error}"]) from error
        except Exception as error:  # a validator of the tool's own types; nothing has been sent yet
            raise self._refused([f"the tool's own check failed: {type(error).__name__}: {error}"]) from error

    def _refused(self, faults: list[str]) -> Refused:
        more = f" (and {len(faults) - _MOST_FAULTS} more)" if len(faults) > _MOST_FAULTS else ""
        return Refused("bad_arguments", f"{self._tool}: {'; '.join(faults[:_MOST_FAULTS])}{more}")


def _parameters(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """Return name -> (annotation, default or `Parameter.empty`) of all but the first, which is the Call."""
    parameters = list(inspect.signature(function).parameters.values())
    hints = type_hints(function)
    if not parameters or hints.get(parameters[0].name, Call) is not Call or not _may_be_call(parameters[0], hints):
        raise BadSignature("the first parameter has to be the call; write it as `call: Call`")
    return {parameter.name: _parameter(parameter, hints) for parameter in parameters[1:]}


def _may_be_call(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> bool:
    by_position = parameter.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return by_position and (parameter.name in hints or parameter.name == "call")


def _parameter(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> tuple[Any, Any]:
    if parameter.kind in _FORBIDDEN_KINDS:
        problem = _FORBIDDEN_KINDS[parameter.kind]
        raise BadSignature(f"parameter `{parameter.name}` {problem}; name each argument, with a type")
    if parameter.name not in hints:
        raise BadSignature(f"argument `{parameter.name}` has no type; write for instance `{parameter.name}: str`")
    if isinstance(parameter.default, FieldInfo):
        return Annotated[hints[parameter.name], parameter.default], inspect.Parameter.empty
    return hints[parameter.name], parameter.default


def type_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Resolve the annotations of a function. Raises BadSignature for a name that is not known when the tool runs."""
    try:
        return get_type_hints(function, include_extras=True)
    except Exception as error:  # whatever evaluating somebody's annotation may raise
        raise BadSignature(
            f"its annotations cannot be read ({error}); import their types outside `if TYPE_CHECKING`"
        ) from error


def _model(tool: str, parameters: Mapping[str, tuple[Any, Any]]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for number, (name, (annotation, default)) in enumerate(parameters.items()):
        info = Field(alias=name) if default is inspect.Parameter.empty else Field(alias=name, default=default)
        fields[_field(number)] = (annotation, info)
    try:
        return create_model(tool, __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=False), **fields)
    except Exception as error:  # pydantic raises many kinds for types that it cannot handle
        first = str(error).strip().splitlines()[0]
        raise BadSignature(f"its arguments are no pydantic types: {first}") from error


def _field(number: int) -> str:
    return f"argument_{number}"


def _is_free_text(annotation: Any) -> bool:
    if isinstance(annotation, FreeTextMark):
        return True
    metadata = getattr(annotation, "__metadata__", ())
    return any(_is_free_text(part) for part in (*get_args(annotation), *metadata))


def _fault(detail: Any) -> str:
    where = ".".join(str(part) for part in detail["loc"]) or "arguments"
    match detail["type"]:
        case "extra_forbidden":
            return f"{where}: there is no such argument"
        case "missing":
            return f"{where}: is required"
        case _:
            return f"{where}: {detail['msg']} (found {_kind(detail['input'])})"


def _kind(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
