"""What people may say besides answers: amendments and remarks."""

from typing import Self, TypeVar

from pydantic import Field, ValidationError

from core.answers import Misfit
from core.record import Input, Json
from core.values import Given

Said = TypeVar("Said", bound=Input)


class Remark(Input):
    """Who pauses or resumes a task, and why."""

    by: str = Field(default="", max_length=200)
    reason: str = Field(default="", max_length=4000)

    @classmethod
    def read(cls, payload: Json) -> Self:
        """Read nothing, a name, or an object. Raises Misfit."""
        return _read(cls, {"by": payload} if isinstance(payload, str) else payload)


class Amendment(Input):
    """A changed wish; what is not given stays as it is."""

    goal: str | None = Field(default=None, min_length=1, max_length=20_000)
    inputs: Given | None = None
    by: str = Field(default="", max_length=200)

    @classmethod
    def read(cls, payload: Json) -> Self:
        """Read an object with a goal or inputs. Raises Misfit."""
        said = _read(cls, payload)
        if said.goal is None and said.inputs is None:
            raise Misfit('an amendment names what changes: {"goal": "..."} or {"inputs": {...}}')
        return said


def _read(shape: type[Said], payload: Json) -> Said:
    try:
        return shape.model_validate({} if payload is None else payload)
    except ValidationError as error:
        raise Misfit(
            "; ".join(f"{'.'.join(map(str, one['loc'])) or 'input'}: {one['msg']}" for one in error.errors()[:5])
        ) from None
