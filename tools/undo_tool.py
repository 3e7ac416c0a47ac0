"""The companion of a tool that can be undone: a tool of its own, ``NAME.undo``, behind the same port.

No plan may name it. Its arguments are those of the call that it takes back, and that call's result.
"""

from collections.abc import Mapping

from core.contract import Contract, Effect
from core.errors import Refused
from core.names import NotCanonical, canonical, undo_of
from core.ports import Call, Sorted
from core.record import Json
from tools.declaration import Declaration, Undo
from tools.function import invoke
from tools.sorting import sort


class UndoTool:
    """Implements `core.ports.Tool` over the undo of a declaration. `of`: the contract of the tool that it undoes."""

    def __init__(self, declaration: Declaration, undoing: Undo, of: Contract) -> None:
        self.declaration = declaration
        self.contract = _contract(undoing, of)
        self._undoing = undoing

    def __repr__(self) -> str:
        return f"<undo of {self.declaration!r}>"

    def check(self, args: Mapping[str, Json]) -> dict[str, Json]:
        """Validate the arguments as the undone tool does; its result is taken as it was stored."""
        if set(args) != {"args", "result"} or not isinstance(args["args"], dict):
            raise self._refused("it takes the arguments and the result of the call that it undoes, and nothing else")
        try:
            canonical(args["result"])
        except NotCanonical as error:
            raise self._refused(f"the result has no canonical JSON: {error}") from error
        return {"args": self.declaration.parser.normalise(args["args"]), "result": args["result"]}

    async def preflight(self, call: Call, args: Mapping[str, Json]) -> dict[str, Json]:  # noqa: ARG002 - the port's
        return {}

    async def send(self, call: Call, args: Mapping[str, Json]) -> Json:
        """Call the undo with arguments and result in the tool's own types; a result that fits none comes as JSON."""
        given = self.declaration.parser.convert(args["args"])
        result = self.declaration.converter.from_json(args["result"])
        return self._undoing.converter.to_json(await invoke(self._undoing.function, call, given, result))

    async def verify(self, call: Call, args: Mapping[str, Json], result: Json) -> bool | None:  # noqa: ARG002
        return None

    async def probe(self, call: Call, args: Mapping[str, Json]) -> Json | None:  # noqa: ARG002 - the port's
        raise LookupError(f"{self.contract.name} has no probe")

    def sort(self, error: BaseException) -> Sorted:
        return sort(error)

    def _refused(self, problem: str) -> Refused:
        return Refused("bad_arguments", f"{self.contract.name}: {problem}")


def _contract(undoing: Undo, of: Contract) -> Contract:
    name = undo_of(of.name)
    return Contract(
        name=name,
        description=f"Takes back what {of.name} did.",
        effect=undoing.effect,
        args_schema=arguments_schema(name, of),
        timeout=of.timeout,
        attempts=of.attempts,
        key_window=undoing.key_window,
        settle_time=of.settle_time,
        result_cap=of.result_cap,
        database=of.database if undoing.effect is Effect.TRANSACTIONAL else None,
        undoes=of.name,
        source=of.source,
    )


def arguments_schema(name: str, of: Contract) -> dict[str, Json]:
    """Describe what an undo called `name` is called with: arguments and result of the call that it takes back."""
    parts = {"args": of.args_schema, "result": of.result_schema or {}}
    return {
        "type": "object",
        "properties": {part: _embedded(name, part, schema) for part, schema in parts.items()},
        "required": list(parts),
        "additionalProperties": False,
    }


def _embedded(name: str, part: str, schema: dict[str, Json]) -> dict[str, Json]:
    """Give a schema with references inside a base of its own, so that they still lead to its own definitions.

    (JSON Schema 2020-12, section 8.2.1.)
    """
    return {"$id": f"lastmile:{name}/{part}", **schema} if "$defs" in schema else schema
