"""The door: the one activity through which every call of a tool reaches the world. Its type is the tool's name.

::

    order -> kept receipt -> run         -> epoch        -> undo      -> poison     -> the call
             written first   else          told instead    arguments    put aside     calling.py
                             Superseded    of acting       filled in
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from temporalio import activity
from temporalio.common import RawValue

from activities.adopting import inherit
from activities.binding import Binding
from activities.calling import Calling
from activities.doubts import Doubts
from activities.faults import translated
from activities.heartbeat import beating
from activities.poison import counted
from activities.results import settle_with_kept
from activities.sending import Sender, Sleep, Unwritten
from activities.undoing import with_arguments
from activities.visit import Clock, Visit
from core.errors import CallerError, ConfigError
from core.failpoints import reach
from core.messages import CallOrder, EpochOpened, ReceiptKept, ToolRefused, ToolReport
from core.ports import Agent, Agents, Ledger, Runs, Tool, Transactions
from core.receipts import TaskRow


class Door:
    """`clock` returns aware UTC; `sleep` pauses between tries of the ledger and of a read-back."""

    def __init__(
        self,
        agents: Agents,
        ledger: Ledger,
        transactions: Transactions,
        runs: Runs,
        *,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._agents = agents
        self._ledger = ledger
        self._clock = clock
        self._binding = Binding(ledger, runs)
        sender = Sender(ledger, transactions, sleep)
        self._calling = Calling(ledger, sender, Doubts(ledger, transactions, sender))

    @activity.defn(dynamic=True)
    async def call_tool(self, args: Sequence[RawValue]) -> ToolReport:
        """Take one call through the door. The argument is one CallOrder; the activity's type is the tool's name."""
        with translated():
            arrived = self._clock()
            order = activity.payload_converter().from_payload(args[0].payload, CallOrder)
            await reach("door.arrived", order.key)
            with beating():
                report = await self._take(order, arrived)
            await reach("door.reporting", order.key)
            return report

    async def _take(self, order: CallOrder, arrived: datetime) -> ToolReport:
        await self._write_kept(order)
        task = await self._bound(order)
        agent, tool = self._look_up(order.agent, activity.info().activity_type)
        if order.epoch < task.epoch:
            return await self._tell_epoch(order, task, agent)
        filled = await with_arguments(self._ledger, order)
        if isinstance(filled, ToolRefused):
            return filled
        visit = self._visit(filled, task, agent, tool, arrived)
        try:
            async with counted(self._ledger, visit) as is_to_be_put_aside:
                return await (self._calling.put_aside(visit) if is_to_be_put_aside else self._calling.make(visit))
        except Unwritten as error:
            visit.log.warning("receipt.kept", move=error.receipt.move, size=error.receipt.size)
            return ReceiptKept(step=order.step, receipt=error.receipt)

    async def _write_kept(self, order: CallOrder) -> None:
        """Write the receipt that an earlier visit could not; where the row went on since, the ledger's word stands."""
        if order.receipt is None:
            return
        row = await self._ledger.find(order.key)
        is_written = row is not None and row.state.is_final and row.fence == order.receipt.fence
        if not is_written:
            await self._ledger.settle(order.key, order.receipt.fence, settle_with_kept(order.receipt))

    async def _bound(self, order: CallOrder) -> TaskRow:
        task = await self._ledger.task(order.task_id)
        if task is None:
            raise LookupError(f"the ledger does not know the task {order.task_id}; was it opened with another ledger?")
        return await self._binding.bind(task, activity.info().workflow_run_id or "", order.ancestors)

    async def _tell_epoch(self, order: CallOrder, task: TaskRow, agent: Agent | None) -> EpochOpened:
        """Say what earlier runs did, instead of acting: the order was made without knowing it."""
        known = await inherit(self._ledger, task.task_id, agent.tools if agent else {})
        structlog.get_logger().info("epoch.told", task=task.task_id, epoch=task.epoch, adopted=len(known.adopted))
        return EpochOpened(
            step=order.step,
            epoch=task.epoch,
            next_intent=known.next_intent,
            adopted=known.adopted,
            not_shown=known.not_shown,
        )

    def _look_up(self, agent_name: str, tool_name: str) -> tuple[Agent | None, Tool | None]:
        try:
            agent = self._agents.get(agent_name)
        except (CallerError, ConfigError):
            return None, None
        return agent, agent.tools.get(tool_name)

    def _visit(
        self, order: CallOrder, task: TaskRow, agent: Agent | None, tool: Tool | None, arrived: datetime
    ) -> Visit:
        info = activity.info()
        log = structlog.get_logger().bind(
            task=order.task_id, step=order.step, tool=info.activity_type, key=order.key, attempt=info.attempt
        )
        return Visit(
            order=order,
            name=info.activity_type,
            task=task,
            agent=agent,
            tool=tool,
            run_id=info.workflow_run_id or "",
            id=f"{info.workflow_run_id}/{info.activity_id}",
            attempt=info.attempt,
            ends_at=arrived + (tool.contract.budget if tool else timedelta(seconds=30)),
            clock=self._clock,
            log=log,
        )
