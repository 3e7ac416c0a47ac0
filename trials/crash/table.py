"""The table "crash point x effect: what must happen" of the design (3-effects), as data, and the departures from it.

`words` say what must happen after a crash (kill -9) there. What is milder than a crash ends better, and `milder` says
how: a worker that is asked to end finishes; one that wakes up by itself goes on where that is safe.
"""

from core.contract import Effect
from core.record import Record
from trials.crash import words as at
from trials.crash.words import WRITES, Spot, Way, Word

READ, TRANSACTIONAL, IDEMPOTENT, KEYED, PROBED, UNREPEATABLE = Effect
CRASHES = (Way.KILL, Way.STOP, Way.TERM, Way.RAISE, Way.DOWN)
ALL_CRASHES = (*CRASHES, Way.ZOMBIE)  # where no row of its own is about zombies
_ALL_FREE = dict.fromkeys(WRITES, Word.FREE)
_ALL_RECEIPT = dict.fromkeys(WRITES, Word.RECEIPT)
_RERUN = {READ: Word.RERUN}


class Row(Record):
    """One line of the table, or a part of one. `tool`: other than the kind's usual one."""

    title: str
    spots: tuple[Spot, ...]
    ways: tuple[Way, ...]
    words: dict[Effect, Word]
    tool: str = ""


class Departure(Record):
    """Where something else is expected than the design's table says, and why."""

    where: str
    says: str
    expected: str
    why: str


_UNSENT = {IDEMPOTENT: Word.SEND_AGAIN, KEYED: Word.SAME_KEY, PROBED: Word.ABSENT_FREE, UNREPEATABLE: Word.PERSON}
_DONE = {IDEMPOTENT: Word.SEND_AGAIN, KEYED: Word.SAME_KEY, PROBED: Word.PROBE, UNREPEATABLE: Word.PERSON}
_NO = dict.fromkeys((TRANSACTIONAL, IDEMPOTENT, KEYED, PROBED), Word.SAME_NO) | {UNREPEATABLE: Word.PERSON}
_COMMITTED = {TRANSACTIONAL: Word.RECEIPT}
_KEY_WINDOW, _RESULT = "key window over", "result too large or not serialisable"
_CANCEL_LATER, _TERMINATED, _RESET = (
    "cancel or SIGTERM after the mark",
    "workflow terminated after the mark",
    "reset after the mark",
)
_ZOMBIE, _NO_RECEIPT = "zombie wakes in IN_FLIGHT after a takeover", "answer received, no receipt"
_UNSEEN, _APPLIED = "sent, lost on the way", "applied, answer lost"
_DOWN_BEFORE, _DOWN_AFTER = "ledger down before the mark", "ledger down after the effect"

