"""Commands (what to do, imperative), orders (what an activity is given) and events (what is now known, past tense).

Their names are a contract with histories that exist: add fields with defaults, never rename.
"""

import functools
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter

from core.briefing import Briefing
from core.contract import Terms
from core.plan import Fault, Plan
from core.profile import EndStatus, Limits, Model, Profile
from core.receipts import Approval
from core.record import Json, Message, written
from core.spending import Usage
from core.visible import writable

Text = Annotated[str, AfterValidator(writable)]
"""Text that may come from anywhere, such as a tool's error."""

# ------------------------------------------------------------------------------------------------------- commands


class OpenTask(Message):
    """Load the agent and bind the task id to this run."""

    kind: Literal["OpenTask"] = "OpenTask"

    @property
    def id(self) -> str:
        """There is one."""
        return "open"


class ProposePlan(Message):
    """Ask the model at `route` (index) for a plan; `call` counts planning calls of the task."""

    kind: Literal["ProposePlan"] = "ProposePlan"
    call: int
    route: int

    @property
    def id(self) -> str:
        """Stable over decisions and over continue-as-new."""
        return f"plan:{self.call}"


class CallTool(Message):
    """Take a step through the door; `entry` counts how often this revision of it went there."""

    kind: Literal["CallTool"] = "CallTool"
    step: str
    revision: int
    entry: int

    @property
    def id(self) -> str:
        """Stable over decisions and over continue-as-new."""
        return f"call:{self.step}:{self.revision}:{self.entry}"


class Notify(Message):
    """Tell people that a request was opened, or that nobody answered it, or how the task ended."""

    kind: Literal["Notify"] = "Notify"
    request: str
    rung: str

    @property
    def id(self) -> str:
        """Stable over decisions and over continue-as-new."""
        return f"notify:{self.request}:{self.rung}"


class Wait(Message):
    """Wake up at `until` even if nothing happens."""

    kind: Literal["Wait"] = "Wait"
    until: datetime

    @property
    def id(self) -> str:
        """One wait for one moment."""
        return f"wait:{self.until.isoformat()}"


class ListEffects(Message):
    """Ask the ledger what stands of the task and can be undone; `below`: only intents under this one (None = all).

    ``entry``: counts how often it was asked, since a person may want it asked again.
    """

    kind: Literal["ListEffects"] = "ListEffects"
    below: int | None = None
    entry: int = 1

    @property
    def id(self) -> str:
        """Stable over decisions and over continue-as-new."""
        return f"effects:{'all' if self.below is None else self.below}:{self.entry}"


class Conclude(Message):
    """Check the outcome of a round against the receipts."""

    kind: Literal["Conclude"] = "Conclude"
    round: int
    entry: int

    @property
    def id(self) -> str:
        """Stable over decisions and over continue-as-new."""
        return f"conclude:{self.round}:{self.entry}"


class Finish(Message):
    """End the workflow as the state says."""

    kind: Literal["Finish"] = "Finish"
    status: EndStatus

    @property
    def id(self) -> str:
        """There is one."""
        return "finish"


Command = OpenTask | ProposePlan | CallTool | ListEffects | Notify | Wait | Conclude | Finish

# --------------------------------------------------------------------------------------------------------- orders


class OpenOrder(Message):
    """Input of `open_task`. `first_run_id`: the first execution run id, the same for a run and all its resets."""

    task_id: str
    agent: str
    goal: str
    inputs: dict[str, Json] = {}
    requested_by: str = ""
    again: bool = False
    first_run_id: str = ""


class PlanOrder(Message):
    """Input of `propose_plan`. `amendments`: so that the ledger knows the wish before anything of it is called.

    ``earlier``: contract digests are looked up by tool; this maps step ids of earlier rounds to their tools, so that
    references to them can be checked. ``attempts``: at the last one the activity answers PlannerUnavailable.
    ``offer``: the model with its prices and its provider; ``purpose`` and ``because``: why it is asked.
    ``chain``: first run id of the chain of runs. ``input_tokens``: the most that the prompt may have, to be reserved
    with `max_output_tokens`. ``allowed_tokens``, ``allowed_usd``: of the task in all (None = not bounded here);
    ``waived_on``: a day on which the budgets of a day do not hold for it.
    """

    model: str
    briefing: Briefing
    requested_by: str = ""
    amendments: int = 0
    earlier: dict[str, str] = {}
    limits: Annotated[Limits, written(Limits)] = Limits()
    attempts: int = 4
    max_output_tokens: int = 4096
    offer: Model | None = None
    purpose: str = ""
    because: str = ""
    chain: str = ""
    input_tokens: int = 0
    allowed_tokens: int | None = None
    allowed_usd: float | None = None
    waived_on: str = ""


