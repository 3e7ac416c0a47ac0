"""What may stand in an agent's `agent.toml`."""

from datetime import timedelta
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BeforeValidator, Field, StringConstraints

from config.settings import ModelName
from core.durations import Duration
from core.profile import EndStatus, Ladder, Limits
from core.record import Input
from policy.rules import Rule
from tools.openapi.tables import Source

NAME = "agent.toml"

Word = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]


def _not_yet(_: object) -> NoReturn:
    raise ValueError("tools of this source are not supported yet; declare them in Python (tools.py)")


NotYet = Annotated[Any, BeforeValidator(_not_yet)]


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
    """The whole file. ``models``: the route, in this order, as ``provider:NAME``."""

    owner: Word
    instructions: str = Field(default="instructions.md", min_length=1)
    tools: tuple[Word, ...] = ("tools.py",)
    models: tuple[ModelName, ...] = Field(min_length=1)
    limits: LimitsTable = LimitsTable()
    approvals: LadderTable = LadderTable()
    policy: tuple[Rule, ...] = ()
    done: DoneTable = DoneTable()
    undo: UndoTable = UndoTable()
    mcp: NotYet = ()
    openapi: tuple[Source, ...] = ()
