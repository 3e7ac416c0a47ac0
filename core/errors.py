"""All errors, named after who can act on them.

::

    LastmileError
    ├── CallerError          whoever started the task or wrote the answer: bad input, taken id
    ├── ConfigError          whoever set the agent or the worker up: a file, where, what was expected
    ├── PlannerError         the language model or its provider
    │   ├── PlannerBusy      transient: try again, after `retry_after` if the provider said so
    │   └── PlannerDown      definite for this model: bad key, unknown model, bad request
    ├── ToolError            raised by tools
    │   ├── Refused          a definite no; the effect was certainly not applied
    │   └── NotSent          certainly not applied; may be tried again
    └── LedgerError          the operator
        ├── LedgerDown       the database does not answer; nothing was decided
        ├── ApprovalUsed     an approval was already consumed by another call
        ├── Stopped          the kill switch is on for this tool or agent
        ├── Superseded       a later run of the task (a reset, or run --again) has taken its place
        └── TotalExceeded    a running sum that policy caps does not fit any more
"""


class LastmileError(Exception):
    """Root of every error that Lastmile raises on purpose. The text says what, to which thing, and what to do."""


class CallerError(LastmileError):
    """The input of a task or of a command is wrong."""


class ConfigError(LastmileError):
    """A configuration file or an agent folder is wrong; the text names file, place and expectation."""


class PlannerError(LastmileError):
    """A planning call brought no reply."""


class PlannerBusy(PlannerError):
    """The provider is busy or unreachable; the same call may be made again.

    ``retry_after``: seconds that the provider asked for, or None. ``is_outage``: whether it speaks against the provider
    as a whole. ``may_have_cost``: the request was sent, so an answer may have been made that never came.
    """

    def __init__(
        self,
        message: str,
        retry_after: float | None = None,
        *,
        is_outage: bool = False,
        may_have_cost: bool = False,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.is_outage = is_outage
        self.may_have_cost = may_have_cost


class PlannerDown(PlannerError):
    """This model cannot be used as configured (key, name, request); calling again will not help."""


class ToolError(LastmileError):
    """Raised by a tool to say precisely what happened."""


class Refused(ToolError):
    """A definite no: the effect was not applied and the same call will not be.

    ``code``: a short machine-readable reason such as ``not_refundable``; ``message``: a sentence for the planner.
    """

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.code = code
        self.message = message or code


class NotSent(ToolError):
    """Certainly not applied; may be tried again, after ``retry_after`` seconds if given."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class LedgerError(LastmileError):
    """The ledger refused or could not do something."""


class LedgerDown(LedgerError):
    """The ledger's database does not answer. Nothing was decided; try again later."""


class ApprovalUsed(LedgerError):
    """An approval was already consumed by another call; nothing was changed."""


class TotalExceeded(LedgerError):
    """A running sum that policy caps does not fit any more; nothing was changed."""


class Stopped(LedgerError):
    """The kill switch is on for this tool or agent: nothing new is sent until it is lifted; nothing was changed."""


class Superseded(LedgerError):
    """A later run of the same task has taken this one's place: whatever this one wanted to send is not sent."""
