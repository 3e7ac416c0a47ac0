"""The audit of a task: the ledger's rows and lines joined with Temporal's history. Pure; what is missing is said."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from cli.passages import Passage, Spoken
from cli.runs import Run
from core.receipts import Line, Row, TaskRow
from core.record import Json, Record

OBSERVED = "tool.observed"
_RULED = "outcome.ruled"
_TOOL_CHANGED = "forbidden_tool_changed"
"""A refusal by ourselves: the server says something else about its tool than was accepted, so it is not called."""
_OF_ROW = {
    *("step", "tool", "key", "run_id", "args", "origin"),
    *("blob", "size", "verified", "code", "message", "sends"),
}
_PLANNING = ("plan.proposed", "plan.refused", "planner.found_unavailable")


_OF_CALL = ("input_tokens", "output_tokens", "cached_tokens", "cost_usd", "purpose", "because")


class Approved(Record):
    """One approval that a call was made with. `at` None: the history does not say."""

    by: str
    trust: str
    comment: str = ""
    request: str = ""
    at: datetime | None = None


class PlanAudit(Record):
    """One planning call and what came of it. `because`: why not the first model of the route was asked."""

    at: datetime
    call: int
    model: str
    came: str
    attempts: int
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float = 0.0
    purpose: str = ""
    because: str = ""
    latency_ms: int | None = None
    told: Json = None


class StepAudit(Record):
    """One call. `state`: of its row in the ledger, `observed` for a read, else what Temporal's history knows.

    ``sends``: how often it was sent (writes only); a dispatch of which it is known that nothing left is none.
    ``attempts`` and ``latency_ms``: of all visits to the door together.
    ``answer``: as it came; None with `blob` set when the stored bytes are gone. ``lines``: what else was written down.
    """

    step: str
    tool: str
    at: datetime
    effect: str = "read"
    state: str = "observed"
    key: str = ""
    run_id: str = ""
    args: dict[str, Json] = {}
    origin: dict[str, str] = {}
    answer: Json = None
    blob: str | None = None
    size: int = 0
    evidence: str = ""
    verified: bool | None = None
    code: str = ""
    message: str = ""
    sends: int = 0
    attempts: int = 0
    latency_ms: int | None = None
    settled_at: datetime | None = None
    approvals: tuple[Approved, ...] = ()
    lines: tuple[Line, ...] = ()


class Audit(Record):
    """Everything that is written down about a task. `missing`: sources that could not be read, and why.

    ``runs``: where the task's id had several.
    """

    task_id: str
    agent: str = ""
    goal: str = ""
    inputs: dict[str, Json] = {}
    requested_by: str = ""
    status: str = ""
    answer: str = ""
    runs: tuple[Run, ...] = ()
    plans: tuple[PlanAudit, ...] = ()
    steps: tuple[StepAudit, ...] = ()
    people: tuple[Spoken, ...] = ()
    lines: tuple[Line, ...] = ()
    missing: tuple[str, ...] = ()


class Sources(Record):
    """What an audit is made of. `bodies`: stored results by digest, decoded."""

    task: TaskRow | None = None
    rows: tuple[Row, ...] = ()
    lines: tuple[Line, ...] = ()
    bodies: dict[str, Json] = {}
    runs: tuple[Run, ...] = ()
    passages: tuple[Passage, ...] = ()
    spoken: tuple[Spoken, ...] = ()


def join(task_id: str, found: Sources) -> Audit:
    """Make the audit of what was found. A task that ran again repeats its steps' names; their keys tell them apart."""
    found = found.model_copy(update={"lines": tuple(_told_once(found.lines))})
    steps = {row.key: _of_row(row, found) for row in found.rows}
    steps |= {line.key or line.step: _of_line(line, found) for line in found.lines if line.event == OBSERVED}
    known = list(steps.values())
    unknown = [one for one in found.passages if one.is_call and one.step and not any(map(_about(one), known))]
    steps |= {one.key or one.step: _of_passage(one) for one in unknown}
    named = [_with_history(one, found) for one in steps.values()]
    task = found.task
    wish = {} if task is None else task.model_dump(include={"agent", "goal", "inputs", "requested_by"})
    return Audit(
        task_id=task_id,
        **wish,
        runs=found.runs,
        plans=tuple(_plan(line) for line in found.lines if line.event in _PLANNING),
        steps=tuple(sorted(named, key=lambda one: one.at)),
        people=_judged(found),
        lines=tuple(one for one in found.lines if one.event not in _PLANNING and not any(map(_about(one), named))),
    )


def _told_once(lines: Iterable[Line]) -> Iterator[Line]:
    """Leave out a person's word that was written down again where it freed the next send: it was said once."""
    told: set[str] = set()
    for line in lines:
        word = line.model_dump_json(include={"key", "step", "fields"})
        if line.event != _RULED or word not in told:
            told.add(word)
            yield line


def _about(one: Passage | Line) -> Callable[[StepAudit], bool]:
    """Tell which call something is about: the one of its key; without a key, the one of its step."""
    return lambda call: one.key == call.key if one.key and call.key else bool(one.step) and one.step == call.step


