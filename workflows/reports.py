"""What activities report, read so that a kind which this worker does not know stops no task.

During a rolling deployment a newer worker may answer what an older one has asked. The older one takes a report of an
unknown kind for an activity that broke; that decision is in history, and the newer one has to make it again when it
replays it. So a kind that came after the first ones leaves a marker where it is understood: without the marker it is
not, whoever reads.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

from temporalio import workflow
from temporalio.common import RawValue

from core.messages import ConcludeReport, EffectsListed, Event, OpenReport, PlanReport, ToolReport, adapter_of

FIRST_KINDS = frozenset(
    [
        "TaskOpened",
        "TaskRefused",
        "PlanProposed",
        "PlanRefused",
        "PlannerUnavailable",
        "ToolSucceeded",
        "ToolRefused",
        "ToolUnavailable",
        "ApprovalNeeded",
        "OutcomeUnknown",
        "EpochOpened",
        "ReceiptKept",
        "EffectsListed",
        "OutcomeVerified",
        "OutcomeNotVerified",
    ]
)
"""Understood without a marker, since their histories have none. Never add to these."""


class UnknownReport(Exception):
    """An activity of a newer worker reported what this one cannot read, or could not when it was decided."""


@dataclass(frozen=True)
class Reports:
    """The reports that one activity may make: a class, or an annotated union of classes."""

    shape: Any

    @cached_property
    def kinds(self) -> frozenset[str]:
        """Name the kinds that are known."""
        union = get_args(self.shape)
        return frozenset(one.__name__ for one in (get_args(union[0]) if union else (self.shape,)))

    def read(self, raw: RawValue) -> Event:
        """Read a report. Raises UnknownReport."""
        kind = _kind_of(raw.payload.data)
        if kind not in self.kinds or not (kind in FIRST_KINDS or workflow.patched(f"report:{kind}")):
            raise UnknownReport(f"the report is of a kind that is not known here: {kind[:100] or 'none'}")
        event: Event = adapter_of(self.shape).validate_json(raw.payload.data)
        return event


def _kind_of(data: bytes) -> str:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    return str(document.get("kind", "")) if isinstance(document, dict) else ""


OPENED, PLANNED, CALLED = Reports(OpenReport), Reports(PlanReport), Reports(ToolReport)
LISTED, CONCLUDED = Reports(EffectsListed), Reports(ConcludeReport)