class Deferred(Message):
    """A place in the arguments that only the door can fill in, because the value is a blob in the ledger.

    ``at``: JSON pointer into the arguments; ``expression``: the reference as planned (a value or a template);
    ``blobs``: digest of the stored result per step that it refers to; ``values``: of the others, the values themselves.
    ``origins``: per step where its value comes from (request, tool:NAME).
    """

    at: str
    expression: Json
    blobs: dict[str, str]
    values: dict[str, Json] = {}
    origins: dict[str, str] = {}


class Ruling(Message):
    """What a person said about an effect in doubt; `sends`: after how many sends they were asked (None: not known).

    A word about one send says nothing of a later one, such as that of an attempt that was stopped meanwhile.
    """

    choice: Literal["happened", "did_not_happen", "write_off"]
    request_id: str
    by: str = ""
    evidence: str = ""
    result: Json = None
    sends: int | None = None


class Kept(Message):
    """An answer of a tool that could not be written down, since the ledger was down: written later, under its fence.

    ``result`` is cut to what history can hold; `size` says how many bytes it had.
    """

    fence: int
    move: Literal["succeed", "refuse"]
    evidence: str
    code: Text = ""
    message: Text = ""
    result: Json = None
    size: int = 0


class CallOrder(Message):
    """Input of a tool's activity; the activity's type is the tool's name.

    ``origin``: where each argument came from, by JSON pointer: request, tool:NAME, person; what is not listed came from
    the model. ``ruling``: set when a person said what became of this very effect.
    ``settle_only``: the task is ending, or the call is of a run that was given up; find out what became of the effect,
    but begin nothing. ``ancestors``: runs that this one continues, as long as the ledger may not know it yet.
    ``epoch``: as the task knows it; the door answers an older one with EpochOpened. ``undoes``: key of the effect that
    this call takes back; the door fills in the arguments. ``receipt``: an answer to be written down first.
    ``fresh_until``: when something that the arguments rest on grows old; after that nothing is begun (None = never).
    """

    agent: str
    task_id: str
    step: str
    intent: int
    revision: int
    key: str
    digest: str
    args: dict[str, Json] = {}
    origin: dict[str, str] = {}
    deferred: tuple[Deferred, ...] = ()
    approvals: tuple[Approval, ...] = ()
    ruling: Ruling | None = None
    repeat_of: str | None = None
    settle_only: bool = False
    ancestors: tuple[str, ...] = ()
    epoch: int = 0
    undoes: str = ""
    receipt: Kept | None = None
    fresh_until: datetime | None = None


class EffectsOrder(Message):
    """Input of `list_effects`: at most 50 effects, latest first, of intents under `below` (None = all)."""

    agent: str
    task_id: str
    below: int | None = None


class ConcludeOrder(Message):
    """Input of `conclude`: the answer as planned and what it refers to; the receipts are read from the ledger."""

    agent: str
    task_id: str
    answer: str
    deferred: tuple[Deferred, ...] = ()


# --------------------------------------------------------------------------------------------------------- events


class Adopted(Message):
    """An effect of an earlier run of the task (before a reset, or before `run --again`) that this run has to know of.

    ``step``: its id there. ``outcome``: succeeded; unknown (written off by a person); open: not known yet, and this
    run finds out. ``args`` and ``result`` may be cut for showing; the ledger has all. ``terms``: for the door.
    ``undoes``: key of the effect that it takes back. ``evidence``: as in ToolSucceeded.
    """

    step: str
    tool: str
    key: str
    intent: int
    revision: int = 1
    terms: Terms
    outcome: Literal["succeeded", "unknown", "open"]
    args: dict[str, Json] = {}
    result: Json = None
    blob: str | None = None
    size: int = 0
    preview: str = ""
    verified: bool | None = None
    approved_by: tuple[str, ...] = ()
    message: Text = ""
    undoes: str = ""
    evidence: str = ""


class TaskOpened(Message):
    """The agent was loaded and the task bound to this run. `next_intent`: above every number that the ledger knows.

    ``adopted``: what earlier runs did, oldest first, without what was undone since; ``not_shown``: how many more there
    are than fit. ``is_reset``: nobody asked for this run by `run --again`, so its owner has to say how to go on.
    """

    kind: Literal["TaskOpened"] = "TaskOpened"
    profile: Profile
    next_intent: int = 1
    epoch: int = 0
    adopted: tuple[Adopted, ...] = ()
    not_shown: int = 0
    is_reset: bool = False


class TaskRefused(Message):
    """The task cannot start: unknown or broken agent, bad input, an id that ran before."""

    kind: Literal["TaskRefused"] = "TaskRefused"
    reason: str


