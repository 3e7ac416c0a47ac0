"""Results as they are kept and told: JSON bytes, inline up to 16 kB, cut where they are too large. Never raises."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from core.contract import Contract
from core.messages import Kept, ToolRefused, ToolReport, ToolSucceeded, ToolUnavailable
from core.ports import Ledger
from core.receipts import Evidence, Move, Row, RowState, Settlement
from core.record import Json

INLINE_BYTES = 16 * 1024
_DEEPEST = 64  # levels; pydantic refuses to write JSON nested beyond 255, and the answer would be lost with it
_PREVIEW = 500
_KEPT_BYTES = 200_000
_MOST_ITEMS = 50


@dataclass(frozen=True, slots=True)
class Packed:
    """A result ready to be kept: `value` is what `body` says; `size` in bytes before anything was cut."""

    value: Json
    body: bytes
    size: int

    @property
    def fits_inline(self) -> bool:
        """Whether it may stand in a row and in history; else it is kept as a blob."""
        return len(self.body) <= INLINE_BYTES

    @property
    def preview(self) -> str:
        """The beginning of the bytes as text."""
        return preview_of(self.body)


def pack(value: Json, cap: int) -> Packed:
    """Write a result as JSON. One beyond `cap` bytes is cut, and says so; one that is no JSON is described."""
    try:
        body = _dump(value)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        value = {"opaque": type(value).__name__, "problem": f"cannot be written as JSON: {type(error).__name__}"}
        body = _dump(value)
    size = len(body)
    if size > cap or not _depth_at_most(value, _DEEPEST):
        kept = body[: max(min(cap, size) - 200, 0) // 2].decode("utf-8", "ignore")  # half: quotes are escaped again
        why = f"{size} bytes" if size > cap else f"more than {_DEEPEST} levels"
        body = _dump({"cut": f"{why}; {len(kept)} characters of its JSON are kept", "beginning": kept})
    return Packed(json.loads(body), body, size)


def settle_with(packed: Packed, evidence: Evidence, *, message: str = "", verified: bool | None = None) -> Settlement:
    """Make the receipt of a success."""
    inline = packed.value if packed.fits_inline else None
    return Settlement(
        move=Move.SUCCEED, evidence=evidence, message=message, result=inline, body=packed.body, verified=verified
    )


def keep(row: Row, settlement: Settlement) -> Kept:
    """Put a receipt that cannot be written now into a form that history can hold: at most 200 kB of result."""
    body = settlement.body or b""
    return Kept(
        fence=row.fence,
        move="succeed" if settlement.move is Move.SUCCEED else "refuse",
        evidence=settlement.evidence,
        code=settlement.code,
        message=settlement.message,
        result=pack(read(body), _KEPT_BYTES).value,
        size=len(body),
    )


def settle_with_kept(kept: Kept) -> Settlement:
    """Make the receipt of an answer that was kept."""
    evidence = Evidence(kept.evidence)
    if kept.move == "refuse":
        return Settlement(move=Move.REFUSE, evidence=evidence, code=kept.code, message=kept.message)
    packed = pack(kept.result, _KEPT_BYTES)
    return settle_with(packed, evidence, verified=True if evidence is Evidence.PROBE else None)


async def stored_result(ledger: Ledger, row: Row) -> Json:
    """Return the whole result of a settled row. A blob that is gone, or cannot be read, is None."""
    if row.blob is None:
        return row.result
    return read(await ledger.fetch(row.blob))


async def stored_bytes(ledger: Ledger, row: Row) -> bytes:
    """Return the JSON of a settled row's result; b"" when a blob is gone."""
    if row.blob is None:
        return b"" if row.result is None else _dump(row.result)
    return await ledger.fetch(row.blob) or b""


def read(body: bytes | None) -> Json:
    """Read stored bytes; None when there are none or they are no JSON."""
    try:
        return None if body is None else json.loads(body)
    except (ValueError, RecursionError):
        return None


def preview_of(body: bytes) -> str:
    """Show the first 500 characters of stored bytes."""
    text = body[: 4 * _PREVIEW].decode("utf-8", "ignore")[:_PREVIEW]
    return text if len(body) <= len(text.encode()) else f"{text}…"


async def report_of(ledger: Ledger, row: Row, *, step: str, already: bool = False) -> ToolReport:
    """Tell the stored outcome of a row that is final."""
    match row.state:
        case RowState.SUCCEEDED:
            body = await ledger.fetch(row.blob) if row.blob else None
            return ToolSucceeded(
                step=step,
                result=None if row.blob else row.result,
                blob=row.blob,
                size=row.size,
                preview=preview_of(body or b"") if row.blob else "",
                already=already,
                of=row.step if already else "",
                verified=row.verified,
                approved_by=row.approved_by,
                evidence=evidence_of(row),
            )
        case RowState.FAILED:
            outcome = "unknown" if row.written_off else "failed"
            return ToolRefused.model_validate(
                {"step": step, "code": row.code or "refused", "message": row.message[:2_000], "outcome": outcome}
            )
        case RowState.CANCELLED:
            reason = row.message[:2_000] or "withdrawn before it was sent"
            return ToolUnavailable(step=step, reason=reason, attempts=row.sends)
        case _:
            raise AssertionError(f"{row.key} is {row.state}, not final")


def evidence_of(row: Row) -> str:
    """Name what a success rests on; "" for the provider's own answer, which takes no room in history."""
    return "" if row.evidence in (None, Evidence.ANSWER) else row.evidence.value


def shorten(value: Json, limit: int) -> Json:
    """Keep a value under about `limit` characters of JSON for people to read: long texts and lists lose their ends."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return f"<{type(value).__name__}>"
    if len(text) <= limit and _depth_at_most(value, _DEEPEST):
        return value
    match value:
        case dict() if limit > _PREVIEW:
            chosen = list(value)[:_MOST_ITEMS]
            kept = {name[:100]: shorten(value[name], limit // len(chosen)) for name in chosen}
            return kept if len(chosen) == len(value) else {**kept, "…": f"and {len(value) - len(chosen)} more"}
        case list() if limit > _PREVIEW:
            items = [shorten(item, limit // min(len(value), _MOST_ITEMS)) for item in value[:_MOST_ITEMS]]
            return items if len(items) == len(value) else [*items, f"… and {len(value) - len(items)} more"]
    shown = value if isinstance(value, str) else text
    return f"{shown[: max(limit, 20)]}… ({len(shown)} characters)"


def shorten_each(texts: Sequence[str], limit: int = _PREVIEW) -> tuple[str, ...]:
    """Keep the first 50 texts, each up to `limit` characters."""
    return tuple(text[:limit] for text in texts[:_MOST_ITEMS])


def cap_of(contract: Contract | None) -> int:
    """Return how many bytes of a result are kept; the default's of `Contract` when the tool is gone."""
    return contract.result_cap if contract else int(Contract.model_fields["result_cap"].default)


def _dump(value: Json) -> bytes:
    # a lone surrogate has no UTF-8, and would cost the receipt: it is replaced
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


def _depth_at_most(value: Json, depth: int) -> bool:
    if depth == 0:
        return False
    match value:
        case dict():
            return all(_depth_at_most(item, depth - 1) for item in value.values())
        case list():
            return all(_depth_at_most(item, depth - 1) for item in value)
    return True
