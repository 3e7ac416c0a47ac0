"""Turns what the runs brought into the lines of the table, each with its bound."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from trials.results import Figure, at_most
from trials.storm.bank_faults import ON_WRITES
from trials.storm.baselines import WAYS, Naive
from trials.storm.checker import NAMED_WITHIN_S, Judgement, Sort
from trials.storm.running import Ran
from trials.storm.truth import Blow, Kind

LEAST_RATIO = 0.6
"""Throughput under the storm over that without faults."""

LEAST_EFFECTS = 30_000
"""Of a full storm."""

_NAMES = {
    Sort.DUPLICATE: "duplicates",
    Sort.LOST: "lost",
    Sort.FALSE_RECEIPT: "false receipts",
    Sort.PHANTOM: "phantoms",
    Sort.WRONG_PAYLOAD: "wrong payloads",
    Sort.UNAUTHORISED: "unauthorised",
    Sort.STUCK: "stuck tasks",
    Sort.WRONG_END: "tasks that ended otherwise than they may",
}
_PER_TASK = (Sort.STUCK, Sort.WRONG_END)
_MOST_S_PER_KILL = 30.0
"""A storm in which a worker was killed less often than this did not blow."""


def of_sins(ran: Ran) -> Iterator[Figure]:
    """Yield a line for each sort of sin: none may be."""
    for sort, name in _NAMES.items():
        count = ran.judgement.count(sort)
        trials = len(ran.truth.tasks) if sort in _PER_TASK else ran.judgement.applications
        note = "; ".join(f"{sin.task_id} {sin.memo}: {sin.what}" for sin in ran.judgement.sins if sin.sort is sort)
        measured = at_most(count, trials)
        yield Figure(
            name=f"{name} ({ran.weather.name})", measured=measured, must_be="0", holds=count == 0, note=note[:500]
        )


def of_doubts(judgement: Judgement) -> Iterator[Figure]:
    """Yield a line for each kind of effect: what was still open after the quiet, and whether somebody is named."""
    found = Counter(doubt.kind for doubt in judgement.doubts)
    for kind in Kind:
        if kind is not Kind.UNREPEATABLE:
            count = found[kind.value]
            yield Figure(name=f"open doubts, {kind.value}", measured=str(count), must_be="0", holds=count == 0)
    yield _named(judgement)


def _named(judgement: Judgement) -> Figure:
    """Doubts that only a person can settle: those left open, and how long it took until somebody was named."""
    still = [doubt for doubt in judgement.doubts if doubt.kind == Kind.UNREPEATABLE.value]
    nobody = [doubt for doubt in still if not doubt.named]
    worst = max(judgement.delays, default=0.0)
    return Figure(
        name="open doubts, unrepeatable",
        measured=f"{len(still)} open, {len(nobody)} without a person; {len(judgement.delays)} in all, named within "
        f"{worst:.1f} s of the send",
        must_be=f"a person named within {NAMED_WITHIN_S:.0f} s",
        holds=not nobody and worst <= NAMED_WITHIN_S,
        note="; ".join(f"{one.task_id} {one.memo} {one.key} {one.state}" for one in nobody)[:500],
    )


def of_size(ran: Ran) -> Figure:
    """Tell how many effects there were in all."""
    count = ran.judgement.applications
    return Figure(
        name="effects", measured=str(count), must_be=f"at least {LEAST_EFFECTS}", holds=count >= LEAST_EFFECTS
    )


def of_waiting(ran: Ran) -> Figure:
    """Tell how many tasks still waited for people when the time was over."""
    count = ran.ends.get("RUNNING", 0)
    return Figure(name=f"tasks that still ran at the end ({ran.weather.name})", measured=str(count))


def of_throughput(calm: Ran, storm: Ran, *, is_judged: bool = True) -> Figure:
    """Compare how fast tasks ended, one run after the other; in a minute's sample it is told, not judged."""
    ratio = storm.per_s / calm.per_s if calm.per_s else 0.0
    return Figure(
        name="throughput under the storm / without faults",
        measured=f"{ratio:.2f} ({storm.per_s:.2f} and {calm.per_s:.2f} tasks a second)",
        must_be=f"at least {LEAST_RATIO}",
        holds=ratio >= LEAST_RATIO if is_judged else None,
        note=f"the same {len(storm.truth.tasks):,} tasks, until nine in ten had ended; the last ones wait for people. "
        "Workers are forked from a warm process",
    )


def of_blows(storm: Ran) -> Iterator[Figure]:
    """Yield what was done: a storm that did not blow proves nothing."""
    for name, least in _least(storm).items():
        count = storm.blows.get(name, 0)
        yield Figure(name=f"blows: {name}", measured=str(count), must_be=f"at least {least}", holds=count >= least)


def _least(storm: Ran) -> Mapping[str, int]:
    planned = Counter(task.blow for task in storm.truth.tasks)
    of_tasks = {f"task.{blow.value}": min(planned[blow], 1) for blow in Blow if blow is not Blow.NONE}
    signals = dict.fromkeys([f"signal.{kind}" for kind in ("duplicate", "stale", "forged", "undecodable")], 1)
    return {
        "worker.kill": max(int(storm.seconds / _MOST_S_PER_KILL), 1),
        "worker.stop": 1,
        "server.kill": 1,
        "ledger.lock": 1,
        **signals,
        **of_tasks,
        **{f"bank.{fault.value}": 1 for fault in ON_WRITES},
    }


def of_naive(naive: Sequence[Naive]) -> Iterator[Figure]:
    """Yield what the naive ways brought; one without a duplicate would show that the oracle is blind."""
    for one in naive:
        yield Figure(
            name=f"{WAYS[one.way]}: duplicates",
            measured=f"{one.duplicates} of {one.applications} applications, {one.lost} lost "
            f"({one.tasks} tasks, {one.kills} kills)",
            must_be="at least 1",
            holds=one.duplicates > 0,
        )


def of_deployments(ran: Ran) -> Iterator[Figure]:
    """Yield the lines of the deployments under load."""
    count, wanted = ran.blows.get("worker.sigterm", 0), ran.weather.deployments
    yield Figure(name="SIGTERM deployments", measured=str(count), must_be=str(wanted), holds=count >= wanted)
    load = f"{ran.ended} tasks, {ran.judgement.applications} effects, {ran.per_s:.2f} tasks a second"
    yield Figure(name="load during the deployments", measured=load, must_be="tasks ended", holds=ran.ended > 0)
