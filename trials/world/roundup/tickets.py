"""The trial: real tasks file tickets while answers are lost and workers killed; the tracker's database is counted."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.profile import EndStatus
from trials.recovery.crew import Crew, crewed
from trials.results import Figure, at_most
from trials.running import Run
from trials.stage import Stage, Task, asked, outcome
from trials.world import installed
from trials.world.roundup.losing import Committed, LosingProxy, losing
from trials.world.roundup.naive import NaiveClient, client_of
from trials.world.roundup.reader import CHATTING, reading
from trials.world.roundup.senders import sender_of
from trials.world.roundup.tracker import ENVIRONMENT, PASSWORD, USER, Issue, Tracker, tracker
from trials.world.stages import rest, world_stage

AGENT = Path(__file__).with_name("agents") / "ticket_desk"
SHARE = 0.2
_AT_ONCE = 4
_KILL_EACH = 7
_LIMIT_S = 240.0
_NOWHERE = "http://127.0.0.1:1"


async def roundup(run: Run) -> Sequence[Figure]:
    """File tickets through the runtime; then as many by the naive client, at a tracker of its own."""
    count = run.size("roundup: tickets", 12, 100)
    run.versions |= installed.versions(ENVIRONMENT, "roundup")
    run.baselines.append(await _naive(run, count))
    async with tracker() as made, losing(made.origin, SHARE, run.seed) as proxy, _stage(made, proxy) as stage:
        filed = Filed([_title(number) for number in range(count)])
        async with crewed(stage) as crew:
            await crew.complete()
            killer = Killer(crew)
            proxy.watcher = killer.watch
            await filed.by(stage, crew)
        return judge(made.issues(), filed, failed_calls(stage), Faults(proxy, killer.killed))


def _title(number: int) -> str:
    return f"the printer is on fire [T-{number:05}]"


@asynccontextmanager
async def _stage(made: Tracker, proxy: LosingProxy) -> AsyncIterator[Stage]:
    edits = {
        f'base_url = "{_NOWHERE}': f'base_url = "{proxy.url}',
        f'"Origin" = "{_NOWHERE}"': f'"Origin" = "{made.origin}"',
    }
    environ = {"ROUNDUP_USER": USER, "ROUNDUP_PASSWORD": PASSWORD}
    async with reading() as model:
        models = f'[models."openai:reader"]\nbase_url = "{model}/v1"\napi = "chat"'
        async with world_stage(AGENT, edits, models, environ) as stage:
            yield stage


@dataclass(slots=True)
class Killer:
    """Kills the sender of every `_KILL_EACH`-th write, between the commit and the answer."""

    crew: Crew
    killed: int = 0

    async def watch(self, write: Committed) -> None:
        """Kill, when it is this one's turn."""
        pid = sender_of(write.port, self.crew.pids) if write.number % _KILL_EACH == 0 else None
        if pid is not None:
            self.killed += 1
            await self.crew.kill(pid)


@dataclass(slots=True)
class Filed:
    """What was wished, and how the tasks ended, by title."""

    titles: Sequence[str]
    results: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def by(self, stage: Stage, crew: Crew) -> None:
        """Start all tasks, a few at a time, and wait for their ends. Raises Missed for one that stands still."""
        turn = asyncio.Semaphore(_AT_ONCE)

        async def file(number: int, title: str) -> None:
            async with turn:
                await crew.complete()
                task = await stage.start(f"ticket-{number}", title=title)
                self.results[title] = await _end(task)

        await asyncio.gather(*(file(number, title) for number, title in enumerate(self.titles)))


async def _end(task: Task) -> dict[str, Any]:
    """Return the result of a task, or where it stands when it asks somebody or stands still."""
    status = await rest(task, _LIMIT_S)
    if status in frozenset(EndStatus):
        return await outcome(task)
    view = await asked(task)
    return {"status": status, "reason": f"{view.get('waiting_for')} {view.get('problem', '')}"}


@dataclass(frozen=True, slots=True)
class Faults:
    """What was done to the runtime."""

    proxy: LosingProxy
    killed: int


def failed_calls(stage: Stage) -> Sequence[str]:
    """Name the writes that the planner was told had failed: here nothing should, so each would be a false no."""
    rows = stage.ledger(
        "select task_id, tool, message from lastmile_effects where state = 'FAILED' and effect != 'read'"
    )
    return [f"{task} {tool}: {message}"[:200] for task, tool, message in rows]


def judge(issues: Sequence[Issue], filed: Filed, refused: Sequence[str], faults: Faults) -> Sequence[Figure]:
    """Compare what the tracker holds with what the tasks say."""
    counted = Counter(issue.title for issue in issues)
    total = len(filed.titles)
    completed = {title for title, result in filed.results.items() if result["status"] == "COMPLETED"}
    others = {title: one for title, one in filed.results.items() if title not in completed}
    ends = [f"{title}: {one['status']} {one['reason']}"[:200] for title, one in others.items()]
    worked_on = {issue.title for issue in issues if (issue.status, issue.changes) == (CHATTING, 1)}
    return [
        _none("tickets filed twice, counted at Roundup", [title for title in counted if counted[title] > 1], total),
        _none("tasks completed without a ticket at Roundup", sorted(completed - set(counted)), total),
        _none("tickets without a completed task", sorted(set(counted) - completed), total),
        _none("tickets whose status was not set exactly once", sorted(completed - worked_on), total),
        _none("writes reported as failed that were carried out", refused, faults.proxy.writes),
        _none("tasks that ended otherwise than completed", ends, total),
        _faults(faults),
    ]


def _faults(faults: Faults) -> Figure:
    proxy = faults.proxy
    return Figure(
        name="roundup: faults",
        measured=(
            f"{proxy.lost} of {proxy.answers} answers lost, {proxy.lost_writes} of them to {proxy.writes} writes;"
            f" {faults.killed} workers killed after the commit"
        ),
        must_be="some of each",
        holds=proxy.lost_writes > 0 and faults.killed > 0,
    )


def _none(name: str, found: Sequence[str], of: int) -> Figure:
    return Figure(
        name=f"roundup: {name}",
        measured=at_most(len(found), of),
        must_be="0",
        holds=of > 0 and not found,
        note="; ".join(found[:3]),
    )


async def _naive(run: Run, count: int) -> Figure:
    async with tracker() as made, losing(made.origin, SHARE, run.seed) as proxy:
        async with client_of(proxy.url, made.origin) as http:
            client = NaiveClient(http)
            for number in range(count):
                await client.file(_title(number))
        counted = Counter(issue.title for issue in made.issues())
    extra = sum(counted.values()) - len(counted)
    return Figure(
        name="roundup: duplicates of a client that tries again, with the same tokens and If-Match",
        measured=f"{extra} duplicates of {count} tickets, {client.misled} times told no for what was done",
        must_be="seen",
        holds=extra > 0,
        note=f"{proxy.lost} of {proxy.answers} answers lost, no worker killed",
    )
