"""The dispatch mark, with what commits together with it: consumed approvals and reserved sums."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert  # ON CONFLICT DO NOTHING reads the same in SQLite

from core.errors import ApprovalUsed, TotalExceeded
from core.receipts import Approval, Row, RowState, Total
from ledger.locks import lock
from ledger.rows import state_is
from ledger.sending import mark_row
from ledger.tables import approvals as approvals_table
from ledger.tables import effects
from ledger.tables import totals as totals_table

_CONSUME = insert(approvals_table).on_conflict_do_nothing()
_CONSUMER = select(approvals_table.c.key).where(approvals_table.c.request_id == bindparam("request"))
_RESERVE = insert(totals_table).on_conflict_do_nothing()
_UNRESERVE = delete(totals_table).where(totals_table.c.key == bindparam("the_key"))
_counts = or_(~state_is(RowState.FAILED, RowState.CANCELLED), effects.c.written_off.is_(True))
_SPENT = (
    select(func.coalesce(func.sum(totals_table.c.amount), 0))
    .join(effects, effects.c.key == totals_table.c.key)
    .where(totals_table.c.bucket == bindparam("the_bucket"), totals_table.c.key != bindparam("the_key"), _counts)
)


def mark(
    db: Connection,
    key: str,
    fence: int,
    now: datetime,
    *,
    approvals: Sequence[Approval],
    totals: Sequence[Total],
    **values: Any,
) -> Row | None:
    """Mark a reserved row as sent. Raises Stopped, ApprovalUsed and TotalExceeded; then the transaction rolls back."""
    if approvals:
        values["approved_by"] = [answer.by for answer in approvals]
    row = mark_row(db, key, fence, now, **values)
    if row is not None:
        _consume(db, key, now, approvals)
        _reserve(db, row, totals)
    return row


def spent(db: Connection, bucket: str, besides: str) -> int:
    """Sum what live calls reserved of a bucket; a written-off call counts, since it may have happened."""
    return int(db.execute(_SPENT, {"the_bucket": bucket, "the_key": besides}).scalar_one())


def check_consumer(request_id: str, consumer: str, key: str) -> None:
    """Raise ApprovalUsed unless the approval was consumed by this very call."""
    if consumer != key:
        raise ApprovalUsed(f"approval {request_id} was used by call {consumer} before; ask again for call {key}")


def check_total(total: Total, already: int) -> None:
    """Raise TotalExceeded when the amount does not fit on top of what is spent."""
    if already + total.amount > total.maximum:
        raise TotalExceeded(
            f"{total.bucket}: {total.amount} on top of {already} already spent passes the limit of {total.maximum}"
        )


def _consume(db: Connection, key: str, now: datetime, approvals: Sequence[Approval]) -> None:
    for request_id, answers in sorted(_by_request(approvals).items()):
        db.execute(_CONSUME, {"request_id": request_id, "key": key, "answers": answers, "consumed_at": now})
        consumer = db.execute(_CONSUMER, {"request": request_id}).scalar_one()
        check_consumer(request_id, consumer, key)


def _by_request(approvals: Iterable[Approval]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for answer in approvals:
        found.setdefault(answer.request_id, []).append(answer.model_dump(mode="json"))
    return found


def _reserve(db: Connection, row: Row, totals: Sequence[Total]) -> None:
    if row.sends > 1:  # an earlier mark may have reserved elsewhere, such as in yesterday's sum
        db.execute(_UNRESERVE, {"the_key": row.key})
    for total in sorted(totals, key=lambda each: each.bucket):
        lock(db, "total", total.bucket)
        already = spent(db, total.bucket, row.key)
        check_total(total, already)
        db.execute(_RESERVE, {"bucket": total.bucket, "key": row.key, "amount": total.amount})
