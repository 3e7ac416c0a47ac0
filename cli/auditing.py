"""audit: who did what in a task, with which arguments, answers, attempts, tokens and approvals."""

import asyncio
import json
from collections.abc import Iterable
from typing import Annotated

import typer
from temporalio.service import RPCError

from cli.audit_report import Audit, Sources, join
from cli.audit_view import audit_picture
from cli.connection import connect
from cli.errors import Exit, Unreachable
from cli.opening import leave
from cli.options import AsJson, ConfigPath, TaskId
from cli.outcomes import Outcome
from cli.passages import Passage, Spoken, passages, spoken
from cli.runs import Run, runs_of, which_counts
from cli.screen import Screen
from cli.tasks import Task
from config.settings import Settings, load
from core.errors import CallerError, LedgerDown
from core.ports import Ledger
from core.receipts import Line, Row, TaskRow
from core.record import Json

_LARGEST = 8 * 1024 * 1024
"""Bytes of one stored answer that are read back."""


def audit(
    task_id: TaskId,
    full: Annotated[bool, typer.Option("--full", help="Show every value uncut.")] = False,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Show every step: who, what, arguments, raw answer, attempts, tokens, latency, approvals."""
    screen = Screen(as_json=as_json)
    found = asyncio.run(make_audit(load(config), task_id))
    screen.show(audit_picture(found, full=full))
    screen.data(found)
    leave(Exit.DONE)


async def make_audit(settings: Settings, task_id: str) -> Audit:
    """Gather what ledger and Temporal know. What one of them cannot say is named; it is an error when neither knows.

    Raises CallerError for a task that nobody knows, Unreachable when neither can be asked.
    """
    missing: list[str] = []
    from_ledger = await _from_ledger(settings, task_id, missing)
    from_temporal, outcome, is_running = await _from_temporal(settings, task_id, from_ledger.task, missing)
    if from_ledger.task is None and not from_temporal.passages and not is_running and outcome is None:
        if len(missing) > 1:
            raise Unreachable("; ".join(missing))
        raise CallerError(f"nothing is known of a task {task_id!r}" + (f" ({missing[0]})" if missing else ""))
    history = {name: getattr(from_temporal, name) for name in ("runs", "passages", "spoken")}
    both = from_ledger.model_copy(update=history)
    status = outcome.status if outcome else "RUNNING" if is_running else ""
    answer = outcome.result.answer if outcome and outcome.result else ""
    return join(task_id, both).model_copy(update={"status": status, "answer": answer, "missing": tuple(missing)})


async def _from_ledger(settings: Settings, task_id: str, missing: list[str]) -> Sources:
    from ledger import open_ledger  # noqa: PLC0415 - brings the database library

    ledger = open_ledger(settings.ledger)
    try:
        task, rows = await ledger.task(task_id), await ledger.rows(task_id)
        lines = [line async for line in ledger.lines(task_id)]
        bodies = await _bodies(ledger, rows, lines)
    except LedgerDown as error:
        missing.append(f"what the ledger knows is missing: {error}")
        return Sources()
    finally:
        await ledger.close()
    return Sources(task=task, rows=tuple(rows), lines=tuple(lines), bodies=bodies)


async def _bodies(ledger: Ledger, rows: list[Row], lines: list[Line]) -> dict[str, Json]:
    """Read the answers that are too large for their rows."""
    wanted = {row.blob for row in rows} | {line.fields.get("blob") for line in lines}
    found: dict[str, Json] = {}
    for digest in wanted - {None}:
        body = await ledger.fetch(str(digest))
        if body is not None:
            found[str(digest)] = _decoded(body[:_LARGEST])
    return found


def _decoded(body: bytes) -> Json:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "backslashreplace")


async def _from_temporal(
    settings: Settings, task_id: str, bound: TaskRow | None, missing: list[str]
) -> tuple[Sources, Outcome | None, bool]:
    try:
        task = await which_counts(Task(await connect(settings), task_id), bound)
        outcome = await task.outcome()
        sources = await _history(task)
    except CallerError:
        missing.append("Temporal does not know this task (any more): attempts, latencies and signals are missing")
        return Sources(), None, False
    except (Unreachable, RPCError) as error:
        missing.append(f"attempts, latencies and signals are missing: {error}")
        return Sources(), None, False
    return sources, outcome, outcome is None


async def _history(task: Task) -> Sources:
    """Read all runs. A reset copies the events before it into the new run: these are told once."""
    runs = await runs_of(task)
    found: dict[tuple[object, ...], Passage] = {}
    said: dict[tuple[object, ...], Spoken] = {}
    for _, history in runs:
        found |= {(one.activity, one.step, one.key, one.at): one for one in passages(history.events)}
        said |= {(one.form, one.at, one.identity, str(one.payload)): one for one in spoken(history.events)}
    return Sources(
        runs=_told_apart(run for run, _ in runs), passages=tuple(found.values()), spoken=tuple(said.values())
    )


def _told_apart(runs: Iterable[Run]) -> tuple[Run, ...]:
    """One run needs no list."""
    found = tuple(runs)
    return found if len(found) > 1 else ()
