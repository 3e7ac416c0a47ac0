"""What came back from a provider with status 200, in one shape for all of them, and what the planner makes of it."""

import time

from core.ports import Reply
from core.record import Record
from core.spending import Usage
from llm.sorting import Endpoint, Trouble, quote, sort_status
from llm.wire import Fault, decode


class Answer(Record):
    """One answer. ``outcome``: the model's whole text; or why there is none that counts; or trouble at the provider.

    ``id``: what the provider finds it by: the request id of its headers, or the name of the answer.
    """

    outcome: str | Fault | Trouble
    usage: Usage = Usage()
    id: str = ""


def reply_to(answer: Answer, endpoint: Endpoint, *, started: float) -> Reply:
    """Make the reply of an answer: the decoded plan, or the fault. ``started``: on the monotonic clock.

    Raises PlannerBusy or PlannerDown when the answer only says that the provider had trouble.
    """
    match answer.outcome:
        case str() as text:
            plan = decode(text)
        case Fault() as fault:
            plan = fault
        case Trouble() as trouble:
            raise sort_status(endpoint, trouble, {})
    return Reply(
        document=None if isinstance(plan, Fault) else plan,
        fault=plan.words if isinstance(plan, Fault) else None,
        usage=answer.usage,
        latency_ms=round((time.monotonic() - started) * 1000),
        request_id=answer.id,
    )


def cut_off(max_output_tokens: int) -> Fault:
    """Say that the answer did not fit."""
    return Fault(words=f"the answer was cut off at {max_output_tokens} tokens; answer with a shorter plan")


def refused(text: str) -> Fault:
    """Say that the model, or a filter at the provider, would not answer."""
    return Fault(words=f"the model refused to answer: {quote(text)}" if text.strip() else "the model refused to answer")


def other_kind(kind: str) -> Fault:
    """Say that something else than text came, such as a tool call."""
    return Fault(words=f"the answer was a {quote(kind)} instead of a plan; answer with one JSON object as text")
