"""Walks through all states, breadth-first, and finds the shortest way to a broken guarantee.

A state is one integer: the number of the world and those of the workers. Workers are alike, so they are kept in order:
what is checked does not depend on who is who.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from trials.model.guarantees import is_settled
from trials.model.numbering import WORKER_BITS, Book, Numbered
from trials.model.rules import Rules
from trials.model.state import Scene

_MASK = (1 << WORKER_BITS) - 1


class TooLarge(Exception):
    """The scene has more states than the walk may take: it proves nothing."""


@dataclass(slots=True)
class Found:
    """What a walk saw. `broken`: how many states break which guarantee; `trace`: the shortest way to the first."""

    scene: Scene
    states: int = 0
    steps: int = 0
    broken: dict[str, int] = field(default_factory=dict)
    trace: tuple[str, ...] = ()


class Search:
    """One scene under one set of rules. `at_first`: stop at the first broken guarantee."""

    def __init__(self, scene: Scene, rules: Rules, *, at_first: bool = False, most_states: int = 5_000_000) -> None:
        self._scene = scene
        self._book = Book(scene, rules)
        self._at_first = at_first
        self._most_states = most_states
        self._count = scene.workers
        self._order: list[int] = []
        self._parents = array("l")
        self._edges = array("l")
        self._ends = array("l")

    def run(self) -> Found:
        """Walk. Raises TooLarge rather than leave states out."""
        found = Found(self._scene)
        first_bad = self._walk(found)
        found.states = len(self._order)
        if not found.broken:
            stuck = self._stuck()
            if stuck:
                found.broken["G2"], first_bad = len(stuck), stuck[0]
        if first_bad is not None:
            found.trace = tuple(self._tell(first_bad))
        return found

    # ------------------------------------------------------------------------------------------------- walking

    def _walk(self, found: Found) -> int | None:
        first_bad = None
        start = self._pack(self._book.first, [self._book.idle] * self._count)
        self._order, known = [start], {start: 0}
        self._parents.append(-1)
        order, parents, edges, ends = self._order, self._parents, self._edges, self._ends
        verdicts, shift = self._book.worlds.notes, WORKER_BITS * self._count
        at = 0
        while at < len(order):
            if verdict := verdicts[order[at] >> shift]:
                found.broken[str(verdict)] = found.broken.get(str(verdict), 0) + 1
                first_bad = at if first_bad is None else first_bad
                if self._at_first:
                    break
            for after, is_fault in self._successors(order[at]):
                number = known.get(after)
                if number is None:
                    number = known[after] = len(order)
                    order.append(after)
                    parents.append(at)
                if not is_fault:
                    edges.append(number)
                found.steps += 1
            ends.append(len(edges))
            at += 1
            if len(order) > self._most_states:
                raise TooLarge(f"{self._scene.name} has more than {self._most_states:,} states")
        return first_bad

    def _successors(self, state: int) -> Iterator[tuple[int, bool]]:
        """Yield each state that may come next, and whether a fault brings it."""
        world, workers = self._unpack(state)
        done = -1
        for at, worker in enumerate(workers):
            if worker == done:  # the same as the one before
                continue
            done = worker
            rest = workers[:at] + workers[at + 1 :]
            for step in self._book.acts(world, worker):
                others = rest if step.others is None else [step.others(one) for one in rest]
                yield self._pack(step.world, [step.worker, *others]), step.is_fault
        for step in self._book.happens(world, self._held(workers)):
            others = workers if step.others is None else [step.others(one) for one in workers]
            yield self._pack(step.world, others), step.is_fault

    def _held(self, workers: list[int]) -> int:
        held = 0
        for worker in workers:
            held |= self._book.workers.notes[worker]
        return held

    def _pack(self, world: int, workers: list[int]) -> int:
        workers = sorted(workers)
        for worker in workers:
            world = world << WORKER_BITS | worker
        return world

    def _unpack(self, state: int) -> tuple[int, list[int]]:
        workers = []
        for _ in range(self._count):
            workers.append(state & _MASK)
            state >>= WORKER_BITS
        return state, workers[::-1]

    # ------------------------------------------------------------------------------------------------------ G2

    def _stuck(self) -> list[int]:
        """Return the states from which, even if nothing goes wrong any more, not every call comes to an end."""
        shift, worlds = WORKER_BITS * self._count, self._book.worlds.values
        ended = [is_settled(world) for world in worlds]
        good = bytearray(ended[state >> shift] for state in self._order)
        left = [at for at in range(len(good) - 1, -1, -1) if not good[at]]
        while True:
            rest = [at for at in left if not self._becomes_good(good, at)]
            if len(rest) == len(left):
                return rest[::-1]
            left = rest

    def _becomes_good(self, good: bytearray, at: int) -> bool:
        for edge in range(self._ends[at - 1] if at else 0, self._ends[at]):
            if good[self._edges[edge]]:
                good[at] = 1
                return True
        return False

    # ------------------------------------------------------------------------------------------------- telling

    def _tell(self, bad: int) -> Iterator[str]:
        """Tell the way to a state, one line for each step; workers keep their letters all the way."""
        path = [bad]
        while (parent := self._parents[path[-1]]) >= 0:
            path.append(parent)
        world, workers = self._unpack(self._order[0])
        for at in reversed(path[:-1]):
            world, workers, line = self._follow(world, workers, self._order[at])
            yield line

    def _follow(self, world: int, workers: list[int], wanted: int) -> tuple[int, list[int], str]:
        for step, actor, after in self._labelled(world, workers):
            if self._pack(step.world, after) == wanted:
                who = f"worker {'ABC'[actor]}" if actor >= 0 else "world"
                return step.world, after, f"{who:8} | {step.label}"
        raise AssertionError("a step of the walk cannot be found again")

    def _labelled(self, world: int, workers: list[int]) -> Iterator[tuple[Numbered, int, list[int]]]:
        for actor, worker in enumerate(workers):
            for step in self._book.acts(world, worker):
                after = [step.others(one) if step.others else one for one in workers]
                after[actor] = step.worker
                yield step, actor, after
        for step in self._book.happens(world, self._held(workers)):
            yield step, -1, [step.others(one) if step.others else one for one in workers]
