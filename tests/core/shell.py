"""The workflow's loop in small, with a world in which anything may happen; hypothesis chooses what does.

The world keeps a ledger in small, too: what was done, what was undone, and what an abandoned branch may have done.
"""

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from core import machine, names, orders
from core.contract import Effect
from core.messages import (
    ActivityBroke,
    Adopted,
    ApprovalNeeded,
    CallOrder,
    CallTool,
    CancelRequested,
    Command,
    Conclude,
    ConcludeOrder,
    EffectsListed,
    EpochOpened,
    Event,
    Finish,
    GoalAmended,
    Kept,
    ListEffects,
    NoticeSent,
    Notify,
    NotUnderstood,
    OpenTask,
    OutcomeNotVerified,
    OutcomeUnknown,
    OutcomeVerified,
    Paused,
    PersonAnswered,
    PlannerUnavailable,
    PlanProposed,
    PlanRefused,
    ProposePlan,
    ReceiptKept,
    Resumed,
    TaskOpened,
    TaskRefused,
    TimePassed,
    ToolRefused,
    ToolSucceeded,
    ToolUnavailable,
    Undoable,
    Wait,
)
from core.plan import Fault, Plan
from core.profile import EndStatus
from core.record import Json
from core.rounds import key_of
from core.spending import Usage
from core.task import Phase, Step, TaskSpec
from core.undoing import next_list
from tests.core.story import START, profile, terms
from tests.core.story import TERMS as SHARED

TERMS = {
    **SHARED,
    "look": terms(fresh_for=timedelta(minutes=1)),
    "wire": terms(Effect.PROBED, fallback="pay", has_undo=True),
}
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
RESULTS = VALUES | st.just({"id": "x", "n": 5}) | st.integers(0, 15_000).map("é".__mul__)
TOOLS = st.sampled_from(["look", "look", "search", "pay", "pay", "wire", "mail"])
PEOPLE = st.sampled_from(["lea", "fay", "fred", "dora", "rob", "", "nobody"])
CHOICES = st.sampled_from(
    ["approve", "reject", "edit", "happened", "did_not_happen", "write_off", "retry", "skip", "replan", "end", "", "x"]
)
REPORTS = ["ok"] * 4 + ["blob", "refused", "unavailable", "approval", "approval", "unknown", "written off", "kept"]
RARE_REPORTS = [*REPORTS, "epoch"]
UNDO_ON = st.sampled_from([(), (EndStatus.CANCELLED, EndStatus.FAILED), *[tuple(EndStatus)] * 3])
UNDO = terms(Effect.KEYED)
FORMS = st.sampled_from(["approve", "reject", "answer", "decide"])


@st.composite
def plans(draw: st.DrawFn, earlier: list[str]) -> Plan:
    """A plan as `check_plan` lets it pass: references to what comes before, in the plan or in an earlier round."""
    if draw(st.integers(0, 14)) == 7:
        return Plan(ask=draw(TEXTS) or "?", confidence=draw(st.sampled_from([1.0, 0.2])))
    steps: list[dict[str, Json]] = []
    for number in range(draw(st.sampled_from([3, 2, 4, 1, 0]))):
        known = [step["id"] for step in steps] + earlier + ["inputs"]
        args = draw(st.dictionaries(st.sampled_from("abc"), VALUES, max_size=2))
        if draw(st.booleans()):
            args["ref"] = {
                "$from": draw(st.sampled_from([known[0], *known])),
                "path": draw(st.sampled_from(["", "", "/id", "/no"])),
            }
        if draw(st.booleans()):
            args["text"] = f"see {{{{{draw(st.sampled_from(known))}/id}}}}"
        after = draw(st.lists(st.sampled_from(known[:-1]), max_size=2)) if len(known) > 1 else []
        steps.append({"id": f"s{number}", "tool": draw(TOOLS), "args": args, "after": after, "why": draw(TEXTS)})
    finish = {"answer": "It is {{s0/id}}." if steps else "ok"} if draw(st.booleans()) or not steps else None
    confidence = draw(st.sampled_from([1.0, 1.0, 1.0, 0.2]))
    return Plan.model_validate({"steps": steps, "finish": finish, "confidence": confidence})


