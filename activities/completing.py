"""Settles what nobody else does: calls in doubt whose lease is over, such as those of a task that was terminated.

Nothing is begun here, only found out, by the same rules as at the door. What only a person can say is the workflow's to
ask; where none runs any more, the owner is told how to settle it.
"""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog

from activities.alarms import Alarms, is_running
from activities.doubts import Doubts
from activities.faults import NotYet
from activities.sending import Sender, Unwritten
from activities.visit import Clock, Visit
from core.errors import CallerError, ConfigError, LedgerDown, LedgerError
from core.messages import CallOrder
from core.ports import Agent, Agents, Ledger, Runs, Transactions
from core.receipts import Row, RowState, TaskRow

_GRACE = timedelta(seconds=10)  # after the lease: the attempt that has the row looks again first
_AFTER_OUTAGE = timedelta(seconds=20)
"""After the ledger was last out of reach: the next look (6 s) may find it back, and a call whose answer was kept comes
within 10 s of that. What is settled from an answer need not be sent again."""
_UNSERVED = timedelta(minutes=10)
_ALARMS_EVERY = timedelta(minutes=1)
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Completer:
    """Sweeps every `interval` (jittered by a fifth, since each worker has one) until it is stopped."""

    agents: Agents
    ledger: Ledger
    transactions: Transactions
    runs: Runs
    alarms: Alarms
    clock: Clock
    interval: timedelta = timedelta(seconds=5)

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep until `stop` is set; what is being sent then is heard out."""
        looked_for_orphans_at = self.clock() - _ALARMS_EVERY
        rests_until = self.clock()
        while not stop.is_set():
            is_resting = self.clock() < rests_until
            if not await self._guarded(self.ledger.overdue() if is_resting else self.sweep(stop)):
                rests_until = self.clock() + _AFTER_OUTAGE
            if self.clock() - looked_for_orphans_at >= _ALARMS_EVERY:
                looked_for_orphans_at = self.clock()
                await self._guarded(self.alarm_orphans(stop))
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self.interval.total_seconds() * random.uniform(0.8, 1.2))  # noqa: S311

    async def sweep(self, stop: asyncio.Event | None = None) -> None:
        """Look once at what is overdue. Raises LedgerDown."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def settled(row: Row) -> None:
            async with gate:
                if stop is None or not stop.is_set():
                    await self._guarded(self._settle(row))

        late = [row for row in await self.ledger.overdue() if self._is_over(row, _GRACE)]
        await asyncio.gather(*(settled(row) for row in late))

    async def alarm_orphans(self, stop: asyncio.Event | None = None) -> None:
        """Tell the owners of what only a person can settle, and nobody is asked. Raises LedgerDown."""
        for row in await self.ledger.doubts():
            if stop is not None and stop.is_set():
                return
            if row.state is RowState.NEEDS_PERSON or self._is_over(row, _UNSERVED):
                await self._guarded(self.alarms.alarm(row))

    def _is_over(self, row: Row, by: timedelta) -> bool:
        return row.lease_until + by <= self.clock()

    async def _guarded(self, work: Any) -> bool:
        """Let no error end the sweeping; the next sweep looks again. False when the ledger was out of reach."""
        try:
            await work
        except (LedgerError, NotYet, Unwritten) as error:
            structlog.get_logger().info("doubt.not_settled_yet", problem=str(error)[:500])
            return not isinstance(error, LedgerDown)
        except Exception:  # noqa: BLE001 - one call that cannot be settled must not keep the others from it
            structlog.get_logger().exception("completer.broken")
        return True

    async def _settle(self, row: Row) -> None:
        """Take a row as far as it gets now."""
        task, agent = await self.ledger.task(row.task_id), self._agent(row.agent)
        if task is None or agent is None or row.tool not in agent.tools:
            return  # another worker's; `alarm_orphans` tells of it when nobody serves it
        visit = self._visit(row, task, agent)
        sender = Sender(self.ledger, self.transactions, asyncio.sleep)
        found = await Doubts(self.ledger, self.transactions, sender).resolve(visit, row)
        visit.log.info("doubt.looked_at", outcome=found.state if isinstance(found, Row) else found.kind)
        if not isinstance(found, Row):
            await self.alarms.alarm(row)
        elif found.state is RowState.RESERVED and not await is_running(self.runs, row.task_id):
            await sender.cancel(visit, found, "it was not applied, and its task does not run any more")

    def _agent(self, name: str) -> Agent | None:
        try:
            return self.agents.get(name)
        except (CallerError, ConfigError):
            return None

    def _visit(self, row: Row, task: TaskRow, agent: Agent) -> Visit:
        order = CallOrder(
            agent=row.agent,
            task_id=row.task_id,
            step=row.step,
            intent=row.intent,
            revision=row.revision,
            key=row.key,
            digest=row.contract_digest,
            args=row.args,
            settle_only=True,
        )
        tool = agent.tools[row.tool]
        return Visit(
            order=order,
            name=row.tool,
            task=task,
            agent=agent,
            tool=tool,
            run_id=None,
            id="completer",
            attempt=1,
            ends_at=self.clock() + tool.contract.budget,
            clock=self.clock,
            log=structlog.get_logger().bind(task=row.task_id, step=row.step, tool=row.tool, key=row.key, attempt=0),
        )
