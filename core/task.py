"""A task as data: what it wants, where it stands, and what it waits for. One object, also over continue-as-new."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from core.contract import Terms
from core.messages import Ruling
from core.plan import Plan, PlannedStep
from core.profile import EndStatus, Profile
from core.receipts import Approval
from core.record import Input, Json, Message, Record, written
from core.values import Given


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


class Phase(StrEnum):
    """Where a step is. Open until one of the last five."""

    PLANNED = "planned"
    CALLING = "calling"
    ASKING = "asking"
    DOUBTED = "doubted"
    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"
    DROPPED = "dropped"
    SKIPPED = "skipped"

    @property
    def is_open(self) -> bool:
        """Whether something may still happen with the step."""
        return self in (Phase.PLANNED, Phase.CALLING, Phase.ASKING, Phase.DOUBTED)


class Step(Message):
    """One step of a round, from plan to receipt.

    ``intent`` and ``revision`` make the key (with namespace, task and tool); ``entry`` counts visits to the door.
    ``needs``: full ids of the steps that must have succeeded. ``edited``: arguments that a person put in place of the
    planned ones. ``tried``: tools that were unavailable and whose fallback this is, first to last.
    ``forgotten``: the result was too large to be carried on; the ledger has it, references to it have no value.
    """

    id: str
    planned: PlannedStep
    terms: Terms
    needs: tuple[str, ...] = ()
    intent: int
    revision: int = 1
    entry: int = 1
    key: str
    phase: Phase = Phase.PLANNED
    edited: dict[str, Json] | None = None
    edited_by: str = ""
    edited_origin: dict[str, str] = {}
    approvals: tuple[Approval, ...] = ()
    ruling: Ruling | None = None
    result: Json = None
    blob: str | None = None
    size: int = 0
    preview: str = ""
    forgotten: bool = False
    already: bool = False
    of: str = ""
    verified: bool | None = None
    approved_by: tuple[str, ...] = ()
    code: str = ""
    message: str = ""
    outcome: Literal["", "succeeded", "failed", "unknown"] = ""
    tried: tuple[str, ...] = ()

    @property
    def tool(self) -> str:
        """Name of the tool."""
        return self.planned.tool


class RequestKind(StrEnum):
    """Why a person is needed."""

    APPROVAL = "approval"
    OUTCOME = "outcome"
    STUCK = "stuck"
    QUESTION = "question"


class Request(Message):
    """Something that only a person can say. `digest` binds an answer to what was shown.

    ``may_answer``: names; empty = anybody (but the requester). ``approvers``: roles or names of the rule.
    ``cause``: for a stuck request, which bound or failure led to it; ``step`` where it is about one.
    """

    id: str
    kind: RequestKind
    cause: str = ""
    step: str = ""
    tool: str = ""
    args: dict[str, Json] = {}
    origin: dict[str, str] = {}
    digest: str = ""
    facts: dict[str, Json] = {}
    rule: str = ""
    reason: str = ""
    hint: str = ""
    why: str = ""
    note: str = ""
    choices: tuple[str, ...] = ()
    owner: str = ""
    approvers: tuple[str, ...] = ()
    may_answer: tuple[str, ...] = ()
    quorum: int = 1
    given: tuple[Approval, ...] = ()
    opened_at: datetime
    remind_at: datetime | None = None
    escalate_at: datetime | None = None
    expires_at: datetime | None = None
    escalated_to: tuple[str, ...] = ()
    reminded: bool = False
    escalated: int = 0


class Told(Message):
    """A notice that is to go out: for a request and a rung, once."""

    request: str
    rung: str
    to: tuple[str, ...] = ()
    title: str = ""
    text: str = ""


class Ending(Message):
    """That the task is to end, how, and why; it does once nothing is in flight and nothing in doubt."""

    status: EndStatus
    reason: str


class Spent(Message):
    """What the task has used. `cost_usd` is rounded to a millionth."""

    planning_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


class Planning(Message):
    """Where planning stands.

    ``call``: number of the call under way or next; ``route``: index of the model in use; ``floor``: those before it
    are down; ``replies`` and ``spent_errors`` are for the scripted model; ``refused``: refusals in a row by this model;
    ``parks``: how often every model was down in a row; ``faults`` and ``instructions`` go to the planner;
    ``candidate``: a plan that waits for a person's word; ``last_input``: tokens of the last prompt.
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
    faults: tuple[str, ...] = ()
    instructions: tuple[str, ...] = ()
    without_tools: tuple[str, ...] = ()
    candidate: Plan | None = None
    candidate_terms: dict[str, Terms] = {}


class Closed(Message):
    """A request that is no longer open: `how` says what became of it."""

    step: str = ""
    how: str = ""


class Folded(Message):
    """Steps of old rounds that left the state; the ledger has them."""

    steps: int = 0
    effects: int = 0


class TaskState(Record):
    """Everything that the core knows of a task.

    ``steps``: of the round under way; ``past``: ended steps of earlier rounds (oldest folded away when large).
    ``plan_digest``: of the plan under way; empty once the wish was amended.
    ``extra``: allowances that the owner granted beyond the limits. ``calls_seen``: how often the same call brought the
    same result; ``failed_plans``: digests. ``unaccepted``: the last answers that did not fit, newest last.
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
    ending: Ending | None = None
    answer: str = ""
    final: EndStatus | None = None

    @property
    def deadline(self) -> datetime | None:
        """When the task's wall time is over."""
        return self.started_at + self.profile.limits.wall_time if self.profile else None

    @property
    def is_outdated(self) -> bool:
        """Whether the steps under way belong to a wish that was amended since: nothing more of them may be sent."""
        return bool(self.steps) and not self.plan_digest

    @property
    def settles_only(self) -> bool:
        """Whether calls under way may only find out what became of them."""
        return self.ending is not None or self.is_outdated

    def step(self, step_id: str) -> Step | None:
        """Find a step of this or an earlier round."""
        return self.steps.get(step_id) or self.past.get(step_id)
