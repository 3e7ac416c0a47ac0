"""Small changes of the rules, each of which breaks a promise; those "as found" are how the product did it once."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from core.receipts import Move, RowState
from trials.model.rules import Rules

Change = Callable[[Rules], Rules]
_IN_FLIGHT, _IN_DOUBT, _RESERVED = RowState.IN_FLIGHT, RowState.IN_DOUBT, RowState.RESERVED


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change; `scene` names the small scene in which it shows. `as_found`: what was once built."""

    name: str
    says: str
    scene: str
    change: Change
    as_found: bool = False


def _off(flag: str) -> Change:
    off: dict[str, Any] = {flag: False}
    return lambda rules: replace(rules, **off)


def _without(group: str, *moves: Move) -> Change:
    def change(rules: Rules) -> Rules:
        fewer: dict[str, Any] = {group: getattr(rules, group) - set(moves)}
        return replace(rules, **fewer)

    return change


def _table(moves: dict[tuple[RowState, Move], RowState | None]) -> Change:
    def change(rules: Rules) -> Rules:
        table = {**rules.table, **moves}
        return replace(rules, table={at: after for at, after in table.items() if after is not None})

    return change


MUTANTS = (
    # the table of moves
    Mutant(
        "receipt-reopens",
        "a success that is written frees the row again",
        "probed",
        _table({(_IN_FLIGHT, Move.SUCCEED): _RESERVED}),
    ),
    Mutant(
        "refusal-succeeds",
        "a definite no is written as a success",
        "unrepeatable",
        _table({(_IN_FLIGHT, Move.REFUSE): RowState.SUCCEEDED}),
    ),
    Mutant(
        "doubt-fails",
        "a send without an answer is written as failed",
        "unrepeatable",
        _table({(_IN_FLIGHT, Move.DOUBT): RowState.FAILED}),
    ),
    Mutant(
        "doubt-reserves",
        "a send without an answer may be made again",
        "unrepeatable",
        _table({(_IN_FLIGHT, Move.DOUBT): _RESERVED}),
    ),
    Mutant("no-asking", "a row in doubt has no way to a person", "unrepeatable", _table({(_IN_DOUBT, Move.ASK): None})),
    Mutant(
        "no-doubting", "a row that is marked has no way into doubt", "probed", _table({(_IN_FLIGHT, Move.DOUBT): None})
    ),
    Mutant(
        "no-late-success", "a row in doubt has no way to success", "probed", _table({(_IN_DOUBT, Move.SUCCEED): None})
    ),
    Mutant(
        "no-cancel",
        "a row that is reserved cannot be cancelled",
        "transactional",
        _table({(_RESERVED, Move.CANCEL): None}),
    ),
    # conditions and changes of a move
    Mutant("takeover-keeps-fence", "a takeover does not bump the fence", "probed", _without("bumping", Move.TAKE_OVER)),
    Mutant("resend-keeps-fence", "a resend does not bump the fence", "idempotent", _without("bumping", Move.RESEND)),
    Mutant("mark-unfenced", "the mark of a zombie is not fenced", "probed", _without("fenced", Move.MARK)),
    Mutant(
        "receipt-unfenced",
        "the receipt of an earlier send is not fenced",
        "idempotent",
        _without("fenced", Move.SUCCEED, Move.REFUSE),
    ),
    Mutant("release-unfenced", "a zombie may release the row of another", "probed", _without("fenced", Move.RELEASE)),
    Mutant(
        "absent-unfenced",
        "what was seen before a later send is believed of that one",
        "probed",
        _without("fenced", Move.ABSENT),
    ),
    Mutant(
        "release-in-doubt",
        "a row is released although an earlier send is in doubt",
        "idempotent",
        _without("certain_only", Move.RELEASE),
    ),
    Mutant(
        "resend-forgets-doubt",
        "a resend does not remember that the send before is open",
        "idempotent",
        _without("doubting", Move.RESEND),
    ),
    Mutant(
        "takes-over-marked",
        "a takeover takes marked rows whose lease is over",
        "unrepeatable",
        _off("takes_over_reserved_only"),
    ),
    Mutant(
        "fingerprint-ignored",
        "a claim does not compare the fingerprint",
        "idempotent, other arguments",
        _off("compares_fingerprint"),
    ),
    Mutant(
        "guard-sees-done-only",
        "the guard against similar calls looks at successes only",
        "probed, reset",
        _off("guard_sees_open"),
    ),
    Mutant(
        "written-off-repeats",
        "what was written off stands in nobody's way",
        "probed, reset",
        _off("guard_sees_written_off"),
    ),
    # runs and epochs
    Mutant("run-unfenced", "the run before a reset may go on", "probed, reset", _off("fences_runs")),
    Mutant(
        "epoch-leaves-reserved",
        "an epoch does not cancel what is reserved",
        "probed, reset",
        _off("epoch_cancels_reserved"),
    ),
    Mutant("epoch-cancels-sent", "an epoch cancels what was sent, too", "probed, reset", _off("epoch_leaves_sent")),
    Mutant("run-in-key", "the key depends on the run", "probed, reset", _off("key_is_without_run")),
    # approvals
    Mutant(
        "approval-after-send",
        "an approval is consumed after the send",
        "transactional, one approval twice",
        _off("consumes_with_mark"),
    ),
    Mutant(
        "approval-for-many",
        "nobody looks who has used an approval",
        "transactional, one approval twice",
        _off("checks_consumer"),
    ),
    Mutant(
        "digest-ignored",
        "an approval counts for whatever is at hand",
        "idempotent, other arguments",
        _off("compares_digest"),
    ),
    Mutant(
        "order-is-sent",
        "a resend sends the arguments at hand, not those of the row",
        "idempotent, other arguments",
        _off("sends_args_of_row"),
    ),
    # sending
    Mutant("old-mark-sent", "a mark of any age is sent", "probed", _off("checks_age_of_mark")),
    Mutant("unknown-released", "no answer counts as not sent", "unrepeatable", _off("unknown_is_doubt")),
    Mutant("conflict-believed", "a conflict after a doubt is believed", "idempotent", _off("disbelieves_conflict")),
    Mutant("silence-believed", "a 401 after a doubt is believed", "keyed", _off("disbelieves_silence")),
    Mutant(
        "outage-is-failure",
        "a receipt that cannot be written becomes a failure",
        "probed",
        _off("keeps_what_was_answered"),
    ),
    Mutant("kept-unfenced", "a kept receipt is written without its fence", "probed", _off("kept_is_fenced")),
    Mutant("receipt-apart", "effect and receipt commit apart", "transactional", _off("receipt_commits_with_effect")),
    Mutant(
        "no-tombstone",
        "what has no receipt is said not to be applied, and nothing keeps it from being applied",
        "transactional",
        _off("tombstone_is_left"),
        as_found=True,
    ),
    Mutant(
        "tombstone-equal",
        "a send takes the place of the tombstone that rules it out",
        "transactional",
        _off("tombstone_outlives_its_send"),
    ),
    Mutant(
        "tombstone-shrinks",
        "an older tombstone takes the place of a later one",
        "transactional, 3 workers",
        _off("tombstone_only_grows"),
    ),
    Mutant(
        "tombstone-over-receipt",
        "a tombstone takes the place of a receipt",
        "transactional",
        _off("tombstone_spares_receipts"),
    ),
    Mutant(
        "tombstone-at-once",
        "a tombstone does not wait for a transaction that is open",
        "transactional",
        _off("tombstone_waits"),
    ),
    Mutant(
        "no-is-believed",
        "a no to a second send counts for the first one, which may still commit",
        "transactional",
        _off("no_after_doubt_rules_out"),
        as_found=True,
    ),
    # doubts
    Mutant(
        "lease-permits",
        "a lease that is over is taken for permission to send",
        "unrepeatable",
        _off("resends_harmless_only"),
    ),
    Mutant(
        "absent-at-once",
        "absent is believed before the settle time is over",
        "probed",
        lambda rules: replace(rules, absent_waits=False, absent_is_dated_before_asking=False),
    ),
    Mutant(
        "keyed-for-ever",
        "a keyed call is sent again after the window",
        "keyed",
        lambda rules: replace(rules, window_is_checked=False, window_is_checked_at_mark=False),
    ),
    Mutant(
        "ruling-for-all-sends", "a person's word counts for later sends", "unrepeatable", _off("rulings_bind_to_send")
    ),
    Mutant("nobody-told", "nobody is told that a person is needed", "unrepeatable", _off("tells_people")),
    # what the product did when this model was made
    Mutant(
        "absent-dated-late",
        "the clock is read after the probe: absent, asked too early, is believed",
        "probed",
        _off("absent_is_dated_before_asking"),
        as_found=True,
    ),
    Mutant(
        "window-looked-at-early",
        "the window is looked at before the mark, and not at it",
        "keyed",
        _off("window_is_checked_at_mark"),
        as_found=True,
    ),
    Mutant(
        "ruling-bound-late",
        "a person's word is bound to the send that it is first used for",
        "unrepeatable, attempts break",
        _off("rulings_name_their_send"),
        as_found=True,
    ),
    Mutant(
        "any-ruling-sends",
        "a call is sent after a person said that it happened, or gave it up",
        "idempotent, attempts break",
        _off("only_did_not_happen_sends"),
        as_found=True,
    ),
)
"""All that the search has to catch."""
