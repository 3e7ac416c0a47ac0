"""What a state of the model says. Times are stages, fences are "of this fence" or "behind": nothing else can matter.

A fence only goes up, so a worker that is behind stays behind; whoever holds the present fence is told apart by phase.
"""

from enum import IntEnum
from typing import NamedTuple

from core.contract import Effect
from core.receipts import Move, RowState

MOST_PACKETS = 2  # of one call that nobody waits for; a third adds nothing that two do not show


class Clock(IntEnum):
    """How long ago the last mark (or claim) of a row was; each stage implies the ones before."""

    FRESH = 0  # at most 2 s: the mark may be used
    OLD = 1
    LEASE_OVER = 2
    SETTLED = 3  # deadline + settle time are over


class Window(IntEnum):
    """Where the provider's memory of a key stands."""

    FIRST_HALF = 0
    SECOND_HALF = 1
    OVER = 2


class Ruling(NamedTuple):
    """A person's word in the order of a call. `of`: the send it speaks of, "this" (the last), one "before", "" none."""

    choice: str
    of: str = ""


class Kept(NamedTuple):
    """A receipt in the workflow's state, waiting for the ledger."""

    move: Move
    is_behind: bool


class Call(NamedTuple):
    """One effect key: its row, what the workflow knows of it, and what is true at the provider.

    `phase`: calling, asking0, asking1 (approval of arguments 0 or 1), doubted (a person is asked), closed (told that it
    was not sent). `asked_of`: the send that the person is asked about, as in Ruling. `consumed` is in the ledger;
    `under` (the approval it was really sent under) and `wrong` are seen by nobody but the checker. Approvals 1 and 2
    are for call 0 with arguments 0 and 1, 3 and 4 for call 1; 5 to 8 are the same, given once more. 0 is none.

    In the database of a transactional tool: `in_transaction`, some transaction has taken the key; `ruled_out`, the send
    up to which a tombstone counts. A packet is a commit there that is under way.
    """

    state: RowState | None = None
    args: int = 0
    doubtful: bool = False
    written_off: bool = False
    sends: int = 0
    clock: Clock = Clock.FRESH
    window: Window = Window.FIRST_HALF
    consumed: int = 0
    phase: str = "calling"
    ruling: Ruling | None = None
    asked_of: str = ""
    kept: Kept | None = None
    packets: int = 0
    applied: int = 0
    in_transaction: bool = False
    ruled_out: int = 0
    memory: str = ""
    under: int = 0
    wrong: str = ""


class World(NamedTuple):
    """Everything that workers share. `run`: the open run of the workflow; `bound`: the one that the ledger knows."""

    calls: tuple[Call, ...]
    run: int = 0
    bound: int = 0
    approvals: int = 0

    def put(self, at: int, call: Call) -> "World":
        """Replace one call."""
        return self._replace(calls=(*self.calls[:at], call, *self.calls[at + 1 :]))


COMPLETER = 2  # in place of a run


class Worker(NamedTuple):
    """One attempt at the door (or of the completer), between two of its steps. `detail` is what the phase needs.

    ``send``: of a transactional call, which send this worker makes, or the last one that it has seen.
    """

    phase: str = "idle"
    call: int = 0
    run: int = 0
    is_behind: bool = False
    is_fresh: bool = False
    doubtful: bool = False
    send: int = 0
    detail: str = ""
    args: int = 0
    approval: int = 0


IDLE = Worker()


def first_approval(call: int, args: int) -> int:
    """Return the number of the approval that is given when a call is first asked about."""
    return 1 + 2 * call + args


class Step(NamedTuple):
    """One thing that may happen. `bumps` / `ages`: the call whose other workers fall behind / whose marks grow old."""

    label: str
    world: World
    worker: Worker | None = None
    bumps: int | None = None
    ages: int | None = None
    is_fault: bool = False


class Scene(NamedTuple):
    """What is searched: a kind of effect, and how much may happen.

    `attempts`: sends of the tool's contract; `most_sends`: where the search ends. `has_probe`: the tool can be asked.
    `resets`: a reset plans the same call (similar, another key). `shares`: one approval is delivered to two calls.
    `variants`: the order may bring other arguments. `breaks`: an attempt may end in an error of the tool's author.
    `until_mark`: only kills, and only before the mark: approvals are used by then, and two calls are much to search.
    """

    name: str
    effect: Effect
    workers: int = 2
    attempts: int = 2
    most_sends: int = 2
    has_probe: bool = False
    resets: bool = False
    shares: bool = False
    variants: bool = False
    breaks: bool = False
    until_mark: bool = False

    @property
    def calls(self) -> int:
        """How many effect keys there are."""
        return 2 if self.resets or self.shares else 1