ROWS: tuple[Row, ...] = (
    Row(title="before the claim", spots=(at.ARRIVED,), ways=ALL_CRASHES, words=_RERUN | _ALL_FREE),
    Row(title="before the claim", spots=(at.ADMITTED,), ways=ALL_CRASHES, words=_ALL_FREE),
    Row(title="claimed, no mark", spots=(at.CLAIMED,), ways=CRASHES, words=_ALL_FREE),
    Row(title="marked, nothing sent", spots=(at.MARKED,), ways=CRASHES, words={TRANSACTIONAL: Word.FREE, **_UNSENT}),
    Row(title=_UNSEEN, spots=(at.LOST,), ways=ALL_CRASHES, words={**_RERUN, TRANSACTIONAL: Word.FREE, **_UNSENT}),
    Row(title=_APPLIED, spots=(at.APPLIED,), ways=ALL_CRASHES, words=_RERUN | _DONE),
    Row(title=_APPLIED, spots=(at.ANSWERED,), ways=CRASHES, words=_COMMITTED),
    Row(title="definite no, not yet recorded", spots=(at.REFUSED_READ,), ways=ALL_CRASHES, words=_RERUN),
    Row(title="definite no, not yet recorded", spots=(at.REFUSED,), ways=ALL_CRASHES, words=_NO),
    Row(title=_NO_RECEIPT, spots=(at.ANSWERED,), ways=CRASHES, words=_DONE),
    Row(title=_NO_RECEIPT, spots=(at.REPORTING,), ways=ALL_CRASHES, words=_RERUN),
    Row(
        title="receipt, completion not reported", spots=(at.SETTLED, at.REPORTING), ways=ALL_CRASHES, words=_ALL_RECEIPT
    ),
    Row(title="receipt, completion not reported", spots=(at.REPORTING,), ways=ALL_CRASHES, words=_RERUN),
    Row(
        title="zombie wakes in RESERVED after a takeover",
        spots=(at.CLAIMED,),
        ways=(Way.ZOMBIE,),
        words=dict.fromkeys(WRITES, Word.FENCED),
    ),
    Row(
        title=_ZOMBIE,
        spots=(at.MARKED,),
        ways=(Way.ZOMBIE,),
        words=dict.fromkeys((IDEMPOTENT, KEYED, PROBED), Word.TOO_OLD) | {UNREPEATABLE: Word.NO_TAKEOVER},
    ),
    Row(
        title=_ZOMBIE,
        spots=(at.SENDING,),
        ways=(Way.ZOMBIE,),
        words={
            IDEMPOTENT: Word.PRECONDITION,
            KEYED: Word.DEDUP,
            PROBED: Word.RESIDUAL,
            UNREPEATABLE: Word.NO_TAKEOVER,
        },
    ),
    Row(title=_ZOMBIE, spots=(at.ANSWERED,), ways=(Way.ZOMBIE,), words=_COMMITTED | _DONE),
    Row(title=_DOWN_BEFORE, spots=(at.ARRIVED,), ways=(Way.DOWN_AFTER,), words=_RERUN),
    Row(title=_DOWN_BEFORE, spots=(at.ADMITTED, at.CLAIMED), ways=(Way.DOWN, Way.DOWN_AFTER), words=_ALL_FREE),
    Row(title=_DOWN_AFTER, spots=(at.SENDING,), ways=(Way.DOWN,), words=_RERUN),
    Row(
        title=_DOWN_AFTER,
        spots=(at.ANSWERED,),
        ways=(Way.DOWN, Way.DOWN_AFTER, Way.DOWN_LONG, Way.DOWN_KILL),
        words=_COMMITTED | _DONE,
    ),
    Row(title="cancel before the mark", spots=(at.LOST,), ways=(Way.CANCEL,), words={READ: Word.DROP}),
    Row(
        title="cancel before the mark",
        spots=(at.ADMITTED, at.CLAIMED),
        ways=(Way.CANCEL,),
        words=dict.fromkeys(WRITES, Word.CANCELLED),
    ),
    Row(title=_CANCEL_LATER, spots=(at.APPLIED,), ways=(Way.CANCEL,), words={READ: Word.DROP}),
    Row(title=_CANCEL_LATER, spots=(at.ANSWERED,), ways=(Way.CANCEL,), words=dict.fromkeys(WRITES, Word.FINISH)),
    Row(
        title=_CANCEL_LATER,
        spots=(at.MARKED,),
        ways=(Way.CANCEL_KILL, Way.CANCEL_HEARD),
        words={**_UNSENT, TRANSACTIONAL: Word.CANCELLED, PROBED: Word.CANCELLED},
    ),
    Row(title=_CANCEL_LATER, spots=(at.APPLIED,), ways=(Way.CANCEL_KILL,), words=_DONE),
    Row(title=_CANCEL_LATER, spots=(at.ANSWERED,), ways=(Way.CANCEL_KILL,), words=_COMMITTED),
    Row(title=_CANCEL_LATER, spots=(at.ANSWERED,), ways=(Way.CANCEL_HEARD,), words=_COMMITTED | _DONE),
    Row(
        title=_CANCEL_LATER,
        spots=(at.SENDING,),
        ways=(Way.TERM,),
        words=dict.fromkeys(WRITES, Word.FINISH),
    ),
    Row(
        title=_TERMINATED,
        spots=(at.MARKED, at.APPLIED),
        ways=(Way.TERMINATE,),
        words=dict.fromkeys((IDEMPOTENT, KEYED, PROBED), Word.COMPLETER) | {UNREPEATABLE: Word.PERSON},
    ),
    Row(
        title=_TERMINATED,
        spots=(at.MARKED, at.ANSWERED),
        ways=(Way.TERMINATE,),
        words={TRANSACTIONAL: Word.COMPLETER},
    ),
    Row(
        title=_RESET,
        spots=(at.MARKED, at.APPLIED),
        ways=(Way.RESET, Way.RESET_LATE),
        words=dict.fromkeys((IDEMPOTENT, KEYED, PROBED, UNREPEATABLE), Word.ADOPTS),
    ),
    Row(
        title=_RESET,
        spots=(at.MARKED, at.ANSWERED),
        ways=(Way.RESET, Way.RESET_LATE),
        words={TRANSACTIONAL: Word.ADOPTS},
    ),
    Row(
        title=_KEY_WINDOW,
        spots=(at.LOST, at.APPLIED),
        ways=(Way.KILL,),
        words={KEYED: Word.PERSON},
        tool="pay_briefly",
    ),
    Row(
        title=_KEY_WINDOW,
        spots=(at.LOST,),
        ways=(Way.KILL,),
        words={KEYED: Word.ABSENT_FREE},
        tool="pay_briefly_and_look",
    ),
    Row(
        title=_KEY_WINDOW,
        spots=(at.APPLIED,),
        ways=(Way.KILL,),
        words={KEYED: Word.PROBE},
        tool="pay_briefly_and_look",
    ),
    Row(
        title=_RESULT,
        spots=(at.BIG, at.ODD),
        ways=(Way.NOTHING, Way.KILL),
        words=dict.fromkeys(WRITES, Word.CAPPED),
    ),
    Row(title=_RESULT, spots=(at.BIG_READ, at.ODD_READ), ways=(Way.NOTHING, Way.KILL), words=_RERUN),
    Row(
        title="two attempts at once",
        spots=(at.CLAIMED, at.MARKED, at.ANSWERED),
        ways=(Way.TWO,),
        words=dict.fromkeys(WRITES, Word.ONE_RUNS),
    ),
    Row(title="two attempts at once", spots=(at.REPORTING,), ways=(Way.TWO,), words={READ: Word.BOTH}),
)