LIMITS = st.fixed_dictionaries(
    {
        "rounds": st.integers(2, 6),
        "steps": st.sampled_from([12, 12, 3]),
        "parallel": st.integers(1, 3),
        "repairs": st.integers(1, 2),
        "same_call": st.integers(2, 4),
        "tokens": st.sampled_from([100_000, 100_000, 9000]),
        "confidence": st.sampled_from([0.0, 0.0, 0.5]),
        "wall_time": st.sampled_from([timedelta(days=7), timedelta(hours=30)]),
    }
)
PEOPLE_OF_ROLES = {"leads": ("lea",), "finance": ("fay", "fred"), "directors": ("dora",)}


class Shell:
    """The shell in small: it starts what is not under way, and feeds back what might come of it."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.now = START
        self.under_way: dict[str, Command] = {}
        self.commands: list[Command] = []
        self.ever: set[str] = set()
        self.keys: dict[tuple[int, int, str], str] = {}
        self.final: str | None = None
        self.sent_before_the_end: set[str] | None = None
        people: Any = data.draw(st.sampled_from([PEOPLE_OF_ROLES, PEOPLE_OF_ROLES, {}]))
        self.profile = profile(
            limits=data.draw(LIMITS), people=people, undo_on=data.draw(UNDO_ON), rereads=data.draw(st.booleans())
        )
        self.effects: dict[str, Undoable] = {}
        self.undone: set[str] = set()
        by = data.draw(st.sampled_from(["rob", "fay", ""]))
        spec = TaskSpec(agent="desk", goal="refund order 1042", inputs={"id": 7}, requested_by=by)
        self.state = machine.start("t1", spec, START)
        self._decide()

    # -------------------------------------------------------------------------------------------------- the shell

    def _tell(self, *events: Event) -> None:
        for event in events:
            assert type(event).model_validate_json(event.model_dump_json()) == event
            self.state = machine.apply(self.state, event, self.now)
        self._decide()

    def _decide(self) -> None:
        was_ending = self.state.ending is not None
        self.state, self.commands = machine.decide(self.state)
        assert machine.decide(self.state) == (self.state, self.commands), "decide is idempotent"
        if was_ending and self.sent_before_the_end is None:
            self.sent_before_the_end = self._sent()
        refused: list[Event] = []
        for command in self.commands:
            if not isinstance(command, Wait | Finish) and command.id not in self.under_way:
                refused += self._start(command)
        if refused:
            self._tell(*refused)

    def _sent(self) -> set[str]:
        return {step.id for step in self.state.steps.values() if step.phase in (Phase.CALLING, Phase.DOUBTED)}

    def _start(self, command: Command) -> list[Event]:
        """Start an activity, unless the order itself says what comes of it."""
        assert command.id not in self.ever, "an id names one activity"
        self.ever.add(command.id)
        order = self._order(command)
        if isinstance(order, ToolRefused | OutcomeNotVerified):
            return [order]
        order.model_dump_json()
        self.under_way[command.id] = command
        return []

    def _order(self, command: Command) -> Any:
        match command:
            case OpenTask():
                return orders.open_order(self.state)
            case ProposePlan():
                return orders.plan_order(self.state, command)
            case CallTool():
                order = orders.call_order(self.state, command)
                if isinstance(order, CallOrder):
                    is_free = not (self.state.ending or self.state.is_outdated)
                    assert order.settle_only or is_free or order.undoes in self.effects
                    assert order.epoch == self.state.epoch
                return order
            case ListEffects():
                return orders.effects_order(self.state, command)
            case Notify():
                return orders.notice(self.state, command)
            case Conclude():
                conclusion = orders.conclude_order(self.state)
                return conclusion if isinstance(conclusion, ConcludeOrder) else OutcomeNotVerified(unmet=conclusion)
        raise AssertionError(command)

    # ------------------------------------------------------------------------------------------- what comes back

    def comes_back(self) -> None:
        command = self.under_way.pop(self.data.draw(st.sampled_from(sorted(self.under_way))))
        if self.data.draw(st.integers(0, 19)) == 13:
            self._tell(ActivityBroke(command=command.id, reason="a bug"))
        else:
            self._tell(self._what_comes(command))

    def _what_comes(self, command: Command) -> Event:
        match command:
            case OpenTask():
                fields: dict[str, Any] = {"adopted": self._branch()} if self.data.draw(st.integers(0, 4)) == 4 else {}
                after = max([2, *(one.intent for one in fields.get("adopted", ()))]) + 1
                return TaskOpened(
                    profile=self.profile, next_intent=after, is_reset=self.data.draw(st.booleans()), **fields
                )
            case ProposePlan():
                return self._reply(command.call)
            case CallTool():
                return self._report(command.step, self.data.draw(st.sampled_from(RARE_REPORTS)))
            case ListEffects():
                return self._listed(command)
            case Notify():
                return NoticeSent(request=command.request, rung=command.rung)
            case Conclude() if self.data.draw(st.booleans()):
                return OutcomeVerified(answer="done", entry=command.entry)
            case Conclude():
                return OutcomeNotVerified(unmet=("no mail",), entry=command.entry)
        raise AssertionError(command)

    def _reply(self, call: int) -> Event:
        usage = Usage(input_tokens=self.data.draw(st.integers(0, 900)), output_tokens=50)
        match self.data.draw(st.integers(0, 9)):
            case 7:
                return PlannerUnavailable(call=call, model="a:1", reason="503")
            case 6:
                return PlanRefused(call=call, model="a:1", usage=usage, faults=(Fault(problem="no"),))
        earlier = [name for name, one in (self.state.past | self.state.steps).items() if one.outcome == "succeeded"]
        plan = self.data.draw(plans(earlier))
        return PlanProposed(call=call, model="a:1", usage=usage, plan=plan, terms=dict(TERMS))

    def _report(self, name: str, kind: str) -> Event:
        match kind:
            case "ok":
                self._write_down(name)
                return ToolSucceeded(step=name, result=self.data.draw(RESULTS))
            case "kept":
                result = "x" * self.data.draw(st.sampled_from([5, 50_000, 200_000]))
                kept = Kept(fence=1, move="succeed", evidence="answer", result=result)
                return ReceiptKept(step=name, receipt=kept)
            case "epoch":
                return self._epoch(name)
            case "blob":
                self._write_down(name)
                return ToolSucceeded(step=name, blob="b" * 32, size=99_999, preview=self.data.draw(TEXTS))
            case "refused":
                return ToolRefused(step=name, code="no", message=self.data.draw(TEXTS))
            case "written off":
                return ToolRefused(step=name, code="written_off", outcome="unknown")
            case "unavailable":
                return ToolUnavailable(step=name, reason="connect refused")
            case "unknown":
                return OutcomeUnknown(step=name, reason="no answer", args={"a": 1}, digest="e" * 16)
        return self._question(name)

    # ------------------------------------------------------------------------------------------ a ledger in small

    def _write_down(self, name: str) -> None:
        step = self.state.steps.get(name)
        if step is None or step.phase is not Phase.CALLING:  # late: the state has gone on
            return
        if step.undoes:
            assert step.undoes not in self.undone, "nothing is undone twice"
            self.undone.add(step.undoes)
        elif step.terms.has_undo:
            self.effects[step.key] = _undoable(step.id, step.tool, step.key, step.intent)

    def _listed(self, command: ListEffects) -> Event:
        """Two effects at a time, latest first."""
        standing = [one for one in self.effects.values() if one.key not in self.undone]
        below = [one for one in standing if command.below is None or one.intent < command.below]
        page = sorted(below, key=lambda one: -one.intent)
        rest = page[1].intent if len(page) > 2 else None
        return EffectsListed(effects=tuple(page[:2]), below=rest)

    def _branch(self) -> tuple[Adopted, ...]:
        """What an abandoned branch did: numbers of its own, and perhaps what this run is doing now."""
        state, found = self.state, []
        state = state.model_copy(update={"profile": self.profile})
        for number in range(self.data.draw(st.integers(0, 2))):
            tool, intent = self.data.draw(st.sampled_from(["pay", "wire", "mail"])), state.next_intent + number
            found.append(self._adopted(f"r{9 + number}.s1", tool, key_of(state, intent, 1, tool), intent, 1))
        writes = [one for one in state.steps.values() if one.terms.effect is not Effect.READ and not one.undoes]
        found += [
            self._adopted(one.id, one.tool, one.key, one.intent, one.revision) for one in writes if one.phase.is_open
        ]
        return tuple(found)

    def _adopted(self, step: str, tool: str, key: str, intent: int, revision: int) -> Adopted:
        outcome = self.data.draw(st.sampled_from(["succeeded", "unknown", "open"]))
        if outcome == "succeeded" and TERMS[tool].has_undo:
            self.effects[key] = _undoable(step, tool, key, intent)
        args, result = self.data.draw(st.dictionaries(TEXTS, VALUES, max_size=2)), self.data.draw(VALUES)
        fields: Any = {"outcome": outcome, "args": args, "result": result, "terms": TERMS[tool]}
        return Adopted(step=step, tool=tool, key=key, intent=intent, revision=revision, **fields)

    def _epoch(self, name: str) -> Event:
        known = [one for one in (*self.state.past.values(), *self.state.steps.values()) if _is_done(one)]
        standing = [
            Adopted(step=one.id, tool=one.tool, key=one.key, intent=one.intent, terms=one.terms, outcome="succeeded")
            for one in known
            if one.key not in self.undone
        ]
        adopted = (*standing, *self._branch())
        after = max([self.state.next_intent, *(one.intent + 1 for one in adopted)])
        epoch = self.state.epoch + self.data.draw(st.sampled_from([1, 1, 0]))
        self.sent_before_the_end = None
        return EpochOpened(
            step=name, epoch=epoch, next_intent=after, adopted=adopted, not_shown=self.data.draw(st.integers(0, 1))
        )

    def _question(self, name: str) -> Event:
        step = self.state.step(name)
        args: dict[str, Json] = {"cents": 5, "note": self.data.draw(TEXTS)}
        who: dict[str, Any] = self.data.draw(
            st.sampled_from([{}, {"approvers": ("finance",), "may_answer": ("fay", "fred")}, {"approvers": ("rob",)}])
        )
        digest = names.approval_digest(step.key, step.tool, args, step.terms.digest) if step else ""
        given = step.approvals if step and self.data.draw(st.booleans()) else ()
        return ApprovalNeeded(
            step=name, args=args, digest=digest, quorum=self.data.draw(st.integers(1, 2)), given=given, rule="r", **who
        )

    # ------------------------------------------------------------------------------------------------ what people do

    def answer(self) -> None:
        """Answer an open request, mostly as somebody who may."""
        request = self.state.requests[self.data.draw(st.sampled_from(sorted(self.state.requests)))]
        by = (*request.may_answer, "lea")[0] if self.data.draw(st.integers(0, 3)) else self.data.draw(PEOPLE)
        payload: dict[str, Json] = {"request_id": request.id, "by": by}
        payload["choice"] = self.data.draw(st.sampled_from(request.choices)) if request.choices else "text"
        if payload["choice"] == "edit" or self.data.draw(st.integers(0, 5)) == 3:
            payload["args"] = self.data.draw(st.dictionaries(st.sampled_from(["cents", "a/b"]), VALUES, max_size=2))
        if self.data.draw(st.booleans()):
            payload |= {"text": "so", "replan": "otherwise"}
        self._tell(PersonAnswered(form="decide", payload=payload))

    def steer(self) -> None:
        match self.data.draw(st.sampled_from(["say", "pause", "resume", "resume", "amend", "cancel", "?"])):
            case "say":
                said = self.data.draw(VALUES | st.fixed_dictionaries({"by": PEOPLE, "choice": CHOICES}))
                self._tell(PersonAnswered(form=self.data.draw(FORMS), payload=said))
            case "pause":
                self._tell(Paused(by=self.data.draw(PEOPLE)))
            case "resume":
                self._tell(Resumed())
            case "amend":
                self._tell(GoalAmended(goal=self.data.draw(st.none() | st.just("cancel order 9")), inputs={"id": 8}))
            case "cancel" if self.data.draw(st.integers(0, 4)) == 3:
                self._tell(CancelRequested())
            case _:
                self._tell(NotUnderstood(text="?"))

    def wait(self) -> None:
        self.now += timedelta(seconds=self.data.draw(st.integers(0, 20_000)))
        self._tell(TimePassed())

    def wait_for_it(self) -> None:
        until = next(one.until for one in self.commands if isinstance(one, Wait))
        self.now = max(self.now, until)
        self._tell(TimePassed())
        later = next((one.until for one in self.commands if isinstance(one, Wait)), None)
        assert later is None or later >= until

    def hear_something_late(self) -> None:
        """Events about what is not under way."""
        name = self.data.draw(st.sampled_from(["r1.s0", "r1.s1", "r2.s0", "r9.s9", "", "nonsense"]))
        commands = [name, f"plan:{name}", "plan:0", "conclude:1:0", f"call:{name}:1:1", "open", "notify:q1:opened"]
        late: dict[str, Event] = {
            "plan": PlanProposed(plan=Plan(ask="?"), call=-1),
            "down": PlannerUnavailable(reason="late", call=-1),
            "verified": OutcomeVerified(answer="late", entry=-1),
            "not verified": OutcomeNotVerified(unmet=("late",), entry=-1),
            "opened": TaskOpened(profile=self.profile),
            "refused": TaskRefused(reason="late"),
            "ok": ToolSucceeded(step=name),
            "kept": ReceiptKept(step=name, receipt=Kept(fence=1, move="refuse", evidence="answer")),
            "epoch": EpochOpened(step=name, next_intent=1),
            "listed": EffectsListed(effects=(_undoable("r1.s0", "pay", "k" * 32, 1),)),
            "broke": ActivityBroke(command=self.data.draw(st.sampled_from(commands)), reason="late"),
        }
        at_the_door = dict.fromkeys(("ok", "kept", "epoch"), f"call:{name}")
        is_due = {**at_the_door, "broke": "", "opened": "open", "refused": "open", "listed": "effects"}
        kind = self.data.draw(st.sampled_from(sorted(late)))
        if kind == "listed" and next_list(self.state):  # a pause holds the question back: no answer can be on its way
            return
        if not any(one.startswith(is_due.get(kind, "-")) for one in self.under_way):
            self._tell(late[kind])

    def go_on(self) -> None:
        """Do one thing that may happen now."""
        waits = any(isinstance(one, Wait) for one in self.commands)
        may = {
            self.comes_back: 8 if self.under_way else 0,
            self.answer: 4 if self.state.requests else 0,
            self.wait_for_it: 1 if waits and (self.state.requests or not self.under_way) else 0,
            self.wait: 1,
            self.steer: 2,
            self.hear_something_late: 1,
        }
        self.data.draw(st.sampled_from([action for action, weight in may.items() for _ in range(weight)]))()

    def wind_up(self) -> None:
        """Cancel, and let everything in flight and in doubt become known."""
        self._tell(CancelRequested(), Resumed())
        for _ in range(200):
            if self.state.final is not None and not self.under_way:
                return
            for name in sorted(self.under_way):
                if name in self.under_way:
                    self._settle(self.under_way.pop(name))
            for request in tuple(self.state.requests.values()):
                by = (*request.may_answer, "lea")[0]
                choice = next(one for one in ("write_off", "skip", "reject") if one in request.choices)
                said = {"request_id": request.id, "choice": choice, "by": by}
                self._tell(PersonAnswered(form="decide", payload=said))
            if not self.under_way:  # nobody may answer: it expires
                self.now += timedelta(days=2)
                self._tell(TimePassed())

    def _settle(self, command: Command) -> None:
        match command:
            case CallTool():
                self._tell(ToolRefused(step=command.step, code="written_off", outcome="unknown"))
            case ListEffects():
                self._tell(self._listed(command))
            case Notify():
                self._tell(NoticeSent(request=command.request, rung=command.rung))


def _undoable(step: str, tool: str, key: str, intent: int) -> Undoable:
    return Undoable(step=step, tool=tool, key=key, intent=intent, terms=UNDO)


def _is_done(step: Step) -> bool:
    sent = step.phase is Phase.SUCCEEDED and not step.undoes
    return sent and step.terms.effect is not Effect.READ
