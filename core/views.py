"""What is seen of a task from outside: status, requests, result. Shapes are a contract; sizes are capped."""

import json
from datetime import datetime

from core.carrying import fold_old
from core.change import all_steps
from core.contract import Effect
from core.leftovers import OpenView, left_over
from core.record import Json, Record
from core.shortening import LEAST_BYTES, shortened
from core.task import Phase, Request, RequestKind, Stage, Status, Step, TaskState
from core.visible import visible, visible_values

__all__ = [
    "MAX_BYTES",
    "EffectView",
    "OpenView",
    "RequestView",
    "StatusView",
    "TaskResult",
    "UsageView",
    "request_views",
    "result_view",
    "state_view",
    "status_of",
    "status_view",
    "waited_for",
    "waiting_for",
]

MAX_BYTES = 256 * 1024
_EFFECT_BYTES = 4 * 1024
_REQUEST_BYTES = 16 * 1024
_LINE_BYTES = 2 * 1024
_ANSWER_BYTES = 64 * 1024


class UsageView(Record):
    """What planning cost."""

    planning_calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    cached_tokens: int = 0


class EffectView(Record):
    """One effect on the world, as the caller of a task sees it. `outcome`: succeeded, failed or unknown.

    ``undoes``: key of the effect that this one took back. ``evidence``: what a success rests on: transaction, probe,
    person; "" = the provider's own answer.
    """

    step: str
    tool: str
    key: str
    outcome: str
    result: Json = None
    verified: bool | None = None
    approved_by: tuple[str, ...] = ()
    already: bool = False
    code: str = ""
    message: str = ""
    undoes: str = ""
    evidence: str = ""


class TaskResult(Record):
    """How a task ended. `not_shown`: effects left out to keep the size; `audit` finds them."""

    task_id: str
    status: Status
    answer: str = ""
    reason: str = ""
    effects: tuple[EffectView, ...] = ()
    not_shown: int = 0
    open: tuple[OpenView, ...] = ()
    usage: UsageView
    rounds: int


class StatusView(Record):
    """Answer of the query `status`."""

    task_id: str
    agent: str
    status: Status
    since: datetime
    waiting_for: tuple[str, ...]
    waiting_reason: str
    open_requests: tuple[str, ...]
    steps_done: int
    steps_open: int
    cost_usd: float
    goal: str
    round: int
    last_not_accepted: str
    asked: str = ""


class RequestView(Record):
    """One entry of the answer of the query `requests`. `resumes_at`: the task goes on by itself then."""

    id: str
    kind: RequestKind
    step: str
    tool: str
    args: dict[str, Json]
    origin: dict[str, str]
    digest: str
    facts: dict[str, Json]
    rule: str
    reason: str
    why: str
    hint: str
    note: str
    owner: str
    approvers: tuple[str, ...]
    may_answer: tuple[str, ...]
    may_reject: tuple[str, ...] = ()
    quorum: int
    given: tuple[str, ...]
    choices: tuple[str, ...]
    opened_at: datetime
    remind_at: datetime | None
    escalate_at: datetime | None
    expires_at: datetime | None
    resumes_at: datetime | None = None


def status_of(state: TaskState) -> Status:
    """Name where the task stands."""
    if state.final is not None:
        return Status(state.final.value)
    if state.stage is Stage.OPENING and state.ending is None:
        return Status.INITIALIZING
    if state.is_held_back:
        return Status.PAUSED
    if state.requests:
        kinds = {request.kind for request in state.requests.values()}
        return Status.AWAITING_APPROVAL if RequestKind.APPROVAL in kinds else Status.AWAITING_PERSON
    if state.undoing is not None:
        return Status.COMPENSATING
    if state.ending is not None:
        return Status.RECOVERING
    return _stage_status(state)


def _stage_status(state: TaskState) -> Status:
    match state.stage:
        case Stage.PLANNING:
            return Status.PLANNING
        case Stage.PARKED:
            return Status.WAITING
        case Stage.CONCLUDING:
            return Status.VALIDATING
    failed = (Phase.REFUSED, Phase.UNAVAILABLE)
    return Status.RECOVERING if any(step.phase in failed for step in state.steps.values()) else Status.ACTING


def waited_for(request: Request) -> tuple[str, ...]:
    """Name the roles and people that a request waits for."""
    named = (*request.approvers, *request.may_answer, *request.may_reject, *request.escalated_to) or (request.owner,)
    return tuple(dict.fromkeys(named))


def waiting_for(state: TaskState) -> tuple[str, ...]:
    """Name everybody that the task waits for."""
    if state.final is not None:
        return ()
    who = [name for request in state.requests.values() for name in waited_for(request)]
    if state.paused and not who:
        who = [state.paused_by or (state.profile.owner if state.profile else "")]
    if state.stage is Stage.PARKED:
        who.append(state.profile.owner if state.profile else "")
    return tuple(dict.fromkeys(name for name in who if name))


