"""What of an agent's configuration the workflow works with: read once by `open_task`, then part of history."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field, NonNegativeFloat, PositiveInt

from core.record import Input, Message, Seconds, written


class EndStatus(StrEnum):
    """How a task can end."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


class Limits(Input):
    """Bounds of one task. `wall_time` counts from the start; `confidence` below it takes the next model."""

    rounds: PositiveInt = 8
    steps: PositiveInt = 40
    steps_per_plan: PositiveInt = 20
    parallel: PositiveInt = 8
    repairs: PositiveInt = 3
    same_call: PositiveInt = 2
    tokens: PositiveInt = 200_000
    cost_usd: NonNegativeFloat = 1.0
    wall_time: Seconds = timedelta(days=7)
    confidence: float = Field(default=0.0, ge=0.0, le=1.0)


class Ladder(Input):
    """When a request that nobody answers reminds, escalates and expires, counted from its opening."""

    remind_after: Seconds = timedelta(hours=1)
    escalate_after: Seconds = timedelta(hours=4)
    escalate_to: tuple[str, ...] = ()
    expire_after: Seconds = timedelta(hours=24)


class Model(Message):
    """One language model of a route. Prices are dollars per million tokens; None = unknown (counted as 0).

    ``cached_input_usd_per_mtok``: of input read from the provider's cache, ``cache_write_usd_per_mtok``: of input put
    there; None = as any input. ``max_output_tokens``: what one call may produce; None = as the profile says.
    ``provider``: whose circuit breaker counts ("" = none). ``queue``: task queue of its calls ("" = that of the task).
    """

    name: str
    input_usd_per_mtok: float | None = None
    output_usd_per_mtok: float | None = None
    cached_input_usd_per_mtok: float | None = None
    cache_write_usd_per_mtok: float | None = None
    max_output_tokens: int | None = None
    provider: str = ""
    queue: str = ""


class Profile(Message):
    """The agent as the workflow sees it.

    `people` maps each role or name that may have to answer to the names that hold it. `search_attributes`: whether the
    server knows ours. `max_output_tokens`: what one planning call may produce unless its model says otherwise, reserved
    from the budget before it.
    `knows_people`: whether anybody is configured at all: then an owner's role that nobody holds is an oversight, and
    is told (not in histories of before it).
    `rereads`: whether a read that is no longer fresh is made again before a write (not in histories of before it).
    `routes`: per purpose (core.routing), where it is not `route`. `strong`: the model for hard calls ("" = the next one
    of the route), which is in every route; `high_stakes`: tools that only it may plan. `routed`: whether models are
    chosen and calls reserved by the rules of core.routing (not in histories of before it).
    """

    agent: str
    owner: str
    namespace: str = "default"
    route: tuple[Model, ...]
    limits: Annotated[Limits, written(Limits)] = Limits()
    ladder: Annotated[Ladder, written(Ladder)] = Ladder()
    people: dict[str, tuple[str, ...]] = {}
    knows_people: bool = False
    trust: str = "open"
    undo_on: tuple[EndStatus, ...] = ()
    rereads: bool = False
    search_attributes: bool = True
    prompt_tokens: int = 0
    max_output_tokens: int = 4096
    routes: dict[str, tuple[Model, ...]] = {}
    strong: str = ""
    high_stakes: tuple[str, ...] = ()
    routed: bool = False

    @property
    def lacks_owner(self) -> bool:
        """Whether nobody holds the owner's role, though people are configured."""
        return self.knows_people and not self.people.get(self.owner)

    @property
    def owners(self) -> tuple[str, ...]:
        """Who may answer for the owner; empty = anybody."""
        return tuple(self.people.get(self.owner, ()))

    @property
    def owner_lacking(self) -> str:
        """Say what follows from a role of the owner that nobody holds ("" = it is held, or nobody is listed)."""
        role = self.owner
        mend = f'give it to somebody in lastmile.toml, [people.NAME] roles = ["{role}"]'
        found = f"Nobody holds the owner's role {role!r}, so anybody may answer for it"
        return f"{found}: {mend}" if self.lacks_owner else ""