def _plan(line: Line) -> PlanAudit:
    fields = line.fields
    told = fields.get("steps") or fields.get("faults") or fields.get("reason")
    known = {name: fields[name] for name in _OF_CALL if name in fields}
    return PlanAudit(
        at=line.at,
        call=int(fields.get("call", 0)),
        model=str(fields.get("model", "")),
        came=line.event,
        attempts=line.attempt,
        latency_ms=fields.get("latency_ms"),
        told=told,
        **known,
    )


def _of_row(row: Row, found: Sources) -> StepAudit:
    answer = found.bodies.get(row.blob) if row.blob is not None else row.result
    return StepAudit(
        **row.model_dump(include=_OF_ROW),
        at=row.opened_at,
        effect=row.effect.value,
        state="WRITTEN_OFF" if row.written_off else row.state.value,
        answer=answer,
        evidence=row.evidence.value if row.evidence else "",
        settled_at=row.settled_at,
        approvals=tuple(Approved(by=by, trust="open") for by in row.approved_by),
    )


def _of_line(line: Line, found: Sources) -> StepAudit:
    fields = line.fields
    blob = fields.get("blob")
    return StepAudit(
        step=line.step,
        tool=line.tool,
        at=line.at,
        key=line.key,
        args=fields.get("args") or {},
        answer=found.bodies.get(blob) if blob else fields.get("result"),
        blob=blob,
        size=int(fields.get("size", 0)),
        attempts=line.attempt,
        latency_ms=fields.get("latency_ms"),
    )


def _of_passage(passage: Passage) -> StepAudit:
    """A call that left nothing in the ledger: it never got as far, or what it brought was refused."""
    report: Mapping[str, Json] = passage.answer if isinstance(passage.answer, dict) else {}
    return StepAudit(
        step=passage.step,
        key=passage.key,
        tool=passage.activity,
        at=passage.at,
        effect="",
        state=str(report.get("kind", "under way")),
        code=str(report.get("code", "")),
        message=_message(report) or passage.failure,
    )


def _message(report: Mapping[str, Json]) -> str:
    if report.get("already"):
        return f"nothing sent: {report.get('of') or 'an earlier call'} had done this"
    return str(report.get("message") or report.get("reason") or "")


def _with_history(one: StepAudit, found: Sources) -> StepAudit:
    visits = [passage for passage in found.passages if _about(passage)(one)]
    lines = tuple(line for line in found.lines if _about(line)(one) and line.event != OBSERVED)
    known: dict[str, Json] = {"lines": lines, "sends": one.sends - len(_unsent(lines))}
    if visits:
        known["attempts"] = sum(visit.attempts for visit in visits)
        known["latency_ms"] = sum(visit.latency_ms or 0 for visit in visits)
    if approvals := _approvals(visits, found.spoken):
        known["approvals"] = approvals
    return one.model_copy(update=known)


def _unsent(lines: Iterable[Line]) -> set[Json]:
    """Number the dispatches of which the tool said that nothing left."""
    failed = [line.fields for line in lines if line.event == "send.failed"]
    return {one.get("send") for one in failed if one.get("certainty") == "not_sent" or one.get("code") == _TOOL_CHANGED}


def _approvals(visits: Sequence[Passage], said: Sequence[Spoken]) -> tuple[Approved, ...]:
    """Name the approvals that the last visit was made with, and when each was given."""
    given = visits[-1].approvals if visits else ()
    return tuple(_approved(one, said) for one in given)


def _approved(given: Mapping[str, Json], said: Iterable[Spoken]) -> Approved:
    by = str(given.get("by", ""))
    request = _request(given)
    times = [one.at for one in said if _is_it(one, by, request)]
    return Approved(
        by=by,
        trust=str(given.get("trust", "open")),
        comment=str(given.get("comment", "")),
        request=request,
        at=times[-1] if times else None,
    )


def _judged(found: Sources) -> tuple[Spoken, ...]:
    """Mark the signals that a call's approval can only have come from."""
    first: dict[tuple[str, str], tuple[datetime, Mapping[str, Json]]] = {}
    for passage in found.passages:
        for given in passage.approvals:
            first.setdefault((str(given.get("request_id", "")), str(given.get("by", ""))), (passage.at, given))
    counted: set[int] = set()
    for at, approval in first.values():
        by, request = str(approval.get("by", "")), _request(approval)
        fitting = [place for place, one in enumerate(found.spoken) if one.at <= at and _is_it(one, by, request)]
        counted |= set(fitting) if len(fitting) == 1 else set()
    return tuple(
        one.model_copy(update={"counted": one.counted or place in counted}) for place, one in enumerate(found.spoken)
    )


def _request(given: Mapping[str, Json]) -> str:
    return next((part for part in reversed(str(given.get("request_id", "")).split(":")[:-2]) if part), "")


def _is_it(one: Spoken, by: str, request: str) -> bool:
    if one.form not in ("approve", "decide", "answer"):
        return False
    if not isinstance(one.payload, dict):
        return (one.payload or "") == by
    if one.payload.get("choice") not in (None, "approve", "edit"):
        return False
    return (one.payload.get("by") or "") == by and one.payload.get("request_id") in (None, request)