class PlanProposed(Message):
    """A plan passed every check. `terms` holds, per tool of the plan, what its steps need of the contract."""

    kind: Literal["PlanProposed"] = "PlanProposed"
    plan: Plan
    terms: dict[str, Terms] = {}
    model: str = ""
    call: int = 0
    attempts: int = 1
    usage: Usage = Usage()
    latency_ms: int = 0


class PlanRefused(Message):
    """A reply came, but it is not a plan that may run; every fault at once."""

    kind: Literal["PlanRefused"] = "PlanRefused"
    faults: tuple[Fault, ...] = ()
    model: str = ""
    call: int = 0
    attempts: int = 1
    usage: Usage = Usage()
    latency_ms: int = 0


class PlannerUnavailable(Message):
    """No reply came. `attempts`: requests made in this call (0 = the provider was not asked). `definite`: asking again
    would not help (a bad key, an unknown model, a request that is refused).
    """

    kind: Literal["PlannerUnavailable"] = "PlannerUnavailable"
    model: str = ""
    call: int = 0
    reason: Text
    attempts: int = 1
    definite: bool = False


class BudgetExceeded(Message):
    """The call was not made, since it does not fit. ``until``: when the budget of a day begins anew (None = never).

    ``scope``: task, agent or tenant; ``bound``: tokens or cost_usd.
    """

    kind: Literal["BudgetExceeded"] = "BudgetExceeded"
    call: int = 0
    scope: str
    bound: str
    reason: Text
    until: datetime | None = None


class ToolSucceeded(Message):
    """The call's effect is known to be applied (or the read was answered).

    ``result`` is inline up to 16 kB; else `blob` and `size` name the stored bytes and `preview` shows their beginning.
    ``already``: nothing was sent now; the receipt of an earlier, similar call (`of`, a step id) answers.
    ``verified``: None = the tool cannot read back; False = done, but not confirmed.
    ``evidence``: what it rests on (a core.receipts.Evidence); "" = the provider's own answer, as nearly always.
    """

    kind: Literal["ToolSucceeded"] = "ToolSucceeded"
    step: str
    result: Json = None
    blob: str | None = None
    size: int = 0
    preview: str = ""
    already: bool = False
    of: str = ""
    verified: bool | None = None
    approved_by: tuple[str, ...] = ()
    evidence: str = ""


class ToolRefused(Message):
    """A definite no: nothing was applied, and this call will not be. `outcome` is failed, or unknown once written off.

    Codes of the door: bad_arguments, contract_changed, key_conflict, in_the_way (a similar call is open or in doubt),
    denied, written_off, not_resolved; all others are the tool's own.
    """

    kind: Literal["ToolRefused"] = "ToolRefused"
    step: str
    code: Text
    message: Text = ""
    outcome: Literal["failed", "unknown"] = "failed"


class ToolUnavailable(Message):
    """Certainly not applied, and its attempts are used up."""

    kind: Literal["ToolUnavailable"] = "ToolUnavailable"
    step: str
    reason: Text
    attempts: int = 0


class ApprovalNeeded(Message):
    """Policy asks. Everything that the approver has to see; nothing has happened.

    ``args`` are resolved completely; ``digest`` binds an answer to them. ``approvers``: roles or names of the rule;
    ``may_answer``: the people they stand for now (empty with empty `approvers` = anybody but the requester).
    ``may_reject``: who may reject it besides, where too few are left who may approve it: those who own the task.
    ``given``: approvals that were handed in and fit, but do not suffice yet. ``note``: why earlier ones do not fit.
    """

    kind: Literal["ApprovalNeeded"] = "ApprovalNeeded"
    step: str
    args: dict[str, Json] = {}
    origin: dict[str, str] = {}
    digest: str
    facts: dict[str, Json] = {}
    rule: str = ""
    reason: str = ""
    hint: str = ""
    approvers: tuple[str, ...] = ()
    may_answer: tuple[str, ...] = ()
    may_reject: tuple[str, ...] = ()
    quorum: int = 1
    given: tuple[Approval, ...] = ()
    note: str = ""


class OutcomeUnknown(Message):
    """The call was sent and nobody but a person can say what became of it. `sends`: how often, as its row says."""

    kind: Literal["OutcomeUnknown"] = "OutcomeUnknown"
    step: str
    reason: Text
    args: dict[str, Json] = {}
    digest: str = ""
    sends: int | None = None


class EpochOpened(Message):
    """This run is a reset of an earlier one, and the door did not act: numbering goes on at `next_intent`.

    ``adopted`` and ``not_shown`` as in TaskOpened, of all runs so far: the state may know some of it (by key).
    """

    kind: Literal["EpochOpened"] = "EpochOpened"
    step: str
    epoch: int = 1
    next_intent: int
    adopted: tuple[Adopted, ...] = ()
    not_shown: int = 0


