"""The plan as a document: a typed data-flow of tool calls. `core/checking.py` checks it, the machine runs it.

Records: what a planner sends is read strictly there, what history holds (perhaps of a later version) tolerantly here.
"""

from pydantic import Field

from core.record import Json, Message, Record

STEP_ID = r"^[a-z][a-z0-9_]{0,31}$"


class PlannedStep(Record):
    """One call of a tool. `args` may hold references; `after` adds order where no data flows; `repeat_of` names an
    earlier step whose effect is rightfully wanted a second time.
    """

    id: str = Field(pattern=STEP_ID)
    tool: str
    args: dict[str, Json] = {}
    after: tuple[str, ...] = ()
    why: str = ""
    repeat_of: str | None = None


class Outcome(Record):
    """What the task answers once every step has succeeded and the agent's conditions hold."""

    answer: str


class Plan(Record):
    """Steps (with or without `finish`), or `finish` alone, or `ask` alone. `confidence` is between 0 and 1."""

    steps: tuple[PlannedStep, ...] = ()
    finish: Outcome | None = None
    ask: str | None = None
    confidence: float = Field(default=1.0, ge=0.0, le=1.0)


class Fault(Message):
    """One thing wrong with a plan: in which step, at which pointer, what, and what was expected."""

    step: str = ""
    where: str = ""
    problem: str = ""
    expected: str = ""

    def __str__(self) -> str:
        place = " ".join(part for part in (self.step, self.where) if part)
        return f"{place or 'plan'}: {self.problem}" + (f"; expected {self.expected}" if self.expected else "")
