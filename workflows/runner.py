"""How workflow code is run: in the SDK's sandbox, with our own pure packages passed through it."""

from temporalio.worker import WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from workflows.timely import TimelyRunner

OURS = ("core", "activities", "rfc8785")
"""All of ours or none: with only some of them passed through, class identities differ and a `match` takes no branch."""


def sandboxed(*, passed_through: bool = True) -> WorkflowRunner:
    """Return the runner of workers; `passed_through=False` (replay tests) catches an impure line in `core`."""
    restrictions = SandboxRestrictions.default
    if passed_through:
        restrictions = restrictions.with_passthrough_modules(*OURS)
    return TimelyRunner(SandboxedWorkflowRunner(restrictions=restrictions))
