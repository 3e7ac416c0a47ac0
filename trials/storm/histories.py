"""Reads Temporal's own record of the tasks: how each ended, what its result claims, and which answers it heard."""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from trials.storm.evidence import Claim, End, Heard

_AT_ONCE = 8
_TRIES = 60
_WAITING_FOR = "LastmileWaitingFor"
_IMPLIED = {"approve": "approve", "reject": "reject"}


async def read_ends(client: Client, task_ids: Iterable[str]) -> dict[str, End]:
    """Read every task; one that the server does not know is left out."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def read(task_id: str) -> End | None:
        async with gate:
            return await _patiently(client, task_id)

    found = await asyncio.gather(*(read(task_id) for task_id in task_ids))
    return {end.task_id: end for end in found if end is not None}


async def _patiently(client: Client, task_id: str) -> End | None:
    for _ in range(_TRIES):
        try:
            return await read_end(client, task_id)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            await asyncio.sleep(0.5)
    raise TimeoutError(f"the server did not answer about {task_id} in {_TRIES} tries")


async def read_end(client: Client, task_id: str) -> End:
    """Read one task, of its latest run. Raises RPCError."""
    found = await client.get_workflow_handle(task_id).describe()
    run = client.get_workflow_handle(task_id, run_id=found.run_id)
    events = [event async for event in run.fetch_history_events()]
    status, reason, result = await _closed(found, events[-1])
    return End(
        task_id=task_id,
        status=status,
        reason=reason,
        waiting_for=_waiting_for(found),
        claims=tuple(_claim(one) for one in result.get("effects", ())),
        heard=tuple(heard for event in events for heard in _heard(event)),
        wedged=_wedged(events),
        runs=1 if found.raw_description.workflow_execution_info.first_run_id == found.run_id else 2,
    )


def _wedged(events: Sequence[HistoryEvent]) -> str:
    """Say why the last workflow task that was worked on failed; "" when it did not."""
    for event in reversed(events):
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                return ""
            case EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
                return event.workflow_task_failed_event_attributes.failure.message or "its workflow task failed"
    return ""


def _claim(effect: Mapping[str, Any]) -> Claim:
    return Claim(effect["key"], effect["outcome"], effect["tool"], bool(effect.get("already")))


async def _closed(found: WorkflowExecutionDescription, last: HistoryEvent) -> tuple[str, str, Mapping[str, Any]]:
    """Return the task's own word for its end, the reason, and its result ({} when it left none)."""
    match found.status:
        case WorkflowExecutionStatus.RUNNING:
            return "RUNNING", "", {}
        case WorkflowExecutionStatus.COMPLETED:
            result = _first(last.workflow_execution_completed_event_attributes.result)
            return result.get("status", "COMPLETED"), "", result
        case WorkflowExecutionStatus.FAILED:
            failure = last.workflow_execution_failed_event_attributes.failure
            info = failure.application_failure_info
            return info.type or "FAILED", failure.message, _first(info.details)
        case WorkflowExecutionStatus.CANCELED:
            return "CANCELLED", "", (await found.memo()).get("result", {})
    return found.status.name if found.status else "UNKNOWN", "", {}


def _waiting_for(found: WorkflowExecutionDescription) -> tuple[str, ...]:
    attribute = found.raw_description.workflow_execution_info.search_attributes.indexed_fields.get(_WAITING_FOR)
    return tuple(json.loads(attribute.data)) if attribute is not None else ()


def _heard(event: HistoryEvent) -> Iterable[Heard]:
    match event.event_type:
        case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
            signal = event.workflow_execution_signaled_event_attributes
            yield from _answer(signal.signal_name, _first(signal.input))
        case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
            asked = event.workflow_execution_update_accepted_event_attributes.accepted_request.input
            yield from _answer(asked.name, _first(asked.args))


def _answer(form: str, said: Mapping[str, Any]) -> Iterable[Heard]:
    if form not in ("approve", "reject", "answer", "decide"):
        return
    choice = said.get("choice") or ("edit" if said.get("args") and form == "approve" else _IMPLIED.get(form, ""))
    texts = [str(said.get(name) or "") for name in ("by", "request_id", "digest")]
    yield Heard(by=texts[0], request=texts[1], choice=str(choice), digest=texts[2])


def _first(payloads: Payloads) -> Mapping[str, Any]:
    """Read the first payload as a JSON object; a bare string is a name; what cannot be read is nothing."""
    try:
        value = json.loads(payloads.payloads[0].data) if payloads.payloads else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {"by": value}
