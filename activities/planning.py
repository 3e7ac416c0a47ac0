"""Asks one language model for a plan, once, and checks what came back. Never raises because of what a model says.

The call is reserved in the ledger before it is made, and settled afterwards: no budget is overshot, and none is made
while its provider's circuit breaker is open.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_never

import structlog
from temporalio import activity

from activities.booking import answered, call_of, caps_of, failed
from activities.faults import NotYet, asked_delay, back_off, translated
from activities.heartbeat import beating
from activities.visit import Clock
from core import names
from core.briefing import Prompt
from core.checking import check_plan
from core.contract import Contract, Terms
from core.errors import CallerError, ConfigError, LedgerDown, PlannerBusy, PlannerDown
from core.messages import BudgetExceeded, PlannerUnavailable, PlanOrder, PlanProposed, PlanRefused, PlanReport
from core.plan import Fault, Plan
from core.ports import Agent, Agents, Ledger, Planner, Planners, Reply
from core.receipts import Line
from core.record import Json
from core.spending import MICRO, Admitted, CallEnd, CallState, ModelCall, OverBudget, ProviderOpen

_LONGEST_WAIT = 60.0  # seconds that a provider may ask for; beyond that the next model of the route is the better wait
_MOST_FAULTS = 50
_LARGEST_PLAN = 128 * 1024  # characters; the plan enters history and the state, which hold 256 kB


@dataclass(frozen=True, slots=True)
class Planning:
    """The activity `propose_plan`."""

    agents: Agents
    planners: Planners
    ledger: Ledger
    clock: Clock

    @activity.defn(name=names.PROPOSE_PLAN)
    async def propose_plan(self, order: PlanOrder) -> PlanReport:
        """Make one planning call. A busy provider is asked again by Temporal, up to `order.attempts` times."""
        with translated(), beating():
            return await self._propose(order)

    async def _propose(self, order: PlanOrder) -> PlanReport:
        briefing = order.briefing
        if order.amendments:
            await self.ledger.amend_task(briefing.task_id, briefing.goal, briefing.inputs, order.amendments)
        try:
            agent = self.agents.get(briefing.agent)
            planner = self.planners.get(order.model)
        except (PlannerDown, CallerError, ConfigError) as error:
            # what this worker lacks (a key, an agent that loads) somebody mends: the task tries again by itself
            return await self._without_asking(order, _unavailable(order, str(error)))
        call = call_of(order, agent)
        match await self.ledger.reserve_call(call, caps_of(order, agent, call.tenant)):
            case Admitted():
                return await self._ask(order, agent, planner, call)
            case OverBudget() as found:
                return await self._without_asking(order, _exceeded(order, found))
            case ProviderOpen() as found:
                return await self._without_asking(order, self._spared(order, found))
            case never:
                assert_never(never)

    async def _ask(self, order: PlanOrder, agent: Agent, planner: Planner, call: ModelCall) -> PlanReport:
        """Make the one request, and settle what was reserved for it."""
        catalogue = _catalogue(agent, order.briefing.without_tools)
        try:
            reply = await planner.propose(_prompt(order, agent, catalogue))
        except Exception as error:  # noqa: BLE001 - an adapter with a bug is a model that cannot be used
            await self._settle(call, failed(error), self._line(order, *_told_error(order, error)))
            return self._failed(order, error)
        report = _judge(order, agent, catalogue, reply)
        await self._settle(call, answered(order, reply), self._line(order, *_told(report)))
        return report

    def _failed(self, order: PlanOrder, error: Exception) -> PlannerUnavailable:
        match error:
            case PlannerBusy():
                return _busy(order, error)
            case PlannerDown() | CallerError() | ConfigError():
                return _unavailable(order, str(error), definite=True)
        structlog.get_logger().error("planner.broken", task=order.briefing.task_id, model=order.model, exc_info=error)
        return _unavailable(order, f"{type(error).__name__}: {error}")

    def _spared(self, order: PlanOrder, found: ProviderOpen) -> PlannerUnavailable:
        """Wait for a short time where no other model stands behind this one; else say that it is not to be had."""
        wait = (found.until - self.clock()).total_seconds()
        if activity.info().attempt < order.attempts and wait <= _LONGEST_WAIT:
            raise NotYet(str(found)[:500], timedelta(seconds=max(wait, 0.0)))
        return _unavailable(order, str(found), attempts=0)

    async def _without_asking(self, order: PlanOrder, report: PlanReport) -> PlanReport:
        await _if_possible(self.ledger.record(self._line(order, *_told(report))), order.briefing.task_id)
        return report

    async def _settle(self, call: ModelCall, end: CallEnd, line: Line) -> None:
        cost = {} if end.state is not CallState.ANSWERED else {"cost_usd": end.micro_usd / MICRO}
        line = line.model_copy(update={"fields": {**line.fields, **cost}})
        await _if_possible(self.ledger.settle_call(call.id, end, line), call.task_id)

    def _line(self, order: PlanOrder, event: str, fields: dict[str, Json]) -> Line:
        """Make the line of the audit, and say it in the log too."""
        why = {name: said for name, said in (("purpose", order.purpose), ("because", order.because)) if said}
        fields = {"model": order.model, "call": order.briefing.call, **why, **fields}
        attempt, task_id = activity.info().attempt, order.briefing.task_id
        structlog.get_logger().info(event, task=task_id, attempt=attempt, **fields)
        return Line(task_id=task_id, at=self.clock(), event=event, attempt=attempt, fields=fields)


async def _if_possible(writing: Awaitable[None], task_id: str) -> None:
    try:
        await writing
    except LedgerDown:  # the reply is paid for: asking again would cost more; what was reserved stays counted
        structlog.get_logger().warning("call.not_settled", task=task_id)


def _catalogue(agent: Agent, without: tuple[str, ...]) -> dict[str, Contract]:
    contracts = {name: tool.contract for name, tool in agent.tools.items() if tool.contract.undoes is None}
    return {name: contract for name, contract in contracts.items() if name not in without}


def _prompt(order: PlanOrder, agent: Agent, catalogue: dict[str, Contract]) -> Prompt:
    return Prompt(
        instructions=agent.instructions,
        catalogue=tuple(catalogue.values()),
        briefing=order.briefing,
        max_output_tokens=order.max_output_tokens,
        attempt=activity.info().attempt,
        undoes=bool(agent.profile.undo_on),
    )


def _busy(order: PlanOrder, error: PlannerBusy) -> PlannerUnavailable:
    attempt = activity.info().attempt
    if attempt >= order.attempts:
        return _unavailable(order, str(error))
    wait = None if error.retry_after is None else min(error.retry_after, _LONGEST_WAIT)
    raise NotYet(str(error)[:500], back_off(attempt) if wait is None else asked_delay(wait, attempt)) from error


def _unavailable(
    order: PlanOrder, reason: str, attempts: int | None = None, *, definite: bool = False
) -> PlannerUnavailable:
    return PlannerUnavailable(
        model=order.model,
        call=order.briefing.call,
        reason=reason[:1_000],
        attempts=activity.info().attempt if attempts is None else attempts,
        definite=definite,
    )


def _exceeded(order: PlanOrder, found: OverBudget) -> BudgetExceeded:
    return BudgetExceeded(
        call=order.briefing.call, scope=found.scope.value, bound=found.unit, reason=str(found), until=found.until
    )


def _judge(order: PlanOrder, agent: Agent, catalogue: dict[str, Contract], reply: Reply) -> PlanReport:
    unreadable = [] if reply.fault is None else [Fault(problem=reply.fault)]
    checked = unreadable or _check(order, agent, catalogue, reply.document)
    common: dict[str, Any] = {
        "model": order.model,
        "call": order.briefing.call,
        "attempts": activity.info().attempt,
        "usage": reply.usage,
        "latency_ms": reply.latency_ms,
    }
    if isinstance(checked, Plan):
        return PlanProposed(plan=checked, terms=_terms(catalogue, checked), **common)
    return PlanRefused(faults=tuple(_short(fault) for fault in checked[:_MOST_FAULTS]), **common)


def _terms(catalogue: dict[str, Contract], plan: Plan) -> dict[str, Terms]:
    """Take the terms of every tool of the plan, and of the tools that may have to stand in for them."""
    terms: dict[str, Terms] = {}
    tools = [step.tool for step in plan.steps]
    while tools:
        contract = catalogue.get(tools.pop())
        if contract is not None and contract.name not in terms:
            terms[contract.name] = contract.terms()
            tools += [contract.fallback] if contract.fallback else []
    return terms


def _check(order: PlanOrder, agent: Agent, catalogue: dict[str, Contract], document: Json) -> Plan | list[Fault]:
    undoes = bool(agent.profile.undo_on)
    try:
        checked = check_plan(document, catalogue, order.earlier, order.limits, undoes=undoes)
    except Exception as error:  # noqa: BLE001 - whatever a model can write ends as a refusal, not as a task that hangs
        structlog.get_logger().exception("plan.not_checkable", task=order.briefing.task_id, model=order.model)
        return [Fault(problem=f"the plan could not be checked: {type(error).__name__}")]
    if isinstance(checked, Plan) and (size := len(checked.model_dump_json())) > _LARGEST_PLAN:
        return [Fault(problem=f"the plan has {size} characters", expected=f"at most {_LARGEST_PLAN}")]
    return checked


def _short(fault: Fault) -> Fault:
    return Fault(
        step=fault.step[:100], where=fault.where[:200], problem=fault.problem[:1_000], expected=fault.expected[:500]
    )


def _told_error(order: PlanOrder, error: Exception) -> tuple[str, dict[str, Json]]:
    is_tried_again = isinstance(error, PlannerBusy) and activity.info().attempt < order.attempts
    event = "planner.found_busy" if is_tried_again else "planner.found_unavailable"
    return event, {"reason": str(error)[:1_000] or type(error).__name__}


def _told(report: PlanReport) -> tuple[str, dict[str, Json]]:
    match report:
        case PlannerUnavailable():
            return "planner.found_unavailable", {"reason": report.reason}
        case BudgetExceeded():
            return "budget.found_exceeded", {"scope": report.scope, "bound": report.bound, "reason": report.reason}
        case PlanRefused():
            said: dict[str, Json] = {"faults": [str(fault)[:300] for fault in report.faults[:10]]}
            event = "plan.refused"
        case PlanProposed():
            said = {"steps": {step.id: step.tool for step in report.plan.steps}}
            event = "plan.proposed"
    return event, {**said, **report.usage.model_dump(), "latency_ms": report.latency_ms}
