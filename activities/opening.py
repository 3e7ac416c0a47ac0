"""Starts a task: loads its agent and binds the task id to this run in the ledger."""

from dataclasses import dataclass

import structlog
from temporalio import activity

from activities.adopting import inherit
from activities.binding import Binding
from activities.faults import translated
from activities.visit import Clock
from core import names
from core.errors import CallerError, ConfigError
from core.messages import OpenOrder, OpenReport, TaskOpened, TaskRefused
from core.ports import Agent, Agents, Ledger, Runs
from core.receipts import TaskRow


@dataclass(frozen=True, slots=True)
class Opening:
    """The activity `open_task`. `search_attributes`: whether the server knows those of core.names."""

    agents: Agents
    ledger: Ledger
    runs: Runs
    clock: Clock
    search_attributes: bool = True

    @activity.defn(name=names.OPEN_TASK)
    async def open_task(self, order: OpenOrder) -> OpenReport:
        """Return what the workflow has to know of the agent, or why the task cannot start. Safe to repeat."""
        with translated():
            try:
                agent = self.agents.get(order.agent)
            except (CallerError, ConfigError) as error:
                return self._refuse(order, str(error))
            bound = await self._bind(self._row(order))
            if bound is None:
                return self._refuse(order, _ran_before(order.task_id))
            structlog.get_logger().info("task.opened", task=order.task_id, agent=order.agent, epoch=bound.epoch)
            return await self._opened(agent, bound)

    async def _bind(self, task: TaskRow) -> TaskRow | None:
        """Bind the task, unless Temporal says that this run is not the one that is open (any more)."""
        known = await self.ledger.task(task.task_id)
        if known is not None and known.run_id != task.run_id:
            is_open = await Binding(self.ledger, self.runs).is_current(task.task_id, task.run_id)
            return await self.ledger.open_task(task) if is_open else None
        return await self.ledger.open_task(task)

    async def _opened(self, agent: Agent, task: TaskRow) -> TaskOpened:
        here = {"namespace": task.namespace, "search_attributes": self.search_attributes}
        known = await inherit(self.ledger, task.task_id, agent.tools)
        return TaskOpened(
            profile=agent.profile.model_copy(update=here),
            next_intent=known.next_intent,
            epoch=task.epoch,
            adopted=known.adopted if task.epoch else (),
            not_shown=known.not_shown if task.epoch else 0,
            # a task that was asked for again begins with the first run of a chain; any other that opens is a reset
            is_reset=task.epoch > 0 and task.run_id != task.first_run_id,
        )

    def _row(self, order: OpenOrder) -> TaskRow:
        info = activity.info()
        run_id = info.workflow_run_id or ""
        return TaskRow(
            **order.model_dump(include={"task_id", "agent", "goal", "inputs", "requested_by", "again"}),
            namespace=info.namespace,
            first_run_id=order.first_run_id or run_id,
            run_id=run_id,
            opened_at=self.clock(),
        )

    def _refuse(self, order: OpenOrder, reason: str) -> TaskRefused:
        structlog.get_logger().warning("task.refused", task=order.task_id, agent=order.agent, reason=reason[:300])
        return TaskRefused(reason=reason[:2_000])


def _ran_before(task_id: str) -> str:
    return (
        f"a task with the id {task_id!r} has run before, and its effects stand; "
        "use another id, or start it with `starter.py run --again`"
    )
