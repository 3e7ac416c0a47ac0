"""Undo by another tool of the same source: ``NAME.undo`` calls it, with arguments filled in from what is taken back.

It is as repeatable as the tool that it calls. No plan may name it; policy judges it by its own name.
"""

from collections.abc import Mapping

from core.contract import Contract
from core.errors import Refused
from core.names import undo_of
from core.ports import Call, Sorted, Tool
from core.record import Json
from tools.filling import fault_in, fill
from tools.undo_tool import arguments_schema

_TREES = ("$args", "$inputs", "$result")


def undo_fault(of: Contract, by: Contract, args: Mapping[str, Json]) -> str:
    """Say why a tool cannot take back what another one did, called with `args`; "" when it can."""
    if not of.writes:
        return f"{of.name} only reads; there is nothing to take back"
    if not by.writes:
        return f"{by.name} only reads; it takes nothing back"
    known = by.args_schema.get("properties", {})
    if unknown := sorted(set(args) - set(known)):
        return f"{by.name} has no argument {unknown[0]!r}; it has: {', '.join(known) or 'none'}"
    if lacking := sorted(set(by.args_schema.get("required", ())) - set(args)):
        return f"{by.name} needs {lacking[0]!r}"
    return next((wrong for value in args.values() if (wrong := fault_in(value, trees=_TREES))), "")


class UndoByTool:
    """Implements `core.ports.Tool`. `of`: the tool that is undone; `by`: what is called, with `args` filled in."""

    def __init__(self, of: Tool, by: Tool, args: Mapping[str, Json]) -> None:
        self.contract = _contract(of.contract, by.contract)
        self._of = of
        self._by = by
        self._args = args

    def __repr__(self) -> str:
        return f"<undo of {self._of!r}>"

    def check(self, args: Mapping[str, Json]) -> dict[str, Json]:
        """Validate the arguments as the undone tool does; its result is taken as it was stored."""
        if set(args) != {"args", "result"} or not isinstance(args["args"], dict):
            problem = "it takes the arguments and the result of the call that it undoes, and nothing else"
            raise Refused("bad_arguments", f"{self.contract.name}: {problem}")
        return {"args": self._of.check(args["args"]), "result": args["result"]}

    async def preflight(self, call: Call, args: Mapping[str, Json]) -> dict[str, Json]:
        return await self._by.preflight(call, self._filled(call, args))

    async def send(self, call: Call, args: Mapping[str, Json]) -> Json:
        return await self._by.send(call, self._filled(call, args))

    async def verify(self, call: Call, args: Mapping[str, Json], result: Json) -> bool | None:
        return await self._by.verify(call, self._filled(call, args), result)

    async def probe(self, call: Call, args: Mapping[str, Json]) -> Json | None:
        return await self._by.probe(call, self._filled(call, args))

    def sort(self, error: BaseException) -> Sorted:
        return self._by.sort(error)

    def _filled(self, call: Call, args: Mapping[str, Json]) -> dict[str, Json]:
        """Write what is sent. Raises Refused for values that are not there, or that the tool does not take."""
        filled = {name: fill(value, call, args["args"], args["result"]) for name, value in self._args.items()}
        return self._by.check(filled)


def _contract(of: Contract, by: Contract) -> Contract:
    name = undo_of(of.name)
    own = {
        "name": name,
        "description": f"Takes back what {of.name} did, by {by.name}.",
        "args_schema": arguments_schema(name, of),
        "undoes": of.name,
        "has_undo": False,
    }
    not_of_an_undo = {"identity": None, "fallback": None, "approve_hint": None, "fresh_for": None}
    return by.model_copy(update={**own, **not_of_an_undo})
