"""ls, show, watch: where tasks stand. The inbox is a query on Temporal's visibility, not another database."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text
from temporalio.client import WorkflowExecution, WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError, RPCStatusCode

from cli.errors import Exit
from cli.live import follow, look, show_end
from cli.live import watch as watch_task
from cli.opening import Desk, at_the_desk
from cli.options import AsJson, ConfigPath, TaskId, word_option
from cli.outcomes import Outcome
from cli.runs import agent_wanted, has_begun, task_that_counts
from cli.screen import ago, coloured
from cli.settling import InDoubt, calls_in_doubt, lines_of
from cli.stopping import show_stops
from cli.task_view import ending
from cli.tasks import NoWorker, Task
from core import names
from core.card import visible
from core.errors import CallerError
from core.record import Record
from core.task import Status

_STATUS = SearchAttributeKey.for_keyword(names.STATUS_ATTRIBUTE)
_AGENT = SearchAttributeKey.for_keyword(names.AGENT_ATTRIBUTE)
_WAITING_FOR = SearchAttributeKey.for_keyword_list(names.WAITING_FOR_ATTRIBUTE)
_FAILED = f"WorkflowType = '{names.WORKFLOW}' AND ExecutionStatus = 'Failed'"
_NOT_YET = datetime.max.replace(tzinfo=UTC)
_WAITING_SINCE = SearchAttributeKey.for_datetime(names.WAITING_SINCE_ATTRIBUTE)
_PAGE = 1_000
"""Runs that the server is asked for at once; a task may have had many."""


class Listed(Record):
    """One line of `ls`. Times are aware UTC; `status` is Temporal's own where ours is not known."""

    task_id: str
    agent: str
    status: str
    waiting_for: tuple[str, ...]
    waiting_since: datetime | None
    started_at: datetime
    ended_at: datetime | None


class Wanted(Record):
    """Which tasks are wanted."""

    status: Status | None
    agent: str | None
    waiting_for: str | None

    def query(self, *, is_waiting: bool = False) -> str:
        """Write the query for Temporal's visibility. `is_waiting`: only for tasks that wait for somebody."""
        parts = [f"WorkflowType = '{names.WORKFLOW}'"]
        if self.status is not None:
            parts.append(f"{names.STATUS_ATTRIBUTE} = '{self.status.value}'")
        if self.agent is not None:
            parts.append(f"{names.AGENT_ATTRIBUTE} = '{self.agent}'")
        if self.waiting_for is not None:
            parts.append(f"{names.WAITING_FOR_ATTRIBUTE} = '{self.waiting_for}' AND ExecutionStatus = 'Running'")
        if is_waiting:
            parts.append(f"{names.WAITING_FOR_ATTRIBUTE} IS NOT NULL AND ExecutionStatus = 'Running'")
        return " AND ".join(parts)

    @property
    def may_not_have_begun(self) -> bool:
        """Whether tasks are wanted that failed before they carried any search attribute."""
        return self.waiting_for is None and self.status in (None, Status.FAILED)

    def fits(self, one: Listed) -> bool:
        """Whether a task is wanted, where the server cannot say."""
        return (
            (self.status is None or one.status == self.status.value)
            and (self.agent is None or one.agent == self.agent)
            and (self.waiting_for is None or self.waiting_for in one.waiting_for)
        )