def _waiting_reason(state: TaskState) -> str:
    if state.final is None and state.stage is Stage.PARKED and state.retry_at is not None:
        return f"no language model answers ({state.planning.reason}); next try at {state.retry_at:%H:%M:%S} UTC"
    return "; ".join(
        f"{one.kind.value} {one.id}: {one.reason or one.hint or one.tool}" for one in state.requests.values()
    )


def status_view(state: TaskState) -> StatusView:
    """Answer the query `status`."""
    steps = all_steps(state)
    return StatusView(
        task_id=state.task_id,
        agent=state.spec.agent,
        status=status_of(state),
        since=state.since,
        waiting_for=waiting_for(state),
        waiting_reason=_waiting_reason(state)[:2000],
        open_requests=tuple(state.requests),
        steps_done=state.folded.steps + sum(step.phase is Phase.SUCCEEDED for step in steps),
        steps_open=sum(step.phase.is_open for step in steps),
        cost_usd=state.spent.cost_usd,
        goal=state.spec.goal[:2000],
        round=state.round,
        last_not_accepted=state.unaccepted[-1] if state.unaccepted else "",
        asked=state.planning.asked,
    )


def request_views(state: TaskState) -> list[RequestView]:
    """Answer the query `requests`; large arguments are shown in part, and said to be. Nothing in them can hide."""
    share = MAX_BYTES // 20 // max(len(state.requests), 1)  # 8 fields, and escapes may double them
    room = max(min(share, _REQUEST_BYTES), LEAST_BYTES)
    return [_request(request, room) for request in state.requests.values()]


def _request(request: Request, room: int) -> RequestView:
    fields = {name: getattr(request, name) for name in RequestView.model_fields}
    for name in ("args", "facts"):
        fields[name] = shortened(visible_values(fields[name]), room)
    fields["origin"] = shortened({visible(at): str(source) for at, source in request.origin.items()}, room)
    for name in ("reason", "why", "hint", "note", "rule"):
        fields[name] = _cut(visible(fields[name]), min(room, _LINE_BYTES))
    return RequestView(**{**fields, "given": tuple(one.by for one in request.given)})


def state_view(state: TaskState) -> dict[str, Json]:
    """Return everything that the runtime knows of a task; beyond 256 kB, what is large is cut."""
    shown: dict[str, Json] = shortened(fold_old(state).model_dump(mode="json"), MAX_BYTES)
    return shown


def result_view(state: TaskState) -> TaskResult:
    """Say how the task ended, in at most 256 kB."""
    effects = [_effect(step) for step in all_steps(state) if _is_effect(step)]
    kept: list[EffectView] = []
    room = MAX_BYTES // 2
    for effect in reversed(effects):
        room -= len(effect.model_dump_json().encode())
        if room < 0:
            break
        kept.insert(0, effect)
    return TaskResult(
        task_id=state.task_id,
        status=status_of(state),
        answer=_cut(state.answer, _ANSWER_BYTES),
        reason=state.ending.reason[:2000] if state.ending else "",
        effects=tuple(kept),
        not_shown=state.folded.effects + len(effects) - len(kept),
        open=tuple(left_over(state)),
        usage=UsageView(
            planning_calls=state.spent.planning_calls,
            input_tokens=state.spent.input_tokens,
            output_tokens=state.spent.output_tokens,
            cost_usd=state.spent.cost_usd,
            cached_tokens=state.spent.cached_tokens,
        ),
        rounds=state.round,
    )


def _cut(text: str, limit: int) -> str:
    """Keep the first `limit` bytes of a text, and say so."""
    body = text.encode("utf-8", "replace")
    return text if len(body) <= limit else f"{body[:limit].decode('utf-8', 'ignore')}... ({len(text)} characters)"


def _is_effect(step: Step) -> bool:
    return step.terms.effect is not Effect.READ and step.outcome != ""


def _effect(step: Step) -> EffectView:
    result = step.result if step.blob is None else {"blob": step.blob, "bytes": step.size, "beginning": step.preview}
    if len(json.dumps(result)) > _EFFECT_BYTES:
        result = {"cut": json.dumps(result)[:_EFFECT_BYTES]}
    return EffectView(
        step=step.id,
        tool=step.tool,
        key=step.key,
        outcome=step.outcome,
        result=result,
        verified=step.verified,
        approved_by=step.approved_by,
        already=step.already,
        code=step.code,
        message=step.message[:1000],
        undoes=step.undoes,
        evidence=step.evidence,
    )