class GrownOld(Message):
    """The call waited at the door until what it rests on had grown old. Nothing was sent, and its key is used up."""

    kind: Literal["GrownOld"] = "GrownOld"
    step: str


class ReceiptKept(Message):
    """The tool answered, but the ledger was down until the attempt ended: the answer is kept here, to be stored."""

    kind: Literal["ReceiptKept"] = "ReceiptKept"
    step: str
    receipt: Kept


class Undoable(Message):
    """An effect that stands and can be taken back by its tool's undo, whose `terms` these are."""

    step: str
    tool: str
    key: str
    intent: int
    terms: Terms


class EffectsListed(Message):
    """What can be undone, latest intent first. `below`: ask again from there; None = that was all."""

    kind: Literal["EffectsListed"] = "EffectsListed"
    effects: tuple[Undoable, ...] = ()
    below: int | None = None


class CallCancelled(Message):
    """A visit to the door was called back (the task ends, pauses, or wants something else); its row knows more."""

    kind: Literal["CallCancelled"] = "CallCancelled"
    step: str


class PersonAnswered(Message):
    """Somebody spoke: `form` is approve, reject, answer or decide, `payload` what they sent, as it came."""

    kind: Literal["PersonAnswered"] = "PersonAnswered"
    form: str
    payload: Json = None


class NotUnderstood(Message):
    """A signal that is none of ours, or whose payload does not decode; recorded and shown."""

    kind: Literal["NotUnderstood"] = "NotUnderstood"
    text: str


class GoalAmended(Message):
    """The wish changed."""

    kind: Literal["GoalAmended"] = "GoalAmended"
    goal: str | None = None
    inputs: dict[str, Json] | None = None
    by: str = ""


class Paused(Message):
    """Nothing new is started until `Resumed`."""

    kind: Literal["Paused"] = "Paused"
    by: str = ""
    reason: str = ""


class Resumed(Message):
    """Go on."""

    kind: Literal["Resumed"] = "Resumed"
    by: str = ""
    reason: str = ""


class CancelRequested(Message):
    """Temporal's cancel."""

    kind: Literal["CancelRequested"] = "CancelRequested"


class TimePassed(Message):
    """A moment that the state waits for may have come; `apply` looks at the time it is given."""

    kind: Literal["TimePassed"] = "TimePassed"


class NoticeSent(Message):
    """People were told."""

    kind: Literal["NoticeSent"] = "NoticeSent"
    request: str
    rung: str
    failed: str = ""


class OutcomeVerified(Message):
    """All conditions hold over the receipts. `entry`: of the command that asked; the shell fills it in."""

    kind: Literal["OutcomeVerified"] = "OutcomeVerified"
    answer: str = ""
    entry: int | None = None


class OutcomeNotVerified(Message):
    """Some condition does not hold; `unmet` says which and why. `entry`: as for OutcomeVerified."""

    kind: Literal["OutcomeNotVerified"] = "OutcomeNotVerified"
    unmet: tuple[str, ...] = ()
    entry: int | None = None


class ActivityBroke(Message):
    """An activity ended in an error that is none of ours (a bug, or a time-out of Temporal's): `command` names it."""

    kind: Literal["ActivityBroke"] = "ActivityBroke"
    command: str
    reason: str


OpenReport = Annotated[TaskOpened | TaskRefused, Field(discriminator="kind")]
PlanReport = Annotated[PlanProposed | PlanRefused | PlannerUnavailable | BudgetExceeded, Field(discriminator="kind")]
_OfTools = (
    ToolSucceeded
    | ToolRefused
    | ToolUnavailable
    | ApprovalNeeded
    | OutcomeUnknown
    | EpochOpened
    | GrownOld
    | ReceiptKept
)
ToolReport = Annotated[_OfTools, Field(discriminator="kind")]
ConcludeReport = Annotated[OutcomeVerified | OutcomeNotVerified, Field(discriminator="kind")]
Event = (
    TaskOpened
    | TaskRefused
    | PlanProposed
    | PlanRefused
    | PlannerUnavailable
    | BudgetExceeded
    | _OfTools
    | EffectsListed
    | CallCancelled
    | PersonAnswered
    | NotUnderstood
    | GoalAmended
    | Paused
    | Resumed
    | CancelRequested
    | TimePassed
    | NoticeSent
    | OutcomeVerified
    | OutcomeNotVerified
    | ActivityBroke
)


@functools.cache
def adapter_of(shape: Any) -> TypeAdapter[Any]:
    """Return what reads a report, or a union of them; made once, while workflow modules are loaded for each run."""
    return TypeAdapter(shape)
