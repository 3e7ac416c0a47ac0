"""What must hold of a llmock and the tasks that asked it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.task import Status
from trials.results import Figure, at_most
from trials.stage import Stage
from trials.world.llmock.attempts import Asked, Attempts, asked, compare, unread
from trials.world.llmock.mocking import Mock

_GOOD = (Status.COMPLETED, Status.AWAITING_PERSON)


@dataclass(slots=True)
class Seen:
    """What became of the tasks: where they came to rest, by id, and their attempts at asking a model.

    ``wrong``: what came to rest otherwise than it has to; ``cut``: how many attempts were under way in a worker that
    was killed.
    """

    ends: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    attempts: Attempts = field(default_factory=Attempts)
    cut: int = 0

    def note(self, task_id: str, end: str, wanted: Sequence[Status] = _GOOD) -> None:
        """Note where a task came to rest, and whether it may."""
        self.ends[task_id] = end
        if end not in wanted:
            self.wrong.append(f"{task_id}: {end}, not {' or '.join(wanted)}")

    def close(self, stage: Stage) -> None:
        """Count the attempts of a stage whose tasks have come to rest."""
        self.attempts.read(stage)


async def judge(name: str, mock: Mock, seen: Seen) -> Sequence[Figure]:
    """Judge one llmock: its verdict, the tasks, and each request for itself."""
    journal = await mock.requests()
    requests = asked(journal)
    streams = [one["path"] for one in journal if one["stream"]]
    ends = ", ".join(f"{end} {list(seen.ends.values()).count(end)}" for end in sorted(set(seen.ends.values())))
    return [
        _none(f"llmock, {name}: tasks that neither end well nor ask, as they should", seen.wrong, len(seen.ends), ends),
        _verdict(name, await mock.verdict(), unread(requests, seen.attempts)),
        _equal(name, requests, seen),
        _none(f"llmock, {name}: requests that asked for a stream", streams, len(journal)),
    ]


def _verdict(name: str, verdict: dict[str, Any], lost: frozenset[int]) -> Figure:
    """Take llmock's word, but for what followed an answer that nobody lived to read: that killed worker's, not ours."""
    errors = [one for one in verdict["findings"] if one["severity"] == "error"]
    ours = [one for one in errors if one["requests"][0] not in lost]
    said = sorted({f"{one['severity']} {one['code']}" for one in verdict["findings"]})
    if excused := len(errors) - len(ours):
        said.append(f"{excused} errors not counted: the answer that they rest on came to a killed worker")
    return Figure(
        name=f"llmock, {name}: its verdict",
        measured=f"{len(ours)} errors, {verdict['warnings']} warnings at {verdict['faults_injected']} faults",
        must_be="passed, with faults",
        holds=not ours and verdict["faults_injected"] > 0,
        note=", ".join(said),
    )


def _equal(name: str, requests: Mapping[Asked, Sequence[int]], seen: Seen) -> Figure:
    total = sum(len(numbers) for numbers in requests.values())
    attempts = seen.attempts
    found, left = compare(requests, attempts), attempts.left.total()
    told = f"{left} attempts left by killed workers, {found.left_sent} of them sent" if seen.cut else ""
    wrong = [*_named("more requests than attempts", found.uncounted), *_named("never sent", found.unseen)]
    wrong += [f"{left} attempts never settled, {seen.cut} were under way in killed workers"] if left > seen.cut else []
    wrong += ["no request was left by a killed worker"] if seen.cut and not found.left_sent else []
    return Figure(
        name=f"llmock, {name}: requests that it got, and attempts in the ledger",
        measured=f"{total} and {attempts.settled.total() + left}",
        must_be="equal, for each task and model" + (", but for what killed workers left" if seen.cut else ""),
        holds=total > 0 and not wrong,
        note="; ".join([*filter(None, [told]), *wrong[:3]]),
    )


def _named(what: str, found: dict[Asked, int]) -> list[str]:
    return [f"{what}: {task} at {model}, {count}" for (task, model), count in found.items()]


def _none(name: str, found: Sequence[str], of: int, note: str = "") -> Figure:
    said = "; ".join(found[:3]) or note
    return Figure(name=name, measured=at_most(len(found), of), must_be="0", holds=of > 0 and not found, note=said)
