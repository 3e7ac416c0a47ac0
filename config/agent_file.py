"""What may stand in an agent's `agent.toml`."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from config.routes import Routes
from core.durations import Duration
from core.profile import EndStatus, Ladder, Limits
from core.record import Input
from core.spending import DayBudget
from policy.rules import Rule
from tools.mcp.tables import ServerTable
from tools.openapi.tables import Source

NAME = "agent.toml"

Word = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]


def _names_differ(servers: tuple[ServerTable, ...]) -> tuple[ServerTable, ...]:
    names = [server.name for server in servers]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"there are two servers called {twice[0]!r}; rename one")
    return servers


class LimitsTable(Limits):
    """``[limits]``, with the duration as people write it."""

    wall_time: Duration = timedelta(days=7)


class LadderTable(Ladder):
    """``[approvals]``, with durations as people write them."""

    remind_after: Duration = timedelta(hours=1)
    escalate_after: Duration = timedelta(hours=4)
    escalate_to: tuple[Word, ...] = ()
    expire_after: Duration = timedelta(hours=24)


class DoneTable(Input):
    """``[done]``: CEL over effects; all must hold before a task may be completed."""

    require: tuple[str, ...] = ()


class UndoTable(Input):
    """``[undo]``: the ends of a task at which what it did is undone."""

    on: tuple[Literal["failed", "rejected", "expired", "cancelled"], ...] = ()

    def ends(self) -> tuple[EndStatus, ...]:
        """Return the ends as the core calls them."""
        return tuple(EndStatus(word.upper()) for word in dict.fromkeys(self.on))


class AgentFile(Input):
    """The whole file. ``models``: the route, in this order, as ``provider:NAME``; or a table with one per purpose.

    ``mcp`` and ``openapi``: servers and documents with more tools.
    """

    owner: Word
    instructions: str = Field(default="instructions.md", min_length=1)
    tools: tuple[Word, ...] = ("tools.py",)
    models: Routes
    budgets: DayBudget = DayBudget()
    limits: LimitsTable = LimitsTable()
    approvals: LadderTable = LadderTable()
    policy: tuple[Rule, ...] = ()
    done: DoneTable = DoneTable()
    undo: UndoTable = UndoTable()
    mcp: Annotated[tuple[ServerTable, ...], AfterValidator(_names_differ)] = ()
    openapi: tuple[Source, ...] = ()
