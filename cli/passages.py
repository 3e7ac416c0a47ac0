"""What Temporal's history says of a task: each call with its attempts and how long it took, and what people sent."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from core import names
from core.record import Json, Record


class Passage(Record):
    """One activity: a planning call, a visit to the door, a notice. `latency_ms`: from scheduled to answered."""

    activity: str
    step: str = ""
    key: str = ""
    at: datetime
    attempts: int = 1
    latency_ms: int | None = None
    answer: Json = None
    failure: str = ""
    approvals: tuple[dict[str, Json], ...] = ()

    @property
    def is_call(self) -> bool:
        """Whether it is a tool's."""
        return self.activity not in names.RESERVED_TOOL_NAMES


class Spoken(Record):
    """Something that a person (or a program) sent: a signal, the update `decide`, or the request to cancel.

    ``counted``: whether it is shown by what came after that it was accepted. False: nobody knows. An update that is
    refused leaves nothing in the history, so one that is there was accepted; so was a request to cancel.
    """

    at: datetime
    form: str
    payload: Json = None
    identity: str = ""
    counted: bool = False


def passages(events: Iterable[HistoryEvent]) -> list[Passage]:
    """Read the activities of one run, in the order in which they were scheduled."""
    scheduled: dict[int, Passage] = {}
    attempts: dict[int, int] = {}
    for event in events:
        match event.event_type:
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                scheduled[event.event_id] = _scheduled(event)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                started = event.activity_task_started_event_attributes
                attempts[started.scheduled_event_id] = started.attempt
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                done = event.activity_task_completed_event_attributes
                _close(scheduled, attempts, done.scheduled_event_id, event, answer=_first(done.result))
            case EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED:
                failed = event.activity_task_failed_event_attributes
                _close(scheduled, attempts, failed.scheduled_event_id, event, failure=failed.failure.message)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
                late = event.activity_task_timed_out_event_attributes
                _close(scheduled, attempts, late.scheduled_event_id, event, failure=late.failure.message)
    return list(scheduled.values())


def spoken(events: Iterable[HistoryEvent]) -> list[Spoken]:
    """Read what was sent to one run."""
    found = []
    for event in events:
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
            signal = event.workflow_execution_signaled_event_attributes
            found.append(_spoken(event, signal.signal_name, signal.input, signal.identity))
        elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
            request = event.workflow_execution_update_accepted_event_attributes.accepted_request
            update = _spoken(event, request.input.name, request.input.args, request.meta.identity)
            found.append(update.model_copy(update={"counted": True}))
        elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
            found.append(_cancelled(event))
    return found


def _spoken(event: HistoryEvent, form: str, payload: Payloads, identity: str) -> Spoken:
    return Spoken(at=_at(event), form=form, payload=_first(payload), identity=identity)


def _cancelled(event: HistoryEvent) -> Spoken:
    """Read who cancelled and why, as our command line writes it; the words of any other program are its reason."""
    asked = event.workflow_execution_cancel_requested_event_attributes
    said = _decoded(asked.cause.encode())
    return Spoken(at=_at(event), form="cancel", payload=said, identity=asked.identity, counted=True)


def _scheduled(event: HistoryEvent) -> Passage:
    what = event.activity_task_scheduled_event_attributes
    order = _first(what.input)
    told: dict[str, Any] = order if isinstance(order, dict) else {}
    return Passage(
        activity=what.activity_type.name,
        step=str(told.get("step", "")),
        key=str(told.get("key", "")),
        at=_at(event),
        approvals=tuple(one for one in _listed(told.get("approvals")) if isinstance(one, dict)),
    )


def _listed(value: Json) -> Sequence[Json]:
    return value if isinstance(value, list) else ()


def _close(
    scheduled: dict[int, Passage], attempts: dict[int, int], number: int, event: HistoryEvent, **fields: Json
) -> None:
    if (passage := scheduled.get(number)) is not None:
        latency = round((_at(event) - passage.at).total_seconds() * 1000)
        fields |= {"attempts": attempts.get(number, 1), "latency_ms": latency}
        scheduled[number] = passage.model_copy(update=fields)


def _at(event: HistoryEvent) -> datetime:
    return event.event_time.ToDatetime(tzinfo=UTC)


def _first(payloads: Payloads) -> Json:
    """Read the first payload as JSON; what is none is shown as it is."""
    if not payloads.payloads:
        return None
    return _decoded(payloads.payloads[0].data)


def _decoded(data: bytes) -> Json:
    try:
        return json.loads(data) if data else None
    except (ValueError, RecursionError):
        return data[:200].decode("utf-8", "backslashreplace")
