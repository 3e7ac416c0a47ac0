"""Moves of a row, by the product's own table; a test compares them with those of the real ledger."""

from core.receipts import Move, RowState
from trials.model.rules import HOLDING, Rules
from trials.model.state import Call, Clock


def move(rules: Rules, call: Call, made: Move, *, is_behind: bool = False) -> Call | None:
    """Make one move; None when the compare fails."""
    after = rules.table.get((call.state, made)) if call.state else None
    if after is None or (is_behind and made in rules.fenced) or not _is_allowed(rules, call, made):
        return None
    call = call._replace(state=after, doubtful=_doubtful(rules, call, made))
    if made in HOLDING:
        call = call._replace(clock=Clock.FRESH)
    elif after is RowState.RESERVED:
        call = call._replace(clock=Clock.LEASE_OVER)
    if made is Move.MARK or made is Move.RESEND:
        call = _count_send(call)
    if made in rules.bumping and call.kept is not None:
        call = call._replace(kept=call.kept._replace(is_behind=True))
    return call


def _is_allowed(rules: Rules, call: Call, made: Move) -> bool:
    if made in rules.certain_only and call.doubtful:
        return False
    if made in rules.after_lease and call.clock < Clock.LEASE_OVER:
        return made is Move.RESEND and call.state is RowState.IN_DOUBT
    return True


def _doubtful(rules: Rules, call: Call, made: Move) -> bool:
    return (call.doubtful or made in rules.doubting) and made is not Move.ABSENT


def _count_send(call: Call) -> Call:
    ruling = call.ruling
    if ruling is not None and ruling.of:
        ruling = ruling._replace(of="before")
    asked_of = call.asked_of and "before"
    return call._replace(sends=call.sends + 1, ruling=ruling, asked_of=asked_of)


def release(rules: Rules, call: Call, *, is_behind: bool) -> Call | None:
    """Give a mark back, or doubt, or give an unused lease back: as ledger/rows.py does."""
    if (released := move(rules, call, Move.RELEASE, is_behind=is_behind)) is not None:
        return released
    if (doubted := move(rules, call, Move.DOUBT, is_behind=is_behind)) is not None:
        return doubted
    if call.state is RowState.RESERVED and not (is_behind and Move.RELEASE in rules.fenced):
        return call._replace(clock=Clock.LEASE_OVER)
    return None
