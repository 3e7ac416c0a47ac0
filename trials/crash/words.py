"""The words of the design's table, the places at which a worker is met, and what is done to it there."""

from enum import StrEnum

from core.contract import Effect
from core.record import Record

WRITES = tuple(kind for kind in Effect if kind is not Effect.READ)


class Word(StrEnum):
    """What must happen. The first group stands in the design so, the second in the departures from it."""

    RERUN = "rerun"
    FREE = "free"
    SEND_AGAIN = "send again"
    SAME_KEY = "same key"
    ABSENT_FREE = "settle, absent, free"
    PROBE = "probe, succeeded"
    PERSON = "person"
    SAME_NO = "same no"
    RECEIPT = "receipt"
    FENCED = "fenced"
    TOO_OLD = "deadline refuses the send"
    PRECONDITION = "precondition stops it"
    DEDUP = "provider dedups"
    NO_TAKEOVER = "no takeover exists"
    CANCELLED = "cancelled"
    DROP = "drop"
    FINISH = "finish"
    COMPLETER = "completer"
    ADOPTS = "new epoch waits, adopts"
    ONE_RUNS = "one runs, the other waits"
    BOTH = "both"
    CAPPED = "receipt and a capped result"

    BUG = "a person (a bug)"
    UNAVAILABLE = "unavailable"
    KEPT_NO = "the no is recorded"
    RESIDUAL = "applied twice: the stated residual"


class Way(StrEnum):
    """What is done. The first five are the matrix; the others make the rows that are no crash of a worker."""

    KILL = "kill -9"
    STOP = "SIGSTOP"
    TERM = "SIGTERM"
    RAISE = "raise"
    DOWN = "ledger down"

    ZOMBIE = "zombie"
    DOWN_AFTER = "commit unheard"
    DOWN_LONG = "ledger down for long"
    DOWN_KILL = "ledger down, kill -9"
    CANCEL = "cancel"
    CANCEL_KILL = "cancel, kill -9"
    CANCEL_HEARD = "cancel, heard, kill -9"
    TERMINATE = "terminate, kill -9"
    RESET = "kill -9, reset to the start"
    RESET_LATE = "kill -9, reset to the call"
    TWO = "two attempts"
    NOTHING = "nothing"


class Spot(Record):
    """Where the call is when it happens.

    ``place``: a fail point, or "provider" for while the provider holds the request. ``script``: what the provider does
    with the first requests. ``arrived``, ``applied``: how many of the call's requests have by then.
    """

    name: str
    place: str
    script: tuple[str, ...] = ()
    arrived: int = 0
    applied: int = 0

    @property
    def is_refused(self) -> bool:
        """Whether the provider says no, every time."""
        return self.script[:1] == ("no",)


_NO = ("no",) * 9

ARRIVED = Spot(name="arrived", place="door.arrived")
ADMITTED = Spot(name="admitted", place="door.admitted")
CLAIMED = Spot(name="claimed", place="door.claimed")
MARKED = Spot(name="marked", place="door.marked")
SENDING = Spot(name="sending", place="tool.sending")
LOST = Spot(name="lost", place="provider", script=("hold_lost",), arrived=1)
APPLIED = Spot(name="applied", place="provider", script=("hold_applied",), arrived=1, applied=1)
REFUSED = Spot(name="refused", place="door.answered", script=_NO, arrived=1)
ANSWERED = Spot(name="answered", place="door.answered", arrived=1, applied=1)
SETTLED = Spot(name="settled", place="door.settled", arrived=1, applied=1)
REPORTING = Spot(name="reporting", place="door.reporting", arrived=1, applied=1)
REFUSED_READ = Spot(name="refused", place="door.reporting", script=_NO, arrived=1)
BIG = Spot(name="big", place="door.settled", script=("big",), arrived=1, applied=1)
ODD = Spot(name="odd", place="door.settled", script=("odd",), arrived=1, applied=1)
BIG_READ = BIG.model_copy(update={"place": "door.reporting"})
ODD_READ = ODD.model_copy(update={"place": "door.reporting"})
