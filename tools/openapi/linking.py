"""Tools of one source that need each other: which operation is asked about an effect, and which one takes it back."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.contract import Contract
from core.names import undo_of
from tools.filling import fault_in
from tools.openapi.faults import Fault, Place, Wrong, listed
from tools.openapi.tables import ContractTable, Lookup, Source
from tools.openapi.tool import Endpoint, OpenApiTool
from tools.undo_by_tool import UndoByTool, undo_fault

Part = tuple[Contract, Endpoint]


@dataclass(frozen=True, slots=True)
class Linked:
    """Finished tools and the undos of them by their names, and what was wrong."""

    tools: dict[str, OpenApiTool] = field(default_factory=dict)
    undos: dict[str, UndoByTool] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def link(source: Source, parts: Mapping[str, Part]) -> Linked:
    """Finish the tools of a source; `parts`: by operation."""
    bare = {name: OpenApiTool(contract, endpoint) for name, (contract, endpoint) in parts.items()}
    linked, by_operation = Linked(), dict[str, OpenApiTool]()
    for operation, tool in bare.items():
        table = source.contracts.get(operation, ContractTable())
        try:
            by_operation[operation] = finished = _with_lookups(operation, table, tool, bare)
            _add(operation, finished, linked)
        except Wrong as error:
            linked.faults.append(error.fault)
    for operation, tool in by_operation.items():
        try:
            _add_undo(operation, source.contracts.get(operation, ContractTable()), tool, by_operation, linked)
        except Wrong as error:
            linked.faults.append(error.fault)
    return linked


def _with_lookups(
    operation: str, table: ContractTable, tool: OpenApiTool, tools: Mapping[str, OpenApiTool]
) -> OpenApiTool:
    """Give a tool its probe and verify."""
    wanted = {word: lookup for word, lookup in (("probe", table.probe), ("verify", table.verify)) if lookup is not None}
    found = {
        word: (lookup, _asked(("contracts", operation, word), lookup, tools, is_verify=word == "verify"))
        for word, lookup in wanted.items()
    }
    return OpenApiTool(tool.contract, tool.endpoint, **found)


def _asked(place: Place, lookup: Lookup, tools: Mapping[str, OpenApiTool], *, is_verify: bool) -> OpenApiTool:
    tool = _named((*place, "operation"), lookup.operation, tools)
    if tool.contract.writes:
        raise Wrong((*place, "operation"), f"{lookup.operation} may write; a look-up has to be a read")
    trees = ("$args", "$inputs", "$result") if is_verify else ("$args", "$inputs")
    for value in (*lookup.args.values(), *lookup.where.values()):
        if wrong := fault_in(value, trees=trees):
            raise Wrong(place, wrong)
    known, required = tool.contract.args_schema["properties"], tool.contract.args_schema.get("required", ())
    if unknown := sorted(set(lookup.args) - set(known)):
        problem = f"{lookup.operation} has no argument {unknown[0]!r}; they are: {listed(known)}"
        raise Wrong((*place, "args"), problem)
    if lacking := sorted(set(required) - set(lookup.args)):
        raise Wrong((*place, "args"), f"{lookup.operation} needs {lacking[0]!r}")
    return tool


def _named(place: Place, operation: str, tools: Mapping[str, OpenApiTool]) -> OpenApiTool:
    if (tool := tools.get(operation)) is None:
        raise Wrong(place, f"there is no operation {operation!r} among the tools; {listed(tools)}")
    return tool


def _add(operation: str, tool: OpenApiTool, linked: Linked) -> None:
    name = tool.contract.name
    if linked.tools.setdefault(name, tool) is not tool:
        problem = f"two operations would become the tool {name!r}; give one a name of its own"
        raise Wrong(("contracts", operation, "name"), problem)


def _add_undo(
    operation: str, table: ContractTable, tool: OpenApiTool, tools: Mapping[str, OpenApiTool], linked: Linked
) -> None:
    if table.undo is None:
        return
    place: Place = ("contracts", operation, "undo")
    by = _named((*place, "operation"), table.undo.operation, tools)
    if wrong := undo_fault(tool.contract, by.contract, table.undo.args):
        raise Wrong(place, wrong)
    linked.undos[undo_of(tool.contract.name)] = UndoByTool(tool, by, table.undo.args)
