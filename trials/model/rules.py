"""Every decision that the door and the ledger make, by name; a mutant changes one. And what is assumed of the world."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.receipts import TRANSITIONS, Move, RowState

HOLDING = frozenset({Move.TAKE_OVER, Move.MARK, Move.RESEND})


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What no code can see to. Each can be switched off; the search then finds what rests on it.

    The first three are not assumed of transactional tools: a tombstone sees to it.

    `sends_end`: whoever has looked at the age of its mark sends before deadline + settle time, or never (a process
    stopped in the sending system call for longer breaks it). `packets_end`: no packet arrives later than that.
    `no_is_steady`: what the provider refused once under a key, and a doubt was sent again for, it does not apply later.
    `people_know`: whoever says that it did not happen is right for good. `keys_last`: the key is known for the window.
    """

    sends_end: bool = True
    packets_end: bool = True
    no_is_steady: bool = True
    people_know: bool = True
    keys_last: bool = True


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules as they are to be. Where each is kept: moves in ledger/rows.py, the others as grouped."""

    table: Mapping[tuple[RowState, Move], RowState] = field(default_factory=lambda: dict(TRANSITIONS))
    # ledger/rows.py: what a move asks for and changes besides the state
    fenced: frozenset[Move] = frozenset(Move)
    bumping: frozenset[Move] = frozenset({Move.TAKE_OVER, Move.RESEND})
    certain_only: frozenset[Move] = frozenset({Move.RELEASE, Move.CANCEL})
    after_lease: frozenset[Move] = frozenset({Move.TAKE_OVER, Move.RESEND})
    doubting: frozenset[Move] = frozenset({Move.DOUBT, Move.RESEND})
    # ledger/claims.py, ledger/marks.py, and what binds a task to its run
    compares_fingerprint: bool = True
    takes_over_reserved_only: bool = True
    guard_sees_open: bool = True
    guard_sees_written_off: bool = True
    fences_runs: bool = True
    epoch_cancels_reserved: bool = True
    epoch_leaves_sent: bool = True
    key_is_without_run: bool = True
    consumes_with_mark: bool = True
    checks_consumer: bool = True
    kept_is_fenced: bool = True
    # activities/door.py, admission.py, approvals.py
    compares_digest: bool = True
    only_did_not_happen_sends: bool = True
    # activities/sending.py
    checks_age_of_mark: bool = True
    sends_args_of_row: bool = True
    unknown_is_doubt: bool = True
    disbelieves_conflict: bool = True
    disbelieves_silence: bool = True
    keeps_what_was_answered: bool = True
    receipt_commits_with_effect: bool = True
    # ledger/transactions.py, and who calls it in activities/sending.py and activities/doubts.py
    tombstone_is_left: bool = True
    tombstone_waits: bool = True
    tombstone_spares_receipts: bool = True
    tombstone_only_grows: bool = True
    tombstone_outlives_its_send: bool = True
    no_after_doubt_rules_out: bool = True
    # activities/doubts.py
    resends_harmless_only: bool = True
    absent_waits: bool = True
    absent_is_dated_before_asking: bool = True
    window_is_checked: bool = True
    window_is_checked_at_mark: bool = True
    rulings_bind_to_send: bool = True
    rulings_name_their_send: bool = True
    tells_people: bool = True
    world: Assumptions = Assumptions()
