"""What earlier runs of a task did, as the run that took their place has to know it: made of the ledger's rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from activities.results import evidence_of, preview_of, shorten, stored_bytes
from core.contract import Terms
from core.messages import Adopted
from core.ports import Ledger, Tool
from core.receipts import Row, RowState
from core.record import Json

_MOST = 100
_MOST_BYTES = 128 * 1024  # in history, and from there in the state, whose limit is 256 kB
_INLINE_BYTES, _ARGS, _MESSAGE = 1_000, 1_000, 300
_BUDGET, _ATTEMPTS = timedelta(seconds=30), 5  # for settling what a tool did that is not there any more
_OPEN = (RowState.IN_FLIGHT, RowState.IN_DOUBT, RowState.NEEDS_PERSON)


@dataclass(frozen=True, slots=True)
class Inheritance:
    """`next_intent`: above every number in the ledger; `adopted`: oldest first; `not_shown`: how many do not fit."""

    next_intent: int
    adopted: tuple[Adopted, ...]
    not_shown: int


async def inherit(ledger: Ledger, task_id: str, tools: Mapping[str, Tool]) -> Inheritance:
    """Say what stands of a task. `tools`: those of today.

    What is open is always told, since somebody has to settle it; of the rest the latest that fit.
    """
    rows = await ledger.rows(task_id)
    undone = {row.undoes for row in rows if row.undoes and row.state is RowState.SUCCEEDED}
    standing = [row for row in rows if row.state in _OPEN or (_counts(row) and row.key not in undone)]
    settled = [row for row in standing if row.state not in _OPEN]
    is_open = [row for row in standing if row.state in _OPEN]
    shown: dict[str, Adopted] = {}
    room = _MOST_BYTES
    for row in [*is_open, *reversed(settled)]:
        adopted = await _adopted(ledger, row, tools.get(row.tool))
        room -= len(adopted.model_dump_json())
        if row.state not in _OPEN and (room < 0 or len(shown) >= _MOST):
            break
        shown[row.key] = adopted
    return Inheritance(
        next_intent=max((row.intent for row in rows), default=0) + 1,
        adopted=tuple(shown[row.key] for row in standing if row.key in shown),
        not_shown=len(standing) - len(shown),
    )


def _counts(row: Row) -> bool:
    """Whether a settled call is a fact that a planner has to know of. An undo is told by what it undid being gone."""
    return row.written_off or (row.state is RowState.SUCCEEDED and row.undoes is None)


def _outcome(row: Row) -> Literal["succeeded", "unknown", "open"]:
    if row.state in _OPEN:
        return "open"
    return "unknown" if row.written_off else "succeeded"


async def _adopted(ledger: Ledger, row: Row, tool: Tool | None) -> Adopted:
    body = await stored_bytes(ledger, row) if row.state is RowState.SUCCEEDED else b""
    is_small = row.blob is None and len(body) <= _INLINE_BYTES
    blob = None if is_small else row.blob or await ledger.keep(row.task_id, body)
    return Adopted(
        step=row.step,
        tool=row.tool,
        key=row.key,
        intent=row.intent,
        revision=row.revision,
        terms=terms_of(row, tool),
        outcome=_outcome(row),
        args=_shown(row.args),
        result=row.result if is_small else None,
        blob=blob,
        size=row.size or len(body),
        preview="" if is_small else preview_of(body),
        verified=row.verified,
        approved_by=row.approved_by,
        message=row.message[:_MESSAGE],
        undoes=row.undoes or "",
        evidence=evidence_of(row),
    )


def terms_of(row: Row, tool: Tool | None) -> Terms:
    """Say on what terms a call goes on that was sent earlier: those of its row, and time and attempts as of today."""
    today = tool.contract if tool else None
    return Terms(
        digest=row.contract_digest,
        effect=row.effect,
        budget=today.budget if today else _BUDGET,
        attempts=today.attempts if today else _ATTEMPTS,
        has_undo=today.has_undo if today else False,
    )


def _shown(args: dict[str, Json]) -> dict[str, Json]:
    shown = shorten(args, _ARGS)
    return shown if isinstance(shown, dict) else {"…": shown}
