"""Tells people of calls that only they can settle, when no workflow runs any more that would ask them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from activities.faults import NotYet, back_off
from activities.visit import Clock
from core.errors import CallerError, ConfigError
from core.ports import Agents, Ledger, Notice, Notifier, Runs
from core.receipts import Line, Row

ALARMED = "doubt.alarmed"
_MOST_TRIES = 5  # of a notice


@dataclass
class Alarms:
    """Tells the owner of each row once, also over restarts: a line of the audit says so."""

    agents: Agents
    ledger: Ledger
    notifiers: Sequence[Notifier]
    runs: Runs
    clock: Clock
    _alarmed: set[str] = field(default_factory=set)
    _tries: dict[str, int] = field(default_factory=dict)

    async def alarm(self, row: Row) -> None:
        """Tell the owner once of a row that no running task will ask about. Raises NotYet and LedgerDown."""
        if row.key in self._alarmed or await is_running(self.runs, row.task_id):
            return
        if not await self._was_alarmed(row) and not await self._tell(row):
            return
        self._alarmed.add(row.key)

    async def _was_alarmed(self, row: Row) -> bool:
        async for line in self.ledger.lines(row.task_id):
            if line.event == ALARMED and line.key == row.key:
                return True
        return False

    async def _tell(self, row: Row) -> bool:
        """Send the notice by every way; return whether that is done with."""
        owner = self._owner(row.agent)
        notice = _notice(row, owner)
        failed = ""
        for notifier in self.notifiers:
            try:
                await notifier.send(notice)
            except Exception as error:  # noqa: BLE001 - whatever a way to reach people may raise: the next one is tried
                failed = f"{type(error).__name__}: {error}"[:500]
        self._tries[row.key] = self._tries.get(row.key, 0) + 1
        structlog.get_logger().warning(ALARMED, task=row.task_id, step=row.step, key=row.key, failed=failed)
        if failed and self._tries[row.key] < _MOST_TRIES:
            return False
        del self._tries[row.key]
        fields = {"owner": owner, "failed": failed}
        line = Line(
            task_id=row.task_id,
            at=self.clock(),
            event=ALARMED,
            step=row.step,
            tool=row.tool,
            key=row.key,
            fields=fields,
        )
        await self.ledger.record(line)
        return True

    def _owner(self, agent: str) -> str:
        try:
            return self.agents.get(agent).profile.owner
        except (CallerError, ConfigError):
            return ""


async def is_running(runs: Runs, task_id: str) -> bool:
    """Ask Temporal whether a run of the task is open. Raises NotYet when it cannot be asked."""
    try:
        return await runs.current(task_id) is not None
    except Exception as error:
        raise NotYet(f"cannot ask whether {task_id} runs: {error}"[:500], back_off(5)) from error


def _notice(row: Row, owner: str) -> Notice:
    sent = f"{row.marked_at:%Y-%m-%d %H:%M:%S} UTC" if row.marked_at else "an unknown time"
    why = f" ({row.message[:500]})" if row.message else ""
    return Notice(
        task_id=row.task_id,
        agent=row.agent,
        rung="outcome",
        to=(owner,) if owner else (),
        title=f"Nobody knows what became of {row.tool}",
        text=(
            f"Task {row.task_id} does not run any more. Its step {row.step} sent {row.tool} at {sent} (key {row.key}), "
            f"and whether that happened is not known{why}. Find out, and write it down: "
            f"starter.py settle {row.key} happened|did_not_happen|write_off --by NAME --evidence TEXT"
        ),
    )
