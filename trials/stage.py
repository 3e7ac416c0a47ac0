"""What a trial is played on: a real Temporal server with a database file, real worker processes, an agent's folder."""

import asyncio
import json
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError

from cli.devserver import DevServer, dev_server
from cli.worker_process import WorkerProcess
from core import names
from core.record import Json
from trials.counter import Counter, Missed

Task = WorkflowHandle[Any, Any]
_QUEUE = "lastmile"
_HARMLESS = (
    # a signal came while the decision was on its way: the server has the task decided once more
    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND,
)


@dataclass(frozen=True, slots=True)
class Stage:
    """The parts. `folder` holds the configuration, the ledger, the logs and a copy of the agents.

    ``environ``: variables that the workers get besides our own.
    """

    folder: Path
    server: DevServer
    client: Client
    counter: Counter
    agent: str
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """Return the configuration that the workers are started with."""
        return self.folder / "lastmile.toml"

    def script(self, task_id: str, replies: Sequence[Json]) -> None:
        """Write what the scripted model answers to one task."""
        path = self.folder / "agents" / self.agent / "scripts" / f"{task_id}.json"
        path.write_text(json.dumps({"replies": list(replies)}), encoding="utf-8")

    async def start(self, task_id: str, replies: Sequence[Json] | None = None, **inputs: Json) -> Task:
        """Start a task; `replies` is its own script."""
        if replies is not None:
            self.script(task_id, replies)
        wish = {"agent": self.agent, "goal": "be tried", "inputs": inputs, "requested_by": "kim"}
        return await self.client.start_workflow(names.WORKFLOW, wish, id=task_id, task_queue=_QUEUE)

    def worker(self, name: str = "worker") -> WorkerProcess:
        """Start `python worker.py`; its log is NAME.log."""
        environ = {**os.environ, "TRIAL_COUNTER": self.counter.url, **self.environ}
        return WorkerProcess(self.config, self.folder / f"{name}.log", environ)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[WorkerProcess]:
        """Have one worker poll for as long as the block lasts."""
        worker = self.worker()
        try:
            await worker.ready()
            yield worker
        finally:
            await worker.stop()

    def ledger(self, query: str, *values: Json) -> list[tuple[Any, ...]]:
        """Look into the ledger's file past the runtime."""
        with closing(sqlite3.connect(f"file:{self.folder / 'ledger.db'}?mode=ro", uri=True)) as file:
            return file.execute(query, values).fetchall()


@asynccontextmanager
async def staged(
    folder: Path, agents: Path, counter: Counter, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Stage]:
    """Set a stage up in `folder`: a copy of the one agent in `agents`, a server, a client. No worker polls yet."""
    agent = _copied(agents, folder / "agents")
    async with dev_server(folder / "server", headless=True) as server:
        stage = Stage(folder, server, await connected(server.address), counter, agent, environ or {})
        stage.config.write_text(_settings(server.address, counter.url), encoding="utf-8")
        yield stage


def _copied(agents: Path, folder: Path) -> str:
    [agent] = [path.name for path in agents.iterdir() if (path / "agent.toml").exists()]
    shutil.copytree(agents, folder)
    (folder / agent / "scripts").mkdir(exist_ok=True)
    return agent


async def connected(address: str) -> Client:
    """Connect to a server that answers."""
    return await Client.connect(address, data_converter=pydantic_data_converter)


def _settings(address: str, counter: str) -> str:
    return f"""ledger = "sqlite:///ledger.db"
[temporal]
address = "{address}"
task_queue = "{_QUEUE}"
[models."openai:trial"]
base_url = "{counter}/v1"
api = "chat"
[people.ana]
roles = ["finance"]
[people.ben]
roles = ["finance"]
[people.cleo]
roles = ["finance"]
[people.dana]
roles = ["finance"]
[people.eve]
roles = ["finance"]
"""


# ------------------------------------------------------------------------------------------- what became of a task


async def outcome(task: Task, limit_s: float = 120) -> dict[str, Any]:
    """Return the result of a task that ends, whichever way. Raises Missed when it does not."""
    try:
        result: dict[str, Any] = await asyncio.wait_for(task.result(), limit_s)
    except TimeoutError:
        raise Missed(f"the end of task {task.id}: not within {limit_s:g} s") from None
    except WorkflowFailureError as error:
        if isinstance(error.cause, ApplicationError) and error.cause.details:
            return dict(error.cause.details[0])
        return {"status": "FAILED", "reason": f"{error.cause}", "effects": [], "usage": {}}
    return result


async def status(task: Task, *wanted: str, limit_s: float = 60) -> dict[str, Any]:
    """Wait until a task has one of the statuses, and return its view. Raises Missed."""
    view: dict[str, Any] = {}
    try:
        async with asyncio.timeout(limit_s):
            while view.get("status") not in wanted:
                view = await asked(task)
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise Missed(f"task {task.id} {' or '.join(wanted)}: not within {limit_s:g} s, but {view}") from None
    return view


async def asked(task: Task) -> dict[str, Any]:
    """Ask a task where it stands; one that cannot answer yet has no status."""
    try:
        view: dict[str, Any] = await task.query("status")
    except Exception as error:  # noqa: BLE001 - not started yet, or no worker for a moment
        return {"status": "", "problem": repr(error)}
    return view


async def runs(client: Client, task: Task) -> AsyncIterator[Sequence[HistoryEvent]]:
    """Yield the events of each run of a task that went on in new runs, the first one first."""
    run_id = task.first_execution_run_id
    while run_id:
        events = (await client.get_workflow_handle(task.id, run_id=run_id).fetch_history()).events
        yield events
        run_id = events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id or None


def failures(events: Sequence[HistoryEvent]) -> list[str]:
    """Name the workflow tasks that failed: each hangs the task until somebody mends the code."""
    failed = [one for one in events if one.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED]
    attributes = [one.workflow_task_failed_event_attributes for one in failed]
    return [f"{one.failure.message}"[:300] for one in attributes if one.cause not in _HARMLESS]


def count_events(events: Sequence[HistoryEvent]) -> Mapping[str, int]:
    """Count events by type, such as ACTIVITY_TASK_SCHEDULED."""
    counts: dict[str, int] = {}
    for event in events:
        name = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")
        counts[name] = counts.get(name, 0) + 1
    return counts