DEPARTURES: tuple[Departure, ...] = (
    Departure(
        where="raise at a place of the door: all writes",
        says="as after a crash",
        expected=Word.BUG,
        why="an error that nobody expects, in our own code, is not tried again by itself (activities/faults.py): the "
        "next attempt would meet it again. A person is asked, and nothing is sent before the answer. A read is "
        "unavailable. An error in the tool is another thing: its outcome is unknown, and goes by the kind of effect.",
    ),
    Departure(
        where="ledger down after the effect, the worker lives: idempotent, keyed, probed, unrepeatable",
        says="send again, same key, probe, person",
        expected=Word.FINISH,
        why="the answer is kept, in the worker and then in the activity's result, until the ledger takes it. The words "
        "of the table hold where the worker is killed meanwhile, and stand in the cells of that name.",
    ),
    Departure(
        where="ledger down after the effect: transactional",
        says="rolled back",
        expected=Word.RECEIPT,
        why="after the effect is after the commit of the tool's own database, which does not need the ledger.",
    ),
    Departure(
        where="marked, nothing sent: transactional",
        says="-",
        expected=Word.FREE,
        why="a transactional call is marked like any other; with no receipt in the tool's database it is sent again.",
    ),
    Departure(
        where="workflow terminated after the mark: transactional",
        says="row stays",
        expected=Word.COMPLETER,
        why="the completer reads the tool's database and settles this row too: no open doubt stays.",
    ),
    Departure(
        where="zombie in IN_FLIGHT: transactional",
        says="-",
        expected=Word.RECEIPT,
        why="one that wakes up after its commit finds the receipt written by whoever took over, and is fenced off.",
    ),
    Departure(
        where="definite no, not yet recorded: transactional",
        says="free",
        expected=Word.SAME_NO,
        why="it is free to be sent again, and is told the same no: the cell says what comes of it.",
    ),
    Departure(
        where="SIGSTOP, then SIGCONT without a takeover: all",
        says="as after a crash",
        expected="free before the send, finished after the answer",
        why="a process that wakes up and still has the row knows what it has done. A mark that is too old is released.",
    ),
    Departure(
        where="zombie in IN_FLIGHT, stopped inside the system call that sends: probed",
        says="deadline refuses the send",
        expected=Word.RESIDUAL,
        why="no check can stand behind a system call. A packet that leaves after deadline and settle time meets a "
        "provider that has been asked, has said no, and has been sent the call again. Needed for it: a process that "
        "stands still for longer than both, between two instructions. Only a key at the provider (keyed) closes this.",
    ),
)


def milder(spot: Spot, kind: Effect, way: Way, crash: Word) -> Word:
    """Return what must happen where `way` is not a crash; `crash` where it comes to the same."""
    is_door = spot.place.startswith("door.")
    if way is Way.RAISE and is_door:
        return Word.UNAVAILABLE if kind is Effect.READ else Word.BUG
    if kind is Effect.READ:
        return crash
    if way is Way.STOP and spot.place in ("door.claimed", "door.marked"):
        return Word.FREE
    if way in (Way.STOP, Way.TERM, Way.DOWN, Way.DOWN_AFTER, Way.DOWN_LONG) and is_door:
        return _finished(spot, crash)
    return Word.FINISH if way is Way.TERM and spot == at.APPLIED else crash


def _finished(spot: Spot, crash: Word) -> Word:
    """Return what must happen where the attempt lives to end by itself."""
    match spot.place:
        case "door.answered":
            return Word.KEPT_NO if spot.is_refused else Word.FINISH
        case "door.marked":
            return Word.FREE
    return crash
