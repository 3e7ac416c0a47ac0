"""The three parts of the proof: the scenes without a violation, the mutants, and what rests on each assumption."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace

from trials.model.mutants import MUTANTS, Mutant
from trials.model.rules import Assumptions, Rules
from trials.model.scenes import LARGE, SMALL
from trials.model.search import Found, Search
from trials.results import Figure, Outcome, now, versions

FEWEST_STATES = 1_000_000
MOST_SECONDS = 90.0
FEWEST_MUTANTS = 20
_RESIDUALS = ("transactional", "idempotent", "keyed", "keyed, no probe", "probed", "unrepeatable")
_MEANINGS = {
    "sends_end": "a process stopped in the sending system call for longer than deadline and settle time",
    "packets_end": "a packet that arrives after deadline and settle time",
    "no_is_steady": "a provider that refuses a key and later applies an older packet of it",
    "people_know": "a person who says that it did not happen while it still may",
    "keys_last": "a provider that forgets a key inside its window",
}


@dataclass(slots=True)
class Proof:
    """What was found. `seconds`: of processor time for the scenes alone; `residuals`: assumption -> kind -> result."""

    is_full: bool = False
    scenes: list[Found] = field(default_factory=list)
    seconds: float = 0.0
    mutants: list[tuple[Mutant, Found]] = field(default_factory=list)
    residuals: dict[str, dict[str, Found]] = field(default_factory=dict)
    all_seconds: float = 0.0

    @property
    def states(self) -> int:
        """How many different states were seen."""
        return sum(found.states for found in self.scenes)


def prove(proof: Proof) -> Iterator[str]:
    """Do all of it, and tell it line by line."""
    began = time.process_time()
    yield from _search(proof)
    proof.seconds = time.process_time() - began
    yield f"{'all':36} {proof.states:>10,} {'':>10} {proof.seconds:7.1f}"
    yield from _mutate(proof)
    yield from _doubt(proof)
    proof.all_seconds = time.process_time() - began


def catch(mutant: Mutant) -> Found:
    """Search until a mutant breaks something; with nothing in `broken` it survives."""
    return Search(SMALL[mutant.scene], mutant.change(Rules()), at_first=True).run()


def _search(proof: Proof) -> Iterator[str]:
    yield f"{'scene':36} {'states':>10} {'steps':>10} seconds  violations"
    for scene in LARGE.values():
        began = time.process_time()
        found = Search(scene, Rules()).run()
        proof.scenes.append(found)
        seconds = time.process_time() - began
        yield f"{scene.name:36} {found.states:>10,} {found.steps:>10,} {seconds:7.1f}  {_told(found) or 'none'}"
        yield from (f"    {line}" for line in found.trace)


def _mutate(proof: Proof) -> Iterator[str]:
    yield f"\n{'mutant':24} breaks  steps  what it changes"
    for mutant in MUTANTS:
        found = catch(mutant)
        proof.mutants.append((mutant, found))
        kind = " (as found in the product)" if mutant.as_found else ""
        breaks = "/".join(found.broken) or "SURVIVES"
        yield f"{mutant.name:24} {breaks:6} {len(found.trace):6}  {mutant.says}{kind}"


def _doubt(proof: Proof) -> Iterator[str]:
    yield "\nwhat is assumed of the world, and what breaks without it"
    for one in fields(Assumptions):
        rules = replace(Rules(), world=replace(Assumptions(), **{one.name: False}))
        found = {name: Search(SMALL[name], rules, at_first=not proof.is_full).run() for name in _RESIDUALS}
        proof.residuals[one.name] = found
        yield f"{one.name:14} {_MEANINGS[one.name]}\n{'':14} {_rests(found)}"


def _told(found: Found) -> str:
    return ", ".join(f"{name} in {count:,} states" for name, count in found.broken.items())


def _rests(residual: dict[str, Found]) -> str:
    broken = [f"{name}: {'/'.join(found.broken)}" for name, found in residual.items() if found.broken]
    return "; ".join(broken) or "nothing rests on it"


def outcome_of(proof: Proof) -> Outcome:
    """Say it as figures."""
    return Outcome(
        trial="model",
        is_full=proof.is_full,
        sizes={found.scene.name: {"states": found.states, "steps": found.steps} for found in proof.scenes},
        figures=(*_bounds(proof), *(_residual(name, found) for name, found in proof.residuals.items())),
        seconds=round(proof.all_seconds, 1),
        at=now(),
        versions=versions(),
    )


def _bounds(proof: Proof) -> Iterator[Figure]:
    broken = [f"{found.scene.name}: {_told(found)}" for found in proof.scenes if found.broken]
    yield Figure(
        name="violations of G1 to G5",
        measured="; ".join(broken) or f"0 in {proof.states:,} states",
        must_be="0",
        holds=not broken,
    )
    yield Figure(
        name="different states",
        measured=f"{proof.states:,}",
        must_be=f"at least {FEWEST_STATES:,}",
        holds=proof.states >= FEWEST_STATES,
    )
    yield Figure(
        name="time of the search, one processor",
        measured=f"{proof.seconds:.1f} s",
        must_be=f"under {MOST_SECONDS:g} s",
        holds=proof.seconds < MOST_SECONDS if proof.is_full else None,
        note="judged in full only: before a change is taken, any machine may run the rest",
    )
    yield _caught(proof)


def _caught(proof: Proof) -> Figure:
    survivors = [mutant.name for mutant, found in proof.mutants if not found.broken]
    count = len(proof.mutants)
    return Figure(
        name="mutants of the rules that were caught",
        measured=f"{count - len(survivors)} of {count}",
        must_be=f"all, at least {FEWEST_MUTANTS}",
        holds=not survivors and count >= FEWEST_MUTANTS,
        note=", ".join(survivors) and f"survivors: {', '.join(survivors)}",
    )


def _residual(name: str, residual: dict[str, Found]) -> Figure:
    """An assumption on which nothing rests would be idle talk, or would not be looked at: that is a broken bound."""
    return Figure(
        name=f"residual {name}: {_MEANINGS[name]}",
        measured=_rests(residual),
        must_be="seen as a violation",
        holds=any(found.broken for found in residual.values()),
    )
