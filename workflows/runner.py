"""How workflow code is run: as it is by workers, and in the SDK's sandbox by tests and by `starter.py replay`.

The sandbox loads workflow modules anew for every run, to catch what is not deterministic: 20 ms of CPU for each task,
and again for each one that a worker takes over. What it would catch, tests catch: they run every task and replay every
recorded history in it.
"""

from temporalio.worker import UnsandboxedWorkflowRunner, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from workflows.timely import TimelyRunner

OURS = ("core", "activities", "rfc8785")
"""All of ours or none: with only some of them passed through, class identities differ and a `match` takes no branch."""


def for_workers() -> WorkflowRunner:
    """Return the runner of workers."""
    return TimelyRunner(UnsandboxedWorkflowRunner())


def sandboxed(*, passed_through: bool = True) -> WorkflowRunner:
    """Return the runner that catches impure lines: those of `workflows`, with `passed_through=False` of `core` too."""
    restrictions = SandboxRestrictions.default
    if passed_through:
        restrictions = restrictions.with_passthrough_modules(*OURS)
    return TimelyRunner(SandboxedWorkflowRunner(restrictions=restrictions))
