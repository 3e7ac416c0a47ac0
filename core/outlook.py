"""What becomes of a call in doubt by itself, and until when: the door keeps to these times, and `show` tells them."""

from datetime import datetime, timedelta

from core.contract import Contract, Effect
from core.receipts import Row, RowState

SETTLING_LASTS = timedelta(hours=1)
"""How long, from its first send, an idempotent or keyed call is sent again once its attempts are used up."""
_SENT_AGAIN = (Effect.IDEMPOTENT, Effect.KEYED)


def sent_at(row: Row) -> datetime:
    """Return when the call was sent for the first time."""
    return row.first_marked_at or row.opened_at


def key_known_until(row: Row, contract: Contract) -> datetime | None:
    """Return how long the provider surely knows the key: half the window, so that no packet on its way can outlive it.

    None: it makes no difference.
    """
    is_keyed = row.effect is Effect.KEYED and contract.key_window is not None
    return sent_at(row) + contract.key_window / 2 if is_keyed and contract.key_window else None


def is_in_doubt(row: Row, now: datetime) -> bool:
    """Whether the call was sent without an answer, and nobody is asked for it yet."""
    is_lost = row.state is RowState.IN_FLIGHT and (row.doubtful or row.lease_until <= now)
    return is_lost or row.state is RowState.IN_DOUBT


def is_sent_again(row: Row, contract: Contract, now: datetime) -> bool:
    """Whether an idempotent or keyed call in doubt is sent again now, as that is how its outcome becomes known."""
    known = key_known_until(row, contract)
    is_in_time = row.sends < contract.attempts or now < sent_at(row) + SETTLING_LASTS
    return row.effect in _SENT_AGAIN and is_in_time and (known is None or now < known)


def outlook(row: Row, contract: Contract | None, now: datetime) -> str:
    """Say in words what happens next to a call in doubt. `contract`: as it is now, None = not to be had here."""
    if contract is None or contract.effect is not row.effect:
        return _by_kind(row)
    then = "the provider is asked what became of it" if contract.has_probe else "a person is asked"
    if is_sent_again(row, contract, now):
        lasts, known = sent_at(row) + SETTLING_LASTS, key_known_until(row, contract)
        until = lasts if known is None else min(lasts, known)
        end = f" until {until:%H:%M:%S} UTC" if now < until else ""
        return f"it is sent again{end}; if no answer comes, {then} after that"
    if row.effect is Effect.TRANSACTIONAL:
        return _by_kind(row)
    if contract.has_probe and row.effect is not Effect.UNREPEATABLE:
        believed = (row.send_deadline or row.lease_until) + contract.settle_time
        return f'the provider is asked what became of it; "not there" is believed from {believed:%H:%M:%S} UTC on'
    return f"{then} next"


def _by_kind(row: Row) -> str:
    match row.effect:
        case Effect.IDEMPOTENT | Effect.KEYED:
            return "it is sent again for a while; if no answer comes, a person is asked"
        case Effect.TRANSACTIONAL:
            return "its receipt is looked for in the tool's own database"
        case Effect.PROBED:
            return "the provider is asked what became of it"
    return "a person is asked next"
