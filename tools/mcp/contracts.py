"""The contract of one tool: what its server says, as accepted, with what the agent's owner declares about it.

What only the server says is never believed about effects: a tool that nobody declared is `unrepeatable`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NoReturn

from core.contract import Contract, Effect
from core.names import RESERVED_TOOL_NAMES
from core.record import Json
from tools.filling import fault_in
from tools.mcp.pins import Pin
from tools.mcp.tables import LONGEST_WAIT, ContractTable, Lookup, ServerTable
from tools.options import Options

Place = tuple[str | int, ...]
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_NOT_OF_A_NAME = re.compile(r"[^A-Za-z0-9_]")
_OPTIONS = (
    "effect",
    "key_window",
    "settle_time",
    "timeout",
    "attempts",
    "identity",
    "fresh_for",
    "fallback",
    "result_cap",
    "approve_hint",
)
_WORD = re.compile(r"[a-z_]+")


class Fault(Exception):
    """Something in the ``[[mcp]]`` table does not hold. `place`: keys inside the table."""

    def __init__(self, place: Place, problem: str) -> None:
        super().__init__(problem)
        self.place = place
        self.problem = problem


@dataclass(frozen=True, slots=True)
class _Arguments:
    """What `Options` has to know of arguments: those that a model gives."""

    names: tuple[str, ...]
    free_text: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Drafted:
    """A contract, and the arguments that the runtime fills in."""

    contract: Contract
    fills: Mapping[str, Json]


def name_of(table: ServerTable, pin: Pin) -> str:
    """Name a tool for plans and policy: the prefix and the server's name, other characters as ``_``. Raises Fault."""
    name = table.prefix + _NOT_OF_A_NAME.sub("_", pin.name)
    if not _NAME.fullmatch(name):
        problem = f"the tool {pin.name!r:.100} cannot be called that here; give a prefix, or leave it out with `except`"
        raise Fault(("prefix",), problem)
    if name in RESERVED_TOOL_NAMES:
        raise Fault(("prefix",), f"the name {name} is reserved for the runtime; give a prefix")
    return name


def draft(table: ServerTable, pin: Pin, declared: ContractTable) -> Drafted:
    """Write the contract of a tool. Raises Fault."""
    place = ("contracts", pin.name)
    name, fills = name_of(table, pin), _fills(table, pin, declared)
    schema = _visible(pin.input_schema, fills)
    options = declared.model_dump(include=set(_OPTIONS), exclude_none=True)
    options.setdefault("effect", "read" if _matches(pin.name, table.reads) else "unrepeatable")
    if options["effect"] == "transactional":
        raise Fault((*place, "effect"), "transactional is for tools in Python, which share a database with us")

    def fail(problem: str) -> NoReturn:
        word = _WORD.match(problem)
        key = (word.group(),) if word and word.group() in _OPTIONS else ()
        raise Fault((*place, *key), problem)

    fields = Options(fail, _Arguments(tuple(schema["properties"])), options).read()
    _check_effect(declared, fields["effect"], place)
    if table.url and (limit := fields.get("timeout")) is not None and limit.total_seconds() > LONGEST_WAIT:
        raise Fault((*place, "timeout"), f"over HTTP it is at most {LONGEST_WAIT:g} s")
    contract = Contract.model_validate(
        {
            "name": name,
            "description": pin.description,
            "args_schema": schema,
            "result_schema": pin.output_schema,
            "has_probe": declared.probe is not None,
            "has_verify": declared.verify is not None,
            "has_undo": declared.undo is not None,
            "source": f"mcp:{table.name}",
            **fields,
        }
    )
    return Drafted(contract, fills)


def _check_effect(declared: ContractTable, effect: Effect, place: Place) -> None:
    if (effect is Effect.KEYED) != (declared.key is not None):
        problem = 'effect = "keyed" and key = "ARGUMENT" (the one that takes the idempotency key) go together'
        raise Fault((*place, "effect" if declared.key is None else "key"), problem)
    if effect is Effect.PROBED and declared.probe is None:
        raise Fault((*place, "effect"), 'effect = "probed" needs probe = {tool = "...", args = {...}}')
    if effect is Effect.READ and (declared.probe or declared.verify):
        raise Fault((*place, "effect"), "a read has nothing to look up afterwards; leave probe and verify out")


def _fills(table: ServerTable, pin: Pin, declared: ContractTable) -> dict[str, Json]:
    """Return the arguments that the model neither sees nor gives. Raises Fault."""
    known = pin.input_schema.get("properties", {})
    own = declared.fill | ({declared.key: "$key"} if declared.key else {})
    for name, value in own.items():
        place = ("contracts", pin.name, "key") if name == declared.key else ("contracts", pin.name, "fill", name)
        if name not in known:
            raise Fault(place, f"the tool has no argument {name!r}; it has: {', '.join(known) or 'none'}")
        if wrong := fault_in(value, trees=("$args", "$inputs")):
            raise Fault(place, wrong)
    return fills_of(table, pin) | own


def fills_of(table: ServerTable, pin: Pin) -> dict[str, Json]:
    """Return what the server's table fills in for a tool: the arguments that it has."""
    return {name: value for name, value in table.fill.items() if name in pin.input_schema.get("properties", {})}


def check_lookup(lookup: Lookup, pin: Pin, fills: Mapping[str, Json], place: Place, trees: tuple[str, ...]) -> None:
    """Check a question against the tool that it is put to. Raises Fault."""
    known = pin.input_schema.get("properties", {})
    if unknown := [name for name in lookup.args if name not in known]:
        raise Fault(
            (*place, "args"), f"{lookup.tool} has no argument {unknown[0]!r}; it has: {', '.join(known) or 'none'}"
        )
    given = {*lookup.args, *fills}
    if missing := [name for name in pin.input_schema.get("required", []) if name not in given]:
        raise Fault((*place, "args"), f"{lookup.tool} needs {', '.join(missing)}")
    for value in (*lookup.args.values(), *lookup.where.values()):
        if wrong := fault_in(value, trees=trees):
            raise Fault(place, wrong)
    if not lookup.where and not lookup.found and pin.output_schema is None:
        problem = f"{lookup.tool} answers text as far as we know; say where in it the effect is: found or where"
        raise Fault(place, problem)


def _visible(schema: Mapping[str, Json], fills: Mapping[str, Json]) -> dict[str, Json]:
    """Take the filled arguments out of a schema, and refuse unknown ones, as every other tool does."""
    shown = {name: part for name, part in schema.get("properties", {}).items() if name not in fills}
    required = [name for name in schema.get("required", []) if name not in fills]
    rest = {key: value for key, value in schema.items() if key not in ("properties", "required", "title", "$schema")}
    if "patternProperties" not in rest:
        rest.setdefault("additionalProperties", False)
    return {**rest, "properties": shown, **({"required": required} if required else {})}


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def is_chosen(table: ServerTable, name: str) -> bool:
    """Whether a tool is among those that the agent takes from the server."""
    return (not table.only or _matches(name, table.only)) and not _matches(name, table.except_)