def ls(
    *,
    status: Annotated[
        Status | None, typer.Option("--status", case_sensitive=False, help="Only tasks that stand so.")
    ] = None,
    agent: Annotated[str | None, word_option("--agent", "Only tasks of this agent.")] = None,
    waiting_for: Annotated[str | None, word_option("--waiting-for", "Only what waits for this name or role.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many.")] = 50,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """List tasks: those that wait for somebody, then the others, newest first; and whom they wait for."""
    wanted = Wanted(status=status, agent=agent, waiting_for=waiting_for)

    async def verb(desk: Desk) -> Exit:
        found = await list_tasks(desk, wanted, limit)
        await show_stops(desk)
        desk.screen.show(_table(found) if found else "no tasks")
        if len(found) == limit:
            desk.screen.show(Text(f"only {limit} are shown; see --limit", style="dim"))
        desk.screen.data(found)
        return Exit.DONE

    at_the_desk(verb, config=config, as_json=as_json)


async def list_tasks(desk: Desk, wanted: Wanted, limit: int) -> list[Listed]:
    """Ask visibility, first for those that wait for somebody, however old they are; then for all, newest first.

    Where the server does not know our search attributes, each of the newest tasks is asked.
    """
    try:
        waiting = await _query(desk, wanted.query(is_waiting=True), limit)
        tasks = waiting | await _query(desk, wanted.query(), limit)
        if wanted.may_not_have_begun:
            tasks = _joined(tasks, await _never_begun(desk, wanted, limit))
        return _waiting_first(tasks)[:limit]
    except RPCError as error:
        if error.status is not RPCStatusCode.INVALID_ARGUMENT:
            raise
    plain = await _query(desk, f"WorkflowType = '{names.WORKFLOW}'", limit)
    listed = await asyncio.gather(*[_asked(desk, one) for one in plain.values()])
    return _waiting_first({one.task_id: one for one in listed if wanted.fits(one)})


async def _query(desk: Desk, query: str, limit: int) -> dict[str, Listed]:
    """Return tasks by id, newest first, each by one of its runs."""
    tasks: dict[str, Listed] = {}
    async for run in desk.client.list_workflows(query, page_size=min(limit, _PAGE)):
        one = _listed(run)
        if len(tasks) == limit and one.task_id not in tasks:
            break
        newer = tasks.setdefault(one.task_id, one)
        if newer.ended_at is not None and not newer.agent and one.agent:
            tasks[one.task_id] = one  # the newer one was refused, since the id had run before
    return tasks


async def _never_begun(desk: Desk, wanted: Wanted, limit: int) -> list[Listed]:
    """Find what failed before it had search attributes: a bad input, an agent that is broken or not there.

    A second start under the id of a task that did begin is left out: that task is what the id stands for.
    """
    query = f"{_FAILED} AND {names.STATUS_ATTRIBUTE} IS NULL"
    found = [one async for one in desk.client.list_workflows(query, limit=limit)]
    listed = await asyncio.gather(*(_unless_begun(desk, one) for one in found))
    return [one for one in listed if one is not None and wanted.fits(one)]


async def _unless_begun(desk: Desk, found: WorkflowExecution) -> Listed | None:
    task = Task(desk.client, found.id, found.run_id)
    if await has_begun(task):
        return None
    return _listed(found).model_copy(update={"agent": await agent_wanted(task)})


def _joined(tasks: dict[str, Listed], others: list[Listed]) -> dict[str, Listed]:
    """Add tasks that are not known, and to known runs what is known better; a later run of the id stays."""
    tasks = dict(tasks)
    for one in others:
        if tasks.setdefault(one.task_id, one).started_at == one.started_at:
            tasks[one.task_id] = one
    return tasks


def _waiting_first(tasks: dict[str, Listed]) -> list[Listed]:
    """Put those that wait first; the others, and they too, in the server's order: open ones, then the last to end."""
    newest = sorted(tasks.values(), key=lambda one: (one.ended_at or _NOT_YET, one.started_at), reverse=True)
    return sorted(newest, key=lambda one: not one.waiting_for)


def _listed(found: WorkflowExecution) -> Listed:
    known = found.typed_search_attributes
    temporal = found.status.name if found.status else "RUNNING"
    is_running = found.status is WorkflowExecutionStatus.RUNNING
    ours = known.get(_STATUS) or ""
    return Listed(
        task_id=found.id,
        agent=known.get(_AGENT) or "",
        status=_status(ours, temporal),
        waiting_for=tuple(known.get(_WAITING_FOR) or ()) if is_running else (),
        waiting_since=known.get(_WAITING_SINCE) if is_running else None,
        started_at=found.start_time,
        ended_at=found.close_time,
    )


def _status(ours: str, temporal: str) -> str:
    """Prefer our word, but not one that says a task goes on when Temporal has ended it."""
    if not ours or temporal in ("TERMINATED", "TIMED_OUT"):
        return {"CANCELED": "CANCELLED"}.get(temporal, temporal)
    return ours


async def _asked(desk: Desk, one: Listed) -> Listed:
    if one.ended_at is not None:
        return one
    try:
        view = await desk.task(one.task_id).status()
    except (NoWorker, CallerError):
        return one
    return one.model_copy(update={"agent": view.agent, "status": view.status.value, "waiting_for": view.waiting_for})


def _table(found: list[Listed]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("task", "agent", "status", "waits for", "started"):
        table.add_column(name, overflow="fold", no_wrap=name in ("status", "started"))
    for one in found:
        since = f" ({ago(one.waiting_since)})" if one.waiting_since and one.waiting_for else ""
        table.add_row(
            Text(visible(one.task_id), style="bold"),
            visible(one.agent),
            coloured(one.status),
            visible(", ".join(one.waiting_for)) + since,
            ago(one.started_at),
        )
    return table


def show(task_id: TaskId, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Show a task: where it stands, its steps, what it asks and of whom, or how it ended."""

    async def verb(desk: Desk) -> Exit:
        outcome = await (await task_that_counts(desk, task_id)).outcome()
        if outcome is None:
            await show_stops(desk)
            return await _show_running(desk, task_id)
        doubts = await calls_in_doubt(desk, task_id) if outcome.result is None else []
        desk.screen.show(Text(visible(task_id), style="bold"), ending(outcome), *_untold(task_id, outcome, doubts))
        desk.screen.data({**_ended(task_id, outcome), "in_doubt": doubts})
        return Exit.DONE

    at_the_desk(verb, config=config, as_json=as_json)


async def _show_running(desk: Desk, task_id: str) -> Exit:
    try:
        seen = await look(desk.task(task_id))
    except NoWorker:
        known = _listed(await desk.task(task_id).describe())
        desk.screen.show(_table([known]))
        desk.screen.data(known)
        raise
    doubts = await calls_in_doubt(desk, task_id)
    desk.screen.show(seen.picture(), *lines_of(doubts))
    if seen.status is not None:
        requests = [one.model_dump(mode="json") for one in seen.requests]
        more = {"requests": requests, "in_doubt": doubts, "result": None}
        desk.screen.data({**seen.status.model_dump(mode="json"), **more})
    return Exit.DONE


def _untold(task_id: str, outcome: Outcome, doubts: Sequence[InDoubt]) -> list[Text]:
    """Say where to look for what a task did that was ended from outside, and could give no result."""
    if outcome.result is not None:
        return []
    where = f"\nIt could not say what it did. The ledger does: python starter.py audit {task_id}"
    settling = ["Settle it: python starter.py settle KEY happened|did_not_happen|write_off --by NAME (KEY: see doubts)"]
    return [Text(where), *lines_of(doubts), *map(Text, settling if doubts else [])]


def _ended(task_id: str, outcome: Outcome) -> dict[str, object]:
    result = outcome.result.model_dump(mode="json") if outcome.result else None
    return {"task_id": task_id, "status": outcome.status, "reason": outcome.reason, "requests": [], "result": result}


def watch(task_id: TaskId, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Follow a task to its end, live. With --json: a line for each change, the last one with the result."""

    async def verb(desk: Desk) -> Exit:
        task = await task_that_counts(desk, task_id)
        await show_stops(desk)
        outcome = await (_stream(desk, task) if as_json else watch_task(desk.screen, task))
        if not as_json:
            show_end(desk.screen, outcome)
        return Exit.DONE if outcome.is_completed else Exit.NO

    at_the_desk(verb, config=config, as_json=as_json)


async def _stream(desk: Desk, task: Task) -> Outcome:
    async for seen in follow(task):
        if seen.outcome is not None:
            desk.screen.data(_ended(task.id, seen.outcome), on_one_line=True)
            return seen.outcome
        if seen.status is not None:
            requests = [one.model_dump(mode="json") for one in seen.requests]
            desk.screen.data({**seen.status.model_dump(mode="json"), "requests": requests}, on_one_line=True)
    raise AssertionError("a followed task ends with an outcome")
