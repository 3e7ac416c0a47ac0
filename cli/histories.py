"""history, replay: take a task's history out, and run it against today's code to see whether it decides the same."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from cli.connection import connect
from cli.errors import Exit, Unreachable
from cli.opening import Desk, at_the_desk, leave
from cli.options import AsJson, ConfigPath, TaskId, read_file
from cli.runs import fetch_history, fetch_runs, task_that_counts
from cli.screen import Screen
from cli.tasks import Task
from config.settings import load
from core import names
from core.card import visible
from core.errors import CallerError
from core.record import Record


class Replayed(Record):
    """What a replay brought to light. `difference`: the first event that differs, in words; "" when nothing does."""

    source: str
    task_id: str
    run_id: str
    events: int
    difference: str = ""


def history(
    task_id: TaskId,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write to a file.")] = None,
    run: Annotated[
        str, typer.Option("--run", help="Which run, where a task went on in several (default: the one that counts).")
    ] = "",
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Take out the event history as JSON, as Temporal's own tools read and write it."""

    async def verb(desk: Desk) -> Exit:
        found = await fetch_history(desk.task(task_id) if run else await task_that_counts(desk, task_id), run)
        text = found.to_json()
        if output is None:
            desk.screen.out.file.write(text + "\n")
            return Exit.DONE
        _write(output, text)
        desk.screen.show(f"wrote {len(found.events)} events to {output}")
        desk.screen.data({"task_id": task_id, "events": len(found.events), "file": str(output)})
        return Exit.DONE

    at_the_desk(verb, config=config, as_json=as_json)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CallerError(f"{str(path)!r} cannot be written: {reason}") from None


def replay(
    sources: Annotated[list[str], typer.Argument(metavar="ID|FILE...", help="Tasks, and files written by `history`.")],
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Run histories against today's code: the same decisions, or the first event that differs (exit code 1)."""
    screen = Screen(as_json=as_json)
    found = asyncio.run(_replay_all(sources, config, screen))
    screen.data(found)
    leave(Exit.NO if any(one.difference for one in found) else Exit.DONE)


async def _replay_all(sources: list[str], config: Path | None, screen: Screen) -> list[Replayed]:
    found = []
    for source in sources:
        async for one in _histories(source, config):
            replayed = await replay_one(source, one)
            screen.show(_told(replayed))
            found.append(replayed)
    return found


async def _histories(source: str, config: Path | None) -> AsyncIterator[WorkflowHistory]:
    if _is_file(source):
        yield read_history(Path(source))
        return
    if not source.isprintable() or not source.strip():
        raise CallerError(f"{source[:60]!r} is neither a file nor a task's id")
    try:
        client = await connect(load(config))
    except Unreachable as error:
        raise Unreachable(f"there is no file {source!r}, and as a task it cannot be fetched: {error}") from error
    async for one in fetch_runs(Task(client, source)):
        yield one


def _is_file(source: str) -> bool:
    try:
        return Path(source).is_file()
    except (OSError, ValueError):
        return False


def read_history(path: Path) -> WorkflowHistory:
    """Read a history from a file. Raises CallerError when it is none."""
    text = read_file(path, "the history")
    try:
        events = WorkflowHistory.from_json("", text).events
    except Exception as error:  # noqa: BLE001 - the reader of histories raises whatever a wrong file makes it stumble over
        raise CallerError(f"{str(path)!r} is no history: {type(error).__name__}: {str(error)[:200]}") from None
    if not events or events[0].event_type != EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
        raise CallerError(f"{str(path)!r} is no history: it does not begin with the start of a workflow")
    started = events[0].workflow_execution_started_event_attributes
    if started.workflow_type.name != names.WORKFLOW:
        raise CallerError(
            f"{str(path)!r} is the history of a workflow {started.workflow_type.name!r}, not of a task of Lastmile"
        )
    return WorkflowHistory(started.workflow_id or path.stem, events)


async def replay_one(source: str, history: WorkflowHistory) -> Replayed:
    """Run one history through the workflow as it is today."""
    from workflows.agent_task import AgentTask  # noqa: PLC0415 - only who replays needs the workflow
    from workflows.runner import sandboxed  # noqa: PLC0415

    replayer = Replayer(workflows=[AgentTask], data_converter=pydantic_data_converter, workflow_runner=sandboxed())
    result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
    failure = result.replay_failure
    return Replayed(
        source=source,
        task_id=history.workflow_id,
        run_id=history.events[0].workflow_execution_started_event_attributes.original_execution_run_id,
        events=len(history.events),
        difference=_difference(failure, history) if failure else "",
    )


_MESSAGE = re.compile(r'message: "((?:[^"\\]|\\.)*)"')
_NUMBER = re.compile(r"(?:event id: |event_id: |HistoryEvent\(id: )(\d+)")
_QUOTED = re.compile(r"event '([^']+)'")


def _difference(failure: Exception, history: WorkflowHistory) -> str:
    """Name the event of the history at which today's code decides otherwise, as far as the SDK says it."""
    text = " ".join(str(failure).split()) or type(failure).__name__
    if found := _MESSAGE.search(text):
        text = found[1].removeprefix("[TMPRL1100] ")
    event = _event(text, history)
    kind = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_").lower() if event else ""
    return f"event {event.event_id} ({kind}): {text[:1000]}" if event else text[:1000]


def _event(text: str, history: WorkflowHistory) -> HistoryEvent | None:
    """Find the event that a message is about: by its number, or as the first one that names what the message quotes."""
    if number := _NUMBER.search(text):
        return next((one for one in history.events if one.event_id == int(number[1])), None)
    if quoted := _QUOTED.search(text):
        return next((one for one in history.events if f'"{quoted[1]}"' in str(one)), None)
    return None


def _told(one: Replayed) -> Text:
    name = Text(visible(f"{one.source}: "), style="bold")
    if one.difference:
        return name.append(visible(f"differs: {one.difference}"), style="red")
    return name.append(f"replayed {one.events} events, same decisions", style="not bold green")
