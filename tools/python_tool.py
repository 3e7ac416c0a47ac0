"""A finished Python tool behind the port that the door knows. What an error means for a row is decided there."""

import inspect
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_jsonable_python

from core.names import canonical
from core.ports import Call, Sorted
from core.record import Json
from tools.arguments import Arguments
from tools.declaration import Declaration
from tools.function import invoke
from tools.sorting import sort


class PythonTool:
    """Implements `core.ports.Tool` over a declaration with all its hooks. Raises ConfigError if one is missing."""

    def __init__(self, declaration: Declaration) -> None:
        self.declaration = declaration
        self.contract = declaration.contract()
        self._parser = declaration.parser
        self._converter = declaration.converter
        self._hooks = dict(declaration.hooks)

    def __repr__(self) -> str:
        return repr(self.declaration)

    def check(self, args: Mapping[str, Json]) -> dict[str, Json]:
        return self._parser.normalise(args)

    async def preflight(self, call: Call, args: Mapping[str, Json]) -> dict[str, Json]:
        if (function := self._hooks.get("preflight")) is None:
            return {}
        facts = await invoke(function, call, **_wanted(function, self._parser.convert(args)))
        plain = {} if facts is None else to_jsonable_python(facts, by_alias=True)
        if not isinstance(plain, dict):
            raise TypeError(
                f"preflight of {self.contract.name} has to return a dict of facts, not a {type(facts).__name__}"
            )
        canonical(plain)
        return plain

    async def send(self, call: Call, args: Mapping[str, Json]) -> Json:
        result = await invoke(self.declaration.function, call, **self._parser.convert(args))
        return self._converter.to_json(result)

    async def verify(self, call: Call, args: Mapping[str, Json], result: Json) -> bool | None:
        if (function := self._hooks.get("verify")) is None:
            return None
        answer = await invoke(function, call, self._parser.convert(args), self._converter.from_json(result))
        if not isinstance(answer, bool):
            raise TypeError(f"verify of {self.contract.name} has to answer True or False, not {answer!r:.80}")
        return answer

    async def probe(self, call: Call, args: Mapping[str, Json]) -> Json | None:
        if (function := self._hooks.get("probe")) is None:
            raise LookupError(f"{self.contract.name} has no probe")
        answer = await invoke(function, call, self._parser.convert(args))
        if answer is None:
            return None
        if answer is False:  # "not found" meant, "found" understood: that would lose an effect, so neither
            raise TypeError(
                f"probe of {self.contract.name} has to answer None for an effect that is not there, not False"
            )
        return self._converter.to_json(answer)

    def sort(self, error: BaseException) -> Sorted:
        return sort(error)


def _wanted(function: Any, args: Arguments) -> Mapping[str, Any]:
    """Leave out the arguments that a preflight does not name."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return args
    return {parameter.name: args[parameter.name] for parameter in list(parameters)[1:]}
