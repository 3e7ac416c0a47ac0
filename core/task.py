"""A task as data: what it wants, where it stands, and what it waits for. One object, also over continue-as-new."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from core.contract import Terms
from core.messages import Undoable
from core.plan import Plan
from core.profile import EndStatus, Profile
from core.record import Input, Message, Record, written
from core.requests import Closed, Request, RequestKind, Told
from core.steps import Phase, Step
from core.values import Given

__all__ = [
    "Closed",
    "Ending",
    "Folded",
    "Phase",
    "Planning",
    "Request",
    "RequestKind",
    "Spent",
    "Stage",
    "Status",
    "Step",
    "TaskSpec",
    "TaskState",
    "Told",
    "Undoing",
]


class TaskSpec(Input):
    """What somebody wants: the one argument that the workflow is started with."""

    agent: str = Field(min_length=1, max_length=200)
    goal: str = Field(min_length=1, max_length=20_000)
    inputs: Given = {}
    requested_by: str = Field(default="", max_length=200)
    again: bool = False


class Status(StrEnum):
    """What people see of a task: as search attribute, in every view. The last five are final."""

    INITIALIZING = "INITIALIZING"
    PLANNING = "PLANNING"
    ACTING = "ACTING"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    AWAITING_PERSON = "AWAITING_PERSON"
    WAITING = "WAITING"
    VALIDATING = "VALIDATING"
    RECOVERING = "RECOVERING"
    COMPENSATING = "COMPENSATING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


class Stage(StrEnum):
    """Where the loop is."""

    OPENING = "opening"
    PLANNING = "planning"
    PARKED = "parked"  # every model is down; planning goes on at `retry_at`
    ACTING = "acting"
    CONCLUDING = "concluding"
    HELD = "held"  # a stuck request or a question is open; its answer says how to go on
    ENDED = "ended"


class Ending(Message):
    """That the task is to end, how, and why; it does once nothing is in flight and nothing in doubt."""

    status: EndStatus
    reason: str


class Undoing(Message):
    """Where taking back stands, once the task is to end in a way at which its agent undoes.

    ``below``: where the ledger's list goes on (None = at the top); ``is_listed``: that was all of it; ``waiting``: what
    is to be undone, next first; ``fault``: why it cannot be listed.
    """

    below: int | None = None
    is_listed: bool = False
    waiting: tuple[Undoable, ...] = ()
    fault: str = ""


class Spent(Message):
    """What the task has used. `cost_usd` is rounded to a millionth."""

    planning_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float = 0.0


class Planning(Message):
    """Where planning stands.

    ``call``: number of the call under way or next; ``route``: index of the model in use; ``floor``: those before it
    are down; ``replies`` and ``spent_errors`` are for the scripted model; ``refused``: refusals in a row by this model;
    ``parks``: how often every model was down in a row, ``parked_at``: since when; ``faults`` and ``instructions`` go to
    the planner; ``candidate``: a plan that waits for a person's word; ``last_input``: tokens of the last prompt.
    ``purpose``: of the calls under way (core.routing); ``escalated``: whether only the strong model will do;
    ``because``: why the model in use is not the first of its route; ``asked``: the last choice, in words;
    ``refusing``: models that gave a definite no, which are not asked again before the owner says so;
    ``waived_on``: a day on which the owner lets the task go beyond the budgets of a day.
    """

    call: int = 0
    route: int = 0
    floor: int = 0
    last_input: int = 0
    reason: str = ""
    replies: int = 0
    spent_errors: dict[str, int] = {}
    refused: int = 0
    parks: int = 0
    parked_at: datetime | None = None
    faults: tuple[str, ...] = ()
    instructions: tuple[str, ...] = ()
    without_tools: tuple[str, ...] = ()
    candidate: Plan | None = None
    candidate_terms: dict[str, Terms] = {}
    purpose: str = ""
    escalated: bool = False
    because: str = ""
    asked: str = ""
    refusing: tuple[str, ...] = ()
    waived_on: str = ""


class Folded(Message):
    """Steps of old rounds that left the state; the ledger has them."""

    steps: int = 0
    effects: int = 0


class TaskState(Record):
    """Everything that the core knows of a task.

    ``steps``: of the round under way; ``past``: ended steps of earlier rounds (oldest folded away when large).
    ``plan_digest``: of the plan under way; empty once the wish was amended, and while effects of an earlier run are
    looked after. ``epoch``: counts resets and runs under the same id, as the ledger does.
    ``listings``: how often the list of what can be undone was begun. ``extra``: allowances that the owner granted
    beyond the limits. ``calls_seen``: how often the same call brought the same result; ``failed_plans``: digests.
    ``unaccepted``: the last answers that did not fit, newest last.
    """

    task_id: str
    spec: Annotated[TaskSpec, written(TaskSpec)]
    profile: Profile | None = None
    started_at: datetime
    now: datetime
    since: datetime
    seen_status: Status = Status.INITIALIZING
    stage: Stage = Stage.OPENING
    paused: bool = False
    paused_by: str = ""
    cancelled: bool = False
    round: int = 0
    next_intent: int = 1
    next_request: int = 1
    steps: dict[str, Step] = {}
    past: dict[str, Step] = {}
    folded: Folded = Folded()
    finish: str | None = None
    conclusions: int = 0
    planning: Planning = Planning()
    fallbacks: dict[str, Terms] = {}
    spent: Spent = Spent()
    extra: dict[str, float] = {}
    amendments: int = 0
    steps_taken: int = 0
    requests: dict[str, Request] = {}
    closed: dict[str, Closed] = {}
    told: dict[str, Told] = {}
    retry_at: datetime | None = None
    calls_seen: dict[str, int] = {}
    failed_plans: tuple[str, ...] = ()
    plan_digest: str = ""
    unaccepted: tuple[str, ...] = ()
    epoch: int = 0
    ending: Ending | None = None
    undoing: Undoing | None = None
    listings: int = 0
    answer: str = ""
    final: EndStatus | None = None

    @property
    def deadline(self) -> datetime | None:
        """When the task's wall time is over."""
        return self.started_at + self.profile.limits.wall_time if self.profile else None

    @property
    def is_outdated(self) -> bool:
        """Whether the steps under way belong to no plan that counts: nothing more of them may be sent."""
        return bool(self.steps) and not self.plan_digest

    @property
    def settles_only(self) -> bool:
        """Whether calls under way may only find out what became of them."""
        return self.undoing is None and (self.ending is not None or self.is_outdated)

    @property
    def is_held_back(self) -> bool:
        """Whether a pause keeps anything from being started; one that ends and undoes nothing is not kept."""
        return self.paused and (self.ending is None or self.undoing is not None)

    def step(self, step_id: str) -> Step | None:
        """Find a step of this or an earlier round."""
        return self.steps.get(step_id) or self.past.get(step_id)
