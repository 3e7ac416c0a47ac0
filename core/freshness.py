"""Reads that are no longer true are made again before a write that rests on them, the deepest first.

A write rests on the reads that its arguments refer to, directly or through other reads. Arguments that a person put in
rest on nothing.
"""

from collections.abc import Iterable
from datetime import datetime

from core.change import change, put
from core.contract import Effect
from core.references import Reference, find
from core.task import Phase, Step, TaskState

_PASSES = 2
"""How often each read may be made again for one write on its way: one that is stale by the time the next one has come
back would keep the task busy for ever."""


def _referred(state: TaskState, step: Step) -> list[Step]:
    """Return the reads that the arguments of a step name."""
    if step.edited is not None:
        return []
    names = dict.fromkeys(step.full_id(one.step) for one in find(step.planned.args) if isinstance(one, Reference))
    found = (state.step(name) for name in names)
    return [one for one in found if one is not None and one.terms.effect is Effect.READ]


def rests_on(state: TaskState, step: Step) -> list[Step]:
    """Return the reads that a step rests on."""
    found: dict[str, Step] = {}
    heap = [step]
    while heap:
        new = [one for one in _referred(state, heap.pop()) if one.id not in found]
        found.update((one.id, one) for one in new)
        heap += new
    return list(found.values())


def _watched(state: TaskState, step: Step) -> list[Step]:
    """Return what a write rests on, if any of it can grow old."""
    if step.terms.effect is Effect.READ or state.profile is None or not state.profile.rereads:
        return []
    reads = rests_on(state, step)
    return reads if any(read.terms.fresh_for is not None for read in reads) else []


def has_lost_ground(state: TaskState, step: Step, failed: Iterable[Phase]) -> bool:
    """Whether something that a write rests on could not be read again."""
    return any(read.phase in failed for read in _watched(state, step))


def approach(state: TaskState, step: Step, room: int) -> TaskState:
    """Send a step that is ready to the door; or first, `room` at once at most, what it rests on and has grown old."""
    reads = _watched(state, step)
    if any(read.phase.is_open for read in reads):
        return state
    stale = {read.id: read for read in reads if _is_stale(state, read)}
    if not stale or step.rereads >= _PASSES * len(reads):
        return put(state, step, phase=Phase.CALLING, rereads=0)
    first = [read for read in stale.values() if not any(one.id in stale for one in rests_on(state, read))]
    for read in first[:room]:
        state = _again(state, read)
    return put(state, step, rereads=step.rereads + 1)


def fresh_until(state: TaskState, step: Step) -> datetime | None:
    """Return until when a call may be begun that is on its way now: it may wait at the door, stopped or for the ledger.

    None where nothing grows old; or where that was tried often enough: what is true for less long than the way to the
    door takes would keep the task busy for ever.
    """
    if step.outdated >= _PASSES:
        return None
    limits = [
        read.seen_at + read.terms.fresh_for for read in _watched(state, step) if read.seen_at and read.terms.fresh_for
    ]
    soonest = min(limits, default=None)
    return soonest if soonest is not None and soonest > state.now else None


def _is_stale(state: TaskState, read: Step) -> bool:
    """Whether a read is too old, or older than what its own arguments come from."""
    if read.seen_at is None:
        return False
    seen_at, limit = read.seen_at, read.terms.fresh_for
    if limit is not None and state.now - seen_at > limit:
        return True
    return any(one.seen_at is not None and one.seen_at > seen_at for one in _referred(state, read))


def _again(state: TaskState, read: Step) -> TaskState:
    """Take a read through the door once more; one of an earlier round belongs to this one meanwhile."""
    past = {name: one for name, one in state.past.items() if name != read.id}
    return put(change(state, past=past), read, phase=Phase.CALLING, entry=read.entry + 1, needs=())
