"""Numbers for worlds and workers, and what one worker (or nobody) may do to a world, worked out once and kept."""

from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, TypeVar

from trials.model.door import Door
from trials.model.guarantees import violation
from trials.model.rules import Rules
from trials.model.state import IDLE, Scene, Step, Worker, World
from trials.model.world import Outside

WORKER_BITS = 12
T = TypeVar("T")
Note = TypeVar("Note")


class Numbers(Generic[T, Note]):
    """Gives equal values one number, from 0; `notes` holds what was worked out for each."""

    def __init__(self, note: Callable[[T], Note]) -> None:
        self.values: list[T] = []
        self.notes: list[Note] = []
        self._known: dict[T, int] = {}
        self._note = note

    def of(self, value: T) -> int:
        """Return the number of a value."""
        number = self._known.get(value)
        if number is None:
            number = self._known[value] = len(self.values)
            self.values.append(value)
            self.notes.append(self._note(value))
        return number


class Change:
    """What becomes of the other workers when one moves, by number; worked out when first asked for."""

    def __init__(self, workers: Numbers[Worker, int], change: Callable[[Worker], Worker]) -> None:
        self._workers = workers
        self._change = change
        self._known: dict[int, int] = {}

    def __call__(self, number: int) -> int:
        """Return the number of the worker as it is afterwards."""
        changed = self._known.get(number)
        if changed is None:
            changed = self._known[number] = self._workers.of(self._change(self._workers.values[number]))
        return changed


class Numbered(NamedTuple):
    """A step in numbers; `others` None: nothing becomes of them. `worker` -1: nobody took it."""

    world: int
    worker: int
    others: Change | None
    is_fault: bool
    label: str


class Book:
    """Everything that is known of one scene under one set of rules."""

    def __init__(self, scene: Scene, rules: Rules) -> None:
        self._door = Door(scene, rules)
        self._outside = Outside(scene, rules)
        self.worlds: Numbers[World, str] = Numbers(lambda world: violation(world, scene))
        self.workers: Numbers[Worker, int] = Numbers(_hold)
        self._behind = [Change(self.workers, _falling_behind(at)) for at in range(scene.calls)]
        self._aged = [Change(self.workers, _growing_old(at)) for at in range(scene.calls)]
        self._acts: dict[int, list[Numbered]] = {}
        self._happens: dict[int, list[Numbered]] = {}
        self.first = self.worlds.of(self._outside.start())
        self.idle = self.workers.of(IDLE)

    def acts(self, world: int, worker: int) -> list[Numbered]:
        """Return what a worker may do to a world."""
        at = world << WORKER_BITS | worker
        known = self._acts.get(at)
        if known is None:
            actor = self.workers.values[worker]
            known = self._acts[at] = self._number(self._door.steps(self.worlds.values[world], actor))
        return known

    def happens(self, world: int, held: int) -> list[Numbered]:
        """Return what may happen to a world without a worker."""
        at = world << 4 | held
        known = self._happens.get(at)
        if known is None:
            known = self._happens[at] = self._number(self._outside.steps(self.worlds.values[world], held))
        return known

    def _number(self, steps: Iterable[Step]) -> list[Numbered]:
        return [self._numbered(step) for step in steps]

    def _numbered(self, step: Step) -> Numbered:
        others = None
        if step.bumps is not None:
            others = self._behind[step.bumps]
        elif step.ages is not None:
            others = self._aged[step.ages]
        worker = -1 if step.worker is None else self.workers.of(step.worker)
        return Numbered(self.worlds.of(step.world), worker, others, step.is_fault, step.label)


def _hold(worker: Worker) -> int:
    """Say which calls a worker will send (bits 0 and 1), or may send without looking at the ledger (2 and 3)."""
    if worker.phase in ("checked", "flying"):
        return 1 << worker.call
    return 4 << worker.call if worker.phase == "marked" and worker.is_fresh else 0


def _falling_behind(at: int) -> Callable[[Worker], Worker]:
    def change(worker: Worker) -> Worker:
        if worker.call != at or worker.phase in ("idle", "admitted", "telling"):
            return worker
        return worker._replace(is_behind=True)

    return change


def _growing_old(at: int) -> Callable[[Worker], Worker]:
    def change(worker: Worker) -> Worker:
        return worker._replace(is_fresh=False) if worker.call == at else worker

    return change
