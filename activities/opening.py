"""Starts a task: loads its agent and binds the task id to this run in the ledger."""

from dataclasses import dataclass

import structlog
from temporalio import activity

from activities.faults import translated
from activities.visit import Clock
from core import names
from core.errors import CallerError, ConfigError
from core.messages import OpenOrder, OpenReport, TaskOpened, TaskRefused
from core.ports import Agents, Ledger
from core.receipts import TaskRow


@dataclass(frozen=True, slots=True)
class Opening:
    """The activity `open_task`. `search_attributes`: whether the server knows those of core.names."""

    agents: Agents
    ledger: Ledger
    clock: Clock
    search_attributes: bool = True

    @activity.defn(name=names.OPEN_TASK)
    async def open_task(self, order: OpenOrder) -> OpenReport:
        """Return what the workflow has to know of the agent, or why the task cannot start. Safe to repeat."""
        with translated():
            try:
                profile = self.agents.get(order.agent).profile
            except (CallerError, ConfigError) as error:
                return self._refuse(order, str(error))
            namespace, run_id = activity.info().namespace, activity.info().workflow_run_id or ""
            bound = await self.ledger.open_task(self._row(order, namespace, run_id))
            if bound is None:
                return self._refuse(order, _ran_before(order.task_id))
            structlog.get_logger().info("task.opened", task=order.task_id, agent=order.agent)
            here = {"namespace": namespace, "search_attributes": self.search_attributes}
            rows = await self.ledger.rows(order.task_id)  # of earlier runs, where this one was asked for again
            next_intent = max((row.intent for row in rows), default=0) + 1
            return TaskOpened(profile=profile.model_copy(update=here), next_intent=next_intent)

    def _row(self, order: OpenOrder, namespace: str, run_id: str) -> TaskRow:
        return TaskRow(
            **order.model_dump(include={"task_id", "agent", "goal", "inputs", "requested_by", "again"}),
            namespace=namespace,
            first_run_id=run_id,
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
