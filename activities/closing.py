"""Checks that a task is done: over the receipts of its calls, never over what a model says."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from temporalio import activity

from activities.arguments import fill_in
from activities.faults import NotYet, translated
from activities.heartbeat import beating
from activities.reading import OBSERVED
from activities.results import read, shorten_each, stored_result
from activities.visit import Clock, within
from core import names
from core.errors import CallerError, ConfigError
from core.messages import ConcludeOrder, ConcludeReport, OutcomeNotVerified, OutcomeVerified
from core.ports import Agent, Agents, Call, Ledger, Tool
from core.receipts import Line, Move, Row, RowState, TaskRow
from core.record import Json
from core.references import Unresolvable

_LONGEST_ANSWER = 64_000  # characters
_READ_BACK = timedelta(seconds=20)  # for all of a task; `conclude` itself has 30 s, and what is left stays unconfirmed
_OUTCOMES = {RowState.SUCCEEDED: "succeeded", RowState.FAILED: "failed", RowState.CANCELLED: "cancelled"}


@dataclass(frozen=True, slots=True)
class Closing:
    """The activity `conclude`."""

    agents: Agents
    ledger: Ledger
    clock: Clock

    @activity.defn(name=names.CONCLUDE)
    async def conclude(self, order: ConcludeOrder) -> ConcludeReport:
        """Evaluate the agent's conditions, and read back what is not confirmed yet."""
        with translated():
            with beating():
                report = await self._conclude(order)
            await self._record(order, report)
            return report

    async def _conclude(self, order: ConcludeOrder) -> ConcludeReport:
        task = await self.ledger.task(order.task_id)
        if task is None:
            raise LookupError(f"the ledger does not know the task {order.task_id}; was it opened with another ledger?")
        try:
            agent = self.agents.get(order.agent)
        except (CallerError, ConfigError) as error:
            return OutcomeNotVerified(unmet=shorten_each([str(error)]))
        until = self.clock() + _READ_BACK
        rows = [await self._settled(agent, task, row, until) for row in await self.ledger.rows(order.task_id)]
        unmet = [_open(row) for row in rows if not row.state.is_final]
        unmet += agent.done.unmet(
            [await self._effect(row) for row in rows], await self._reads(order.task_id), _task(task), task.inputs
        )
        answer, problem = await self._answer(order)
        if unmet or problem:
            return OutcomeNotVerified(unmet=shorten_each([*unmet, *problem]))
        return OutcomeVerified(answer=answer)

    async def _settled(self, agent: Agent, task: TaskRow, row: Row, until: datetime) -> Row:
        if row.state is RowState.RESERVED:
            return await self._withdraw(row)
        tool = agent.tools.get(row.tool)
        if row.state is RowState.SUCCEEDED and row.verified is not True and tool and tool.contract.has_verify:
            return await self._read_back(tool, task, row, until)
        return row

    async def _withdraw(self, row: Row) -> Row:
        """Give up a call that was claimed and never sent, such as one whose worker was killed in between."""
        if (wait := row.lease_until - self.clock()) > timedelta(0):
            raise NotYet(f"{row.step} is being prepared", wait)
        withdrawn = await self.ledger.move(row.key, row.fence, Move.CANCEL, "the task ended before it was sent")
        if withdrawn is None:
            raise NotYet(f"{row.step} is being called")
        return withdrawn

    async def _read_back(self, tool: Tool, task: TaskRow, row: Row, until: datetime) -> Row:
        patience = min(tool.contract.timeout, until - self.clock())
        log = structlog.get_logger().bind(task=row.task_id, step=row.step, tool=row.tool, key=row.key)
        call = Call(
            key=row.key,
            task_id=row.task_id,
            step_id=row.step,
            attempt=max(row.sends, 1),
            deadline=self.clock() + patience,
            inputs=task.inputs,
            log=log,
        )
        result = await stored_result(self.ledger, row)
        try:
            verified = await within(patience, tool.verify(call, row.args, result))
        except Exception as error:  # noqa: BLE001 - not confirmed; the receipt stands, and the conditions decide
            log.warning("tool.not_read_back", error=str(error)[:300])
            return row
        if verified is not None:
            await self.ledger.verified(row.key, verified)
        return row.model_copy(update={"verified": verified})

    async def _effect(self, row: Row) -> Mapping[str, Json]:
        outcome = "unknown" if row.written_off else _OUTCOMES.get(row.state, "unknown")
        result = await stored_result(self.ledger, row) if row.state is RowState.SUCCEEDED else None
        return {
            "step": row.step,
            "tool": row.tool,
            "args": row.args,
            "outcome": outcome,
            "result": result,
            "verified": row.verified,
            "key": row.key,
            "approved_by": list(row.approved_by),
        }

    async def _reads(self, task_id: str) -> list[Mapping[str, Json]]:
        """Return what was read, the last answer of each call (one that was made again was out of date)."""
        seen = {line.key: line async for line in self.ledger.lines(task_id) if line.event == OBSERVED}
        return [await self._read(line) for line in seen.values()]

    async def _read(self, line: Line) -> Mapping[str, Json]:
        fields = line.fields
        result = read(await self.ledger.fetch(fields["blob"])) if "blob" in fields else fields.get("result")
        return {
            "step": line.step,
            "tool": line.tool,
            "args": fields.get("args", {}),
            "outcome": "succeeded",
            "result": result,
            "verified": None,
        }

    async def _answer(self, order: ConcludeOrder) -> tuple[str, list[str]]:
        try:
            filled, _ = await fill_in({"answer": order.answer}, order.deferred, self.ledger.fetch)
        except Unresolvable as error:
            return "", [f"the answer: {error}"]
        text = str(filled["answer"])
        cut = f"… ({len(text)} characters)" if len(text) > _LONGEST_ANSWER else ""
        return text[:_LONGEST_ANSWER] + cut, []

    async def _record(self, order: ConcludeOrder, report: ConcludeReport) -> None:
        unmet = list(report.unmet) if isinstance(report, OutcomeNotVerified) else []
        event = "outcome.not_verified" if unmet else "outcome.verified"
        structlog.get_logger().info(event, task=order.task_id, unmet=unmet)
        await self.ledger.record(
            Line(task_id=order.task_id, at=self.clock(), event=event, fields={"unmet": unmet} if unmet else {})
        )


def _open(row: Row) -> str:
    return f"{row.step} ({row.tool}) is {row.state}: nobody knows yet whether it happened"


def _task(task: TaskRow) -> Mapping[str, Json]:
    return {"id": task.task_id, "agent": task.agent, "requested_by": task.requested_by, "goal": task.goal}
