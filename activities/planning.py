"""Asks one language model for a plan, once, and checks what came back. Never raises because of what a model says."""

from dataclasses import dataclass
from typing import Any

import structlog
from temporalio import activity

from activities.faults import NotYet, asked_delay, back_off, translated
from activities.heartbeat import beating
from activities.visit import Clock
from core import names
from core.briefing import Prompt
from core.checking import check_plan
from core.contract import Contract, Terms
from core.errors import CallerError, ConfigError, LedgerDown, PlannerBusy, PlannerDown
from core.messages import PlannerUnavailable, PlanOrder, PlanProposed, PlanRefused, PlanReport
from core.plan import Fault, Plan
from core.ports import Agent, Agents, Ledger, Planners, Reply
from core.receipts import Line
from core.record import Json

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
        with translated():
            with beating():
                report = await self._propose(order)
            await self._record(order, report)
            return report

    async def _propose(self, order: PlanOrder) -> PlanReport:
        briefing = order.briefing
        if order.amendments:
            await self.ledger.amend_task(briefing.task_id, briefing.goal, briefing.inputs, order.amendments)
        try:
            agent = self.agents.get(briefing.agent)
            catalogue = _catalogue(agent, briefing.without_tools)
            reply = await self.planners.get(order.model).propose(_prompt(order, agent, catalogue))
        except PlannerBusy as error:
            return _busy(order, error)
        except (PlannerDown, CallerError, ConfigError) as error:
            return _unavailable(order, str(error))
        except LedgerDown:
            raise
        except Exception as error:  # noqa: BLE001 - an adapter with a bug is a model that cannot be used
            structlog.get_logger().exception("planner.broken", task=briefing.task_id, model=order.model)
            return _unavailable(order, f"{type(error).__name__}: {error}")
        return _judge(order, agent, catalogue, reply)

    async def _record(self, order: PlanOrder, report: PlanReport) -> None:
        event, fields = _told(report)
        fields = {"model": order.model, "call": order.briefing.call, **fields}
        attempt = activity.info().attempt
        structlog.get_logger().info(event, task=order.briefing.task_id, attempt=attempt, **fields)
        line = Line(task_id=order.briefing.task_id, at=self.clock(), event=event, attempt=attempt, fields=fields)
        try:
            await self.ledger.record(line)
        except LedgerDown:  # the reply is paid for: asking again costs more than a line of the audit
            structlog.get_logger().warning("audit.not_written", task=order.briefing.task_id, missing=event)


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


def _unavailable(order: PlanOrder, reason: str) -> PlannerUnavailable:
    return PlannerUnavailable(
        model=order.model, call=order.briefing.call, reason=reason[:1_000], attempts=activity.info().attempt
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


def _told(report: PlanReport) -> tuple[str, dict[str, Json]]:
    match report:
        case PlannerUnavailable():
            return "planner.found_unavailable", {"reason": report.reason}
        case PlanRefused():
            said: dict[str, Json] = {"faults": [str(fault)[:300] for fault in report.faults[:10]]}
            event = "plan.refused"
        case PlanProposed():
            said = {"steps": {step.id: step.tool for step in report.plan.steps}}
            event = "plan.proposed"
    return event, {**said, **report.usage.model_dump(), "latency_ms": report.latency_ms}
