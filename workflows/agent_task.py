"""The workflow `AgentTask`: a thin shell round the core. It performs commands and feeds back what becomes known.

History is the list of events; every decision is made in `core/machine.py`.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NoReturn

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, RetryState, TimeoutType
from temporalio.exceptions import TimeoutError as ActivityTimeout

from core import answers, machine, names, orders, views
from core.card import card
from core.errors import LastmileError
from core.messages import (
    ActivityBroke,
    CallCancelled,
    CallTool,
    CancelRequested,
    Command,
    Conclude,
    Event,
    Finish,
    ListEffects,
    NoticeSent,
    Notify,
    NotUnderstood,
    OpenTask,
    OutcomeNotVerified,
    PlannerUnavailable,
    ProposePlan,
    TimePassed,
    ToolRefused,
    Wait,
)
from core.people import Amendment, Remark
from core.profile import EndStatus
from core.record import Json
from core.task import Status, TaskState
from workflows import beginning, options, saying
from workflows.attributes import attributes
from workflows.payloads import lenient, read
from workflows.reports import CALLED, CONCLUDED, LISTED, OPENED, PLANNED, Reports, UnknownReport

_PASSING = (Status.INITIALIZING, Status.VALIDATING)


@workflow.defn(name=names.WORKFLOW, failure_exception_types=[LastmileError])
class AgentTask:
    """One task of an agent, from the wish to the receipts."""

    def __init__(self) -> None:
        self._state: TaskState | None = None
        self._ancestors: tuple[str, ...] = ()
        self._inbox: deque[Event] = deque()
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._visits: dict[str, workflow.ActivityHandle[Any]] = {}
        self._alarms: dict[datetime, asyncio.Task[None]] = {}
        self._shown: tuple[Status, tuple[str, ...]] | None = None

    @workflow.run
    @lenient
    async def run(self, raw: RawValue = None) -> views.TaskResult:  # type: ignore[assignment] # the SDK's rule
        begun = beginning.begin(raw)
        self._state, self._ancestors = begun.state, begun.ancestors
        while not isinstance(command := self._turn(), Finish):
            if workflow.info().is_continue_as_new_suggested():
                await self._continue_as_new()
            await self._wait()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._end(command.status)

    # ------------------------------------------------------------------------------------------------- the loop

    @property
    def _now(self) -> TaskState:
        if self._state is None:
            raise ApplicationError("the task has not started yet; try again", type="NotStarted")
        return self._state

    def _turn(self) -> Command | None:
        """Take in what is known, start what is to be under way; return Finish when all is over."""
        state = self._now
        while self._inbox:
            state = machine.apply(state, self._inbox.popleft(), workflow.now())
        self._state, commands = machine.decide(state)
        self._show()
        if self._state.settles_only or self._state.paused:
            self._give_up_visits()
        for command in commands:
            if isinstance(command, Finish):
                return command
            self._start(command)
        return None

    async def _wait(self) -> None:
        try:
            await workflow.wait_condition(lambda: bool(self._inbox))
        except asyncio.CancelledError:
            self._inbox.append(CancelRequested())

    def _start(self, command: Command) -> None:
        if isinstance(command, Wait):
            self._set_alarm(command.until)
        elif command.id not in self._under_way:
            self._under_way[command.id] = asyncio.create_task(self._carry_out(command))

    async def _carry_out(self, command: Command) -> None:
        """Perform one command; whatever comes of it is an event."""
        try:
            event = await self._perform(command)
        except ActivityError as error:
            event = ActivityBroke(command=command.id, reason=_root_of(error))
        except UnknownReport as error:
            event = ActivityBroke(command=command.id, reason=str(error))
        del self._under_way[command.id]
        self._inbox.append(event)

    async def _perform(self, command: Command) -> Event:
        state = self._now
        match command:
            case OpenTask():
                opening = orders.open_order(state, workflow.info().first_execution_run_id)
                return await self._local(names.OPEN_TASK, opening, OPENED)
            case ProposePlan():
                return await self._plan(state, command)
            case CallTool():
                return await self._call(state, command)
            case Notify():
                sent: NoticeSent = await workflow.execute_activity(
                    names.NOTIFY,
                    orders.notice(state, command),
                    result_type=NoticeSent,
                    **options.notice(f"{command.rung}: {command.request}"),
                )
                return sent
            case ListEffects():
                return await self._local(names.LIST_EFFECTS, orders.effects_order(state, command), LISTED)
            case Conclude():
                conclusion = orders.conclude_order(state)
                if isinstance(conclusion, tuple):
                    return OutcomeNotVerified(unmet=conclusion, entry=command.entry)
                verdict = await self._local(names.CONCLUDE, conclusion, CONCLUDED)
                return verdict.model_copy(update={"entry": command.entry})
        raise AssertionError(command)

    async def _plan(self, state: TaskState, command: ProposePlan) -> Event:
        order = orders.plan_order(state, command, workflow.info().first_execution_run_id)
        queue = order.offer.queue if order.offer else ""
        summary = f"round {order.briefing.round}, {order.model}"
        try:
            raw = await workflow.execute_activity(
                names.PROPOSE_PLAN, order, result_type=RawValue, **options.planning(summary, queue)
            )
        except ActivityError as error:
            if not _was_not_taken(error):
                raise
            reason = f"nobody took the call from the task queue {queue!r} within {options.QUEUE_PATIENCE.seconds} s"
            return PlannerUnavailable(model=order.model, call=command.call, reason=reason, attempts=0)
        return PLANNED.read(raw).model_copy(update={"call": command.call})

    async def _local(self, activity: str, order: object, reports: Reports) -> Event:
        return reports.read(
            await workflow.execute_local_activity(activity, order, result_type=RawValue, **options.LOCAL)
        )

    async def _call(self, state: TaskState, command: CallTool) -> Event:
        order = orders.call_order(state, command, self._ancestors)
        if isinstance(order, ToolRefused):
            return order
        step = state.steps[command.step]
        visit = workflow.start_activity(
            step.tool,
            order,
            result_type=RawValue,
            **options.door(step.terms, f"{step.id} {step.planned.why}"),
        )
        if not order.settle_only:
            self._visits[command.id] = visit
        try:
            raw = await visit
        except asyncio.CancelledError:  # called back just as its answer came (the SDK drops the answer then)
            return CallCancelled(step=step.id)
        except ActivityError as error:
            if _was_called_back(error):
                return CallCancelled(step=step.id)
            raise
        finally:
            self._visits.pop(command.id, None)
        self._ancestors = ()  # the door has bound the task to this run
        return CALLED.read(raw)

    def _give_up_visits(self) -> None:
        """Call back what waits to be sent; what is being sent is heard out (the door sees to it)."""
        while self._visits:
            self._visits.popitem()[1].cancel()

    def _set_alarm(self, until: datetime) -> None:
        """Keep one timer for the earliest moment; a later one is set when the time comes."""
        if not any(set_for <= until for set_for in self._alarms):
            self._alarms[until] = asyncio.create_task(self._ring(until))

    async def _ring(self, until: datetime) -> None:
        seconds = max((until - workflow.now()).total_seconds(), 0)
        await workflow.sleep(seconds, summary=f"until {until:%Y-%m-%d %H:%M:%S} UTC")
        del self._alarms[until]
        self._inbox.append(TimePassed())

    async def _continue_as_new(self) -> NoReturn:
        """Start nothing new, let what is under way end for a while, and go on in a run with an empty history."""
        try:
            await workflow.wait_condition(lambda: not self._under_way, timeout=options.DRAIN)
        except TimeoutError:
            workflow.logger.info("continuing as new with %d calls open", len(self._under_way))
        except asyncio.CancelledError:
            self._inbox.append(CancelRequested())
        await workflow.wait_condition(workflow.all_handlers_finished)
        state = self._now
        while self._inbox:
            state = machine.apply(state, self._inbox.popleft(), workflow.now())
        workflow.continue_as_new(beginning.carry(state, self._ancestors))

    def _end(self, status: EndStatus) -> views.TaskResult:
        result = views.result_view(self._now)
        match status:
            case EndStatus.COMPLETED:
                return result
            case EndStatus.CANCELLED:
                workflow.upsert_memo({"result": result.model_dump(mode="json")})
                raise asyncio.CancelledError(result.reason)
        raise ApplicationError(
            f"{status.value}: {result.reason}", result.model_dump(mode="json"), type=status.value, non_retryable=True
        )

    # -------------------------------------------------------------------------------------------- what is shown

    def _show(self) -> None:
        state = self._now
        workflow.set_current_details(card(state))
        seen = (state.seen_status, views.waiting_for(state))
        if state.profile is None or not state.profile.search_attributes or seen == self._shown or seen[0] in _PASSING:
            return
        self._shown = seen
        workflow.upsert_search_attributes(attributes(state, seen[1]))

    @workflow.query(name="status", description="Where the task stands, and who is waited for")
    @lenient
    def status(self) -> views.StatusView:
        return views.status_view(self._now)

    @workflow.query(name="requests", description="What people are asked, exactly, and how they may answer")
    @lenient
    def requests(self) -> list[views.RequestView]:
        return views.request_views(self._now)

    @workflow.query(name="state", description="Everything that the runtime knows of the task")
    @lenient
    def whole(self) -> dict[str, Any]:
        return views.state_view(self._now)

    # --------------------------------------------------------------------------------------- what people send

    def _hear(self, form: str, raw: object) -> None:
        self._inbox.append(saying.heard(form, raw))

    @workflow.signal(
        name="approve", description='Approve. Nothing, "your name", or {"by", "request_id", "digest", "args"}'
    )
    @lenient
    def approve(self, raw: RawValue = None) -> None:  # type: ignore[assignment] # the SDK's rule
        self._hear("approve", raw)

    @workflow.signal(name="reject", description='Reject. "your name", or {"by", "request_id", "comment", "replan"}')
    @lenient
    def reject(self, raw: RawValue = None) -> None:  # type: ignore[assignment] # the SDK's rule
        self._hear("reject", raw)

    @workflow.signal(name="answer", description='Answer. "the choice", or {"by", "request_id", "choice", "text"}')
    @lenient
    def answer(self, raw: RawValue = None) -> None:  # type: ignore[assignment] # the SDK's rule
        self._hear("answer", raw)

    @workflow.signal(name="amend", description='Change the wish: {"goal", "inputs", "by"}')
    @lenient
    def amend(self, raw: RawValue = None) -> None:  # type: ignore[assignment] # the SDK's rule
        self._inbox.append(saying.read_as("amend", raw, Amendment))

    @workflow.signal(name="pause", description='Start nothing new: nothing, or {"by", "reason"}')
    @lenient
    def pause(self, raw: RawValue = None) -> None:  # type: ignore[assignment] # the SDK's rule
        self._inbox.append(saying.read_as("pause", raw, Remark))

    @workflow.signal(name="resume", description='Go on: nothing, or {"by", "reason"}')
    @lenient
    def resume(self, raw: RawValue = None) -> None:  # type: ignore[assignment] # the SDK's rule
        self._inbox.append(saying.read_as("resume", raw, Remark))

    @workflow.signal(dynamic=True, description="(any other name is recorded, and does nothing)")
    def unknown(self, name: str, _args: Sequence[RawValue]) -> None:
        known = "approve, reject, answer, amend, pause, resume"
        self._inbox.append(NotUnderstood(text=f"no signal {name[:100]!r}; there are {known}"))

    @workflow.update(
        name="decide", description='Answer a request: {"request_id", "choice", "by", ...}; refused with the reason'
    )
    @lenient
    def decide(self, raw: RawValue = None) -> dict[str, Json]:  # type: ignore[assignment] # the SDK's rule
        self._hear("decide", raw)
        after, _ = machine.decide(self._ahead())
        return {"accepted": True, "status": views.status_of(after).value}

    @decide.validator
    @lenient
    def _decide_fits(self, raw: RawValue = None) -> None:  # type: ignore[assignment] # the SDK's rule
        answer = answers.read_answer("decide", read(raw))
        if answer.request_id is None or answer.choice is None:
            raise answers.Misfit("decide needs request_id and choice")
        answers.fit(self._ahead(), answer)

    def _ahead(self) -> TaskState:
        """The state with everything taken in that has arrived; nothing is changed."""
        state = self._now
        for event in self._inbox:
            state = machine.apply(state, event, workflow.now())
        return state


def _was_not_taken(error: ActivityError) -> bool:
    cause = error.cause
    return isinstance(cause, ActivityTimeout) and cause.type is TimeoutType.SCHEDULE_TO_START


def _was_called_back(error: ActivityError) -> bool:
    """Whether a visit has no outcome because it was called back: Temporal then tries none of its errors again.

    That holds for the door's own "not yet" and for the time-out of a worker that is gone, too.
    """
    is_final = isinstance(error.cause, ApplicationError) and error.cause.non_retryable
    is_last = error.retry_state is RetryState.CANCEL_REQUESTED and not is_final
    return is_last or isinstance(error.cause, CancelledError)


def _root_of(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"[:2000]
