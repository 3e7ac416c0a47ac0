"""The tasks of a ledger in memory: what each is bound to, and every run that it ever was bound to."""

from collections import defaultdict
from collections.abc import Sequence

from core.receipts import TaskRow
from core.record import Json
from ledger.columns import copied, legible, utc
from ledger.tasks import check_not_superseded, rebinding, succession, unknown_task


class MemoryTasks:
    """Binds tasks to runs by the rules of `ledger.tasks`. `bind` says whether the epoch went up."""

    def __init__(self) -> None:
        self._tasks: dict[str, TaskRow] = {}
        self._runs: dict[str, set[str]] = defaultdict(set)

    def get(self, task_id: str) -> TaskRow | None:
        """Return a task."""
        return self._tasks.get(task_id)

    def is_bound_elsewhere(self, task_id: str, run_id: str) -> bool:
        """Whether the task is there, and bound to another run."""
        known = self._tasks.get(task_id)
        return known is not None and known.run_id != run_id

    def opened(self, task: TaskRow) -> TaskRow | None:
        """Say what the task is to be when a run opens it."""
        known = self._tasks.get(task.task_id)
        if known is None:
            return task.model_copy(update={"epoch": 0})
        return rebinding(known, task, self._runs[task.task_id])

    def continued(self, task_id: str, run_id: str, ancestors: Sequence[str]) -> TaskRow | None:
        """Say what the task is to be for a run that may continue its own."""
        return succession(self._known(task_id), run_id, ancestors, self._runs[task_id])

    def reset(self, task_id: str, run_id: str, instead_of: str) -> TaskRow | None:
        """Say what the task is to be after a reset."""
        known = self._known(task_id)
        if known.run_id != instead_of:
            return None
        check_not_superseded(known, run_id, self._runs[task_id])
        return known.model_copy(update={"run_id": run_id, "epoch": known.epoch + 1})

    def amend(self, task_id: str, goal: str, inputs: dict[str, Json], amendments: int) -> None:
        """Write the wish as amended."""
        known = self._tasks.get(task_id)
        if known is not None and known.amendments < amendments:
            self.put(known.model_copy(update={"goal": goal, "inputs": inputs, "amendments": amendments}))

    def put(self, task: TaskRow) -> TaskRow:
        """Keep a task as a database would."""
        kept = {
            "goal": legible(task.goal),
            "requested_by": legible(task.requested_by),
            "inputs": copied(task.inputs),
            "opened_at": utc(task.opened_at),
        }
        self._tasks[task.task_id] = task.model_copy(update=kept)
        self._runs[task.task_id].add(task.run_id)
        return self._tasks[task.task_id]

    def _known(self, task_id: str) -> TaskRow:
        if task_id not in self._tasks:
            raise unknown_task(task_id)
        return self._tasks[task_id]
