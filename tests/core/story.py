"""What tests of the core share: a task that is told event by event. No mocks: the state is the real one."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from core import machine, names
from core.contract import Effect, Terms
from core.messages import (
    ApprovalNeeded,
    Command,
    Event,
    NoticeSent,
    Notify,
    OutcomeUnknown,
    PersonAnswered,
    PlannerUnavailable,
    PlanProposed,
    PlanRefused,
    TaskOpened,
    TimePassed,
    ToolRefused,
    ToolSucceeded,
    ToolUnavailable,
    Wait,
)
from core.plan import Fault, Plan
from core.profile import Ladder, Limits, Model, Profile
from core.record import Json
from core.spending import Usage
from core.task import Request, Step, TaskSpec, TaskState
from core.views import status_of

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def terms(effect: Effect = Effect.READ, **fields: Any) -> Terms:
    return Terms(digest="d" * 16, effect=effect, budget=timedelta(seconds=30), attempts=3, **fields)


TERMS: Mapping[str, Terms] = {
    "look": terms(fresh_for=HOUR),
    "search": terms(),
    "pay": terms(Effect.KEYED, fallback="wire", has_undo=True),
    "wire": terms(Effect.PROBED, fallback="pay"),
    "mail": terms(Effect.UNREPEATABLE),
}


def profile(
    *, limits: Mapping[str, Any] | None = None, ladder: Mapping[str, Any] | None = None, **fields: Any
) -> Profile:
    base: dict[str, Any] = {
        "agent": "desk",
        "owner": "leads",
        "route": (Model(name="a:1"), Model(name="b:2")),
        "people": {"leads": ("lea",), "finance": ("fay", "fred"), "directors": ("dora",)},
        "limits": Limits(**{"tokens": 1_000_000, "same_call": 5, **(limits or {})}),
        "ladder": Ladder(**{"escalate_to": ("directors",), **(ladder or {})}),
    }
    return Profile(**{**base, **fields})


def step(step_id: str, tool: str = "look", /, *, after: tuple[str, ...] = (), **args: Json) -> dict[str, Json]:
    return {"id": step_id, "tool": tool, "args": args, "after": list(after), "why": f"because {step_id}"}


def planned(
    *steps: dict[str, Json], call: int = 0, usage: Usage | None = None, model: str = "a:1", **fields: Json
) -> PlanProposed:
    if "finish" in fields and isinstance(fields["finish"], str):
        fields["finish"] = {"answer": fields["finish"]}
    plan = Plan.model_validate({"steps": list(steps), **fields})
    tools = {one.tool for one in plan.steps}
    with_fallbacks = tools | {TERMS[tool].fallback for tool in tools if tool in TERMS}
    return PlanProposed(
        plan=plan,
        terms={tool: TERMS[tool] for tool in TERMS if tool in with_fallbacks},
        model=model,
        call=call,
        usage=usage or Usage(input_tokens=100, output_tokens=10),
    )


class Story:
    """A task and what happened to it so far. `ids`: what is to be under way now, besides waits and notices."""

    def __init__(self, *, spec: Mapping[str, Any] | None = None, **fields: Any) -> None:
        given = {"agent": "desk", "goal": "refund order 1042", "inputs": {"order": 7}, "requested_by": "rob"}
        self.state: TaskState = machine.start("t1", TaskSpec(**{**given, **(spec or {})}), START)
        self.profile = profile(**fields)
        self.now = START
        self.commands: list[Command] = []
        self.told: list[Notify] = []
        self._decide()

    def tell(self, *events: Event, later: timedelta = timedelta(0)) -> "Story":
        self.now += later
        for event in events:
            self.state = machine.apply(self.state, event, self.now)
        self._decide()
        return self

    def _decide(self) -> None:
        self.state, self.commands = machine.decide(self.state)
        again, commands = machine.decide(self.state)
        assert (again, commands) == (self.state, self.commands)
        for notify in [one for one in self.commands if isinstance(one, Notify)]:
            self.told.append(notify)
            self.state = machine.apply(self.state, NoticeSent(request=notify.request, rung=notify.rung), self.now)
            self.state, self.commands = machine.decide(self.state)

    def opened(self) -> "Story":
        return self.tell(TaskOpened(profile=self.profile))

    def plan(self, *steps: dict[str, Json], **fields: Any) -> "Story":
        """Answer the planning call that is under way."""
        return self.tell(planned(*steps, call=self.state.planning.call, **fields))

    def refuse_plan(self, problem: str = "not JSON") -> "Story":
        return self.tell(
            PlanRefused(faults=(Fault(problem=problem),), call=self.state.planning.call, model=self._model)
        )

    def no_model(self, reason: str = "503") -> "Story":
        return self.tell(PlannerUnavailable(call=self.state.planning.call, reason=reason, model=self._model))

    def done(self, *steps: str, result: Json = None) -> "Story":
        return self.tell(*(ToolSucceeded(step=one, result=result) for one in steps))

    def refused(self, name: str, code: str = "no_such_order", message: str = "") -> "Story":
        return self.tell(ToolRefused(step=name, code=code, message=message))

    def down(self, name: str) -> "Story":
        return self.tell(ToolUnavailable(step=name, reason="connect refused"))

    def unknown(self, name: str) -> "Story":
        return self.tell(OutcomeUnknown(step=name, reason="no answer"))

    def asks(self, name: str, *, args: Mapping[str, Json] | None = None, **fields: Any) -> "Story":
        """Come back from the door with the question whether this may be done."""
        shown = dict(args if args is not None else self.state.steps[name].planned.args)
        own = self.state.steps[name]
        bound = names.approval_digest(own.key, own.tool, shown, own.terms.digest)
        return self.tell(ApprovalNeeded(step=name, args=shown, digest=bound, **fields))

    def say(self, form: str, payload: Json = None) -> "Story":
        return self.tell(PersonAnswered(form=form, payload=payload))

    def wait(self, duration: timedelta) -> "Story":
        return self.tell(TimePassed(), later=duration)

    @property
    def _model(self) -> str:
        return self.profile.route[self.state.planning.route].name

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self.commands if not isinstance(one, Wait | Notify)]

    @property
    def until(self) -> datetime | None:
        return next((one.until for one in self.commands if isinstance(one, Wait)), None)

    @property
    def status(self) -> str:
        return status_of(self.state).value

    @property
    def request(self) -> Request:
        """The one request that is open."""
        (one,) = self.state.requests.values()
        return one

    @property
    def rungs(self) -> list[str]:
        return [f"{one.request}:{one.rung}" for one in self.told]

    def step(self, name: str) -> Step:
        found = self.state.step(name)
        assert found is not None, name
        return found
