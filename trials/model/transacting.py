"""The database of a transactional tool: its key is taken first, and effect and receipt commit together or not at all.

::

    checked -> (takes the key) flying -> answered | unknown | release
    absent, answered "no" after a doubt -> (leaves a tombstone) -> absent, answered

A process that is stopped holds what it has taken; one that is killed gives it back, unless its commit is under way.
"""

from collections.abc import Iterator

from core.contract import Effect
from trials.model.rules import Rules
from trials.model.state import IDLE, Call, Scene, Step, Worker, World


class Transacting:
    """What a worker does in that database."""

    def __init__(self, scene: Scene, rules: Rules) -> None:
        self.is_meant = scene.effect is Effect.TRANSACTIONAL
        self._rules = rules

    def number(self, call: Call) -> int:
        """Return which send of a call this is; 0 where nothing depends on it."""
        return call.sends if self.is_meant else 0

    def take(self, world: World, worker: Worker, sent: Call) -> Iterator[Step]:
        """Take the key, and begin; `sent` is the call as it is once that is done."""
        at, call = worker.call, world.calls[worker.call]
        not_sent = worker._replace(phase="release", detail="not sent")
        if call.in_transaction:
            yield Step(f"waits too long for the key of call {at}: not sent", world, not_sent, is_fault=True)
        elif self._has_receipt(call):
            yield Step(f"finds the receipt of call {at}", world, worker._replace(phase="answered", detail="yes"))
        elif self._is_ruled_out(worker, call):
            yield Step(f"finds that call {at} was ruled out: not sent", world, not_sent)
        else:
            taken = world.put(at, sent._replace(in_transaction=True))
            yield Step(f"takes the key of call {at}", taken, worker._replace(phase="flying"))

    def end(self, world: World, worker: Worker, call: Call) -> Iterator[Step]:
        """End a transaction in one of its ways."""
        at, unknown = worker.call, worker._replace(phase="unknown")
        committed, rolled_back = world.put(at, commit(call)), world.put(at, roll_back(call))
        yield Step(f"commits call {at}", committed, worker._replace(phase="answered", detail="yes"))
        yield Step(f"commits call {at}, and does not hear it", committed, unknown, is_fault=True)
        yield Step(f"rolls call {at} back: a definite no", rolled_back, worker._replace(phase="answered", detail="no"))
        broken = worker._replace(phase="release", detail="not sent")
        yield Step(f"rolls call {at} back: an error", rolled_back, broken, is_fault=True)
        yield Step(f"rolls call {at} back, and does not hear it", rolled_back, unknown, is_fault=True)
        left = world.put(at, call._replace(packets=call.packets + 1))
        yield Step(f"gives up waiting; the commit of call {at} is under way", left, unknown, is_fault=True)

    def rule_out(self, world: World, worker: Worker, call: Call, then: Worker) -> Iterator[Step]:
        """Leave a tombstone, and go on as `then`; or learn that the call was made, or may yet be."""
        at = worker.call
        if not self._rules.tombstone_is_left:
            yield Step(f"takes it that call {at} is rolled back", world, then)
        elif call.in_transaction and self._rules.tombstone_waits:
            yield Step(f"waits too long to rule call {at} out", world, self._still_open(worker))
        elif call.applied and self._rules.tombstone_spares_receipts:
            yield Step(f"finds the receipt of call {at}", world, worker._replace(phase="answered", detail="found"))
        else:
            last = max(call.ruled_out, worker.send) if self._rules.tombstone_only_grows else worker.send
            yield Step(f"rules call {at} out up to send {last}", world.put(at, call._replace(ruled_out=last)), then)

    def _still_open(self, worker: Worker) -> Worker:
        return worker._replace(phase="unknown") if worker.phase == "answered" else IDLE

    def _has_receipt(self, call: Call) -> bool:
        return call.applied > 0 and self._rules.receipt_commits_with_effect

    def _is_ruled_out(self, worker: Worker, call: Call) -> bool:
        if self._rules.tombstone_outlives_its_send:
            return worker.send <= call.ruled_out
        return worker.send < call.ruled_out


def commit(call: Call) -> Call:
    """Apply effect and receipt; the receipt takes the place of a tombstone."""
    return call._replace(applied=call.applied + 1, in_transaction=False, ruled_out=0)


def roll_back(call: Call) -> Call:
    """Give the key back; a tombstone is there as before."""
    return call._replace(in_transaction=False)
