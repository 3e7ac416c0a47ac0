"""Base classes of all data: frozen, tolerant with what we wrote earlier, strict with what others send."""

from datetime import timedelta
from typing import Annotated, Any, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    model_serializer,
)

Json: TypeAlias = Any
"""A value that JSON can hold. It is checked where it enters, not here."""

Seconds = Annotated[timedelta, PlainSerializer(lambda value: value.total_seconds(), return_type=float)]
"""A duration; in JSON a number of seconds."""

_LEFT_OUT: tuple[Any, ...] = (None, {}, (), "", False)


class Record(BaseModel):
    """A value that we wrote ourselves: unknown fields (of a later version) are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Message(Record):
    """A record that enters Temporal's history: a field that holds its empty default is left out of the JSON."""

    @model_serializer(mode="wrap")
    def _compact(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        fields = type(self).model_fields
        return {name: value for name, value in data.items() if not _is_empty_default(value, fields[name].default)}


def _is_empty_default(value: Any, default: Any) -> bool:
    if value or not any(default is left or default == left for left in _LEFT_OUT):
        return False
    return bool(value == default) or (default == () and value == [])


class Input(BaseModel):
    """A value that a person, a model or a file sends: unknown fields are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def as_given(value: Json, shape: type[BaseModel]) -> Json:
    """Leave null out of an object where a field may be left out: forms, clients and models that have to write every
    field mean "not given". What is no object is returned as it is.
    """
    if not isinstance(value, dict):
        return value
    optional = {name for name, field in shape.model_fields.items() if not field.is_required()}
    return {name: item for name, item in value.items() if item is not None or name not in optional}


def written(shape: type[Input]) -> BeforeValidator:
    """Read an input that we wrote down: fields of a later version are ignored, so that a roll-back wedges no task."""

    def known(value: Any) -> Any:
        return {name: value[name] for name in value if name in shape.model_fields} if isinstance(value, dict) else value

    return BeforeValidator(known)
