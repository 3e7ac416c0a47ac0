"""What the servers of an agent say about their tools, as it was pinned in its tools.lock (lock.py).

A server that changes what it says stops exactly the tool that it changed until that was read and accepted too: a
description is text in the planner's prompt, and a schema is what its calls are checked by. The file belongs beside
agent.toml and under version control. It also lets agents load without starting any server.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.names import NotCanonical, digest
from core.record import Json, Record
from tools.mcp.schemas import problem_with

_LONGEST = 16_000  # characters of a description
_NAME = 128  # characters; the specification's limit (2025-11-25, server/tools)


class Pin(Record):
    """One tool as its server describes it. ``annotations`` are the server's own hints: shown, never believed."""

    name: str
    description: str = ""
    input_schema: dict[str, Json]
    output_schema: dict[str, Json] | None = None
    annotations: dict[str, Json] = {}

    @property
    def digest(self) -> str:
        """Hash of all that reaches the planner or decides about a call; 32 hex digits. Raises NotCanonical."""
        return digest([self.name, self.description, self.input_schema, self.output_schema])

    @property
    def contract(self) -> dict[str, Json]:
        """What somebody accepts: all that is hashed, but the name."""
        return self.model_dump(mode="json", include={"description", "input_schema", "output_schema"})

    def problem(self) -> str:
        """Say why the tool cannot be used as described; "" when it can."""
        if not self.name or len(self.name) > _NAME or not self.name.isprintable():
            return f"its name has to be 1 to {_NAME} printable characters"
        if len(self.description) > _LONGEST:
            return f"its description has {len(self.description):,} characters; at most {_LONGEST:,} are taken"
        if wrong := problem_with(self.input_schema, is_arguments=True):
            return f"the schema of its arguments {wrong}"
        if self.output_schema is not None and (wrong := problem_with(self.output_schema, is_arguments=False)):
            return f"the schema of its result {wrong}"
        try:
            return "" if self.digest else "has no digest"
        except NotCanonical as error:
            return f"what it says has no canonical JSON: {error}"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A pin with its digest, made once."""

    pin: Pin
    digest: str


@dataclass(frozen=True, slots=True)
class Difference:
    """How what a server says now differs from what was accepted; names of its tools."""

    new: tuple[str, ...]
    changed: tuple[str, ...]
    gone: tuple[str, ...]
    unusable: Mapping[str, str]

    def __bool__(self) -> bool:
        return bool(self.new or self.changed or self.gone)


def compare(accepted: Mapping[str, Pin], said: Sequence[Pin]) -> Difference:
    """Compare what was accepted with what a server says now."""
    unusable = {pin.name: problem for pin in said if (problem := pin.problem())}
    now = {pin.name: pin.digest for pin in said if pin.name not in unusable}
    before = {name: pin.digest for name, pin in accepted.items()}
    return Difference(
        new=tuple(name for name in now if name not in before),
        changed=tuple(name for name in now if name in before and now[name] != before[name]),
        gone=tuple(name for name in before if name not in now),
        unusable=unusable,
    )
