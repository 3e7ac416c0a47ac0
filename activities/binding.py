"""Which run of a task may act: the one it is bound to, one that continues it, or a reset that took its place.

::

    the bound run                          acts
    continues it (announced by its order)  is bound in its place, same epoch
    was bound before                       Superseded
    unknown, and Temporal's current run    a reset: bound in its place, new epoch
    unknown, and not the current run       Superseded
"""

from collections.abc import Sequence
from dataclasses import dataclass

from activities.faults import NotYet, back_off
from core.errors import Superseded
from core.ports import Ledger, Runs
from core.receipts import TaskRow

_MOST_LOOKS = 10  # somebody else may bind the task between two looks; each time a run later than the one before


@dataclass(frozen=True, slots=True)
class Binding:
    """Binds tasks to runs."""

    ledger: Ledger
    runs: Runs

    async def bind(self, task: TaskRow, run_id: str, ancestors: Sequence[str]) -> TaskRow:
        """Return the task as bound to this run. Raises Superseded when a later run has its place."""
        if task.run_id == run_id:
            return task
        for _ in range(_MOST_LOOKS):
            bound = await self.ledger.bind_run(task.task_id, run_id, ancestors)
            if bound is not None:
                return bound
            if not await self.is_current(task.task_id, run_id):
                raise superseded(task.task_id)
            bound = await self._reset(task.task_id, run_id)
            if bound is not None:
                return bound
        raise NotYet("other runs of the task bind it at the same time", back_off(1))

    async def is_current(self, task_id: str, run_id: str) -> bool:
        """Ask Temporal whether this is the run that is open. Raises NotYet when it cannot be asked."""
        try:
            return await self.runs.current(task_id) == run_id
        except Exception as error:
            raise NotYet(f"cannot ask which run of the task is open: {error}"[:500], back_off(5)) from error

    async def _reset(self, task_id: str, run_id: str) -> TaskRow | None:
        known = await self.ledger.task(task_id)
        if known is None or known.run_id == run_id:
            return known
        return await self.ledger.open_epoch(task_id, run_id, instead_of=known.run_id)


def superseded(task_id: str) -> Superseded:
    """Say why a call of an earlier run is not sent."""
    return Superseded(f"a later run of {task_id} has taken the place of this one; nothing of it is sent any more")
