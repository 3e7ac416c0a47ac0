"""The story of `demo`: a refund on real services, whose worker is killed right after the money has moved."""

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from temporalio.client import Client

from cli.accompanying import accompany
from cli.asking import Approver
from cli.connection import connect
from cli.devserver import DevServer, dev_server
from cli.outcomes import Outcome
from cli.performance import ROOT
from cli.tasks import Task
from cli.telling import Teller
from cli.worker_process import WorkerProcess, running_worker
from config.settings import Settings, Temporal
from core import names
from core.errors import ConfigError
from core.task import TaskSpec
from demo.proxy import Hold
from demo.route import Route, choose_route
from demo.services import Services

ORDER = "1042"
CENTS = 25_000
SPEC = TaskSpec(
    agent="support_desk",
    goal=f"Order {ORDER} never arrived. Refund it in full, tell the customer, and write it down in their file.",
    inputs={"order_id": ORDER},
    requested_by="the shop",
)
_PATIENCE = timedelta(minutes=30)
"""How long it may take until the refund reaches the provider; a person may think about it."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs while the story is told."""

    folder: Path
    task_id: str
    settings: Settings
    services: Services
    server: DevServer
    client: Client

    @property
    def config(self) -> Path:
        """The configuration of the worker."""
        return self.folder / "lastmile.toml"

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment of the worker: ours, with the addresses of the services."""
        return {**os.environ, **self.services.environment()}


@asynccontextmanager
async def staged(teller: Teller, folder: Path) -> AsyncIterator[Stage]:
    """Start the services and a Temporal server, with all their files in `folder`, and end them afterwards."""
    route = choose_route(os.environ)
    with teller.busy("starting payment provider, mailbox, CRM, orders and Temporal"):
        async with AsyncExitStack() as stack:
            services = await stack.enter_async_context(Services.running(folder / "services"))
            server = await stack.enter_async_context(dev_server(folder / "temporal"))
            settings = _set_up(folder, server, route)
            stage = Stage(folder, f"refund-{ORDER}-{folder.name}", settings, services, server, await connect(settings))
            kept = stack.pop_all()
    async with kept:
        teller.tell("services started", "payments (localstripe), mail (SMTP), CRM (PocketBase), orders (SQLite)")
        teller.tell("Temporal started", f"its UI: {server.ui}")
        teller.tell("planner chosen", route.sentence)
        yield stage


def _set_up(folder: Path, server: DevServer, route: Route) -> Settings:
    """Write the worker's configuration: that of the checkout, with this server, and the agent with this route."""
    text = (ROOT / "lastmile.toml").read_text(encoding="utf-8")
    address = f"[temporal]\naddress = {json.dumps(server.address)}\n"
    (folder / "lastmile.toml").write_text(
        _replaced(text, r"\[temporal\].*\n(address = .*\n)?", address), encoding="utf-8"
    )
    agent = folder / "agents" / SPEC.agent
    shutil.copytree(ROOT / "agents" / SPEC.agent, agent, ignore=shutil.ignore_patterns("__pycache__"))
    file = agent / "agent.toml"
    models = f"models = {json.dumps(list(route.models))}\n"
    file.write_text(_replaced(file.read_text(encoding="utf-8"), r"models = .*\n", models), encoding="utf-8")
    ledger = f"sqlite:///{folder / 'var' / 'ledger.db'}"
    return Settings(folder=folder, ledger=ledger, temporal=Temporal(address=server.address))


def _replaced(text: str, lines: str, by: str) -> str:
    """Replace lines of a TOML file (what JSON writes of text and lists is TOML too). Raises ConfigError."""
    replaced, count = re.subn(rf"(?m)^{lines}", lambda _: by, text, count=1)
    if not count:
        raise ConfigError(f"the demo expects a line like {lines!r} in the checkout's own configuration")
    return replaced


class Story:
    """Plays the story on a stage, once."""

    def __init__(self, stage: Stage, teller: Teller, approver: Approver) -> None:
        self._stage = stage
        self._teller = teller
        self._approver = approver
        self.was_killed = False

    async def play(self, workers: AsyncExitStack) -> Outcome:
        """Start a worker and the task, and follow it to its end. The worker that is alive then is left to `workers`."""
        task_id = self._stage.task_id
        hold = self._stage.services.proxy.hold_next_refund()
        worker = await self._start_worker(workers)
        await self._start_task(task_id)
        async with asyncio.TaskGroup() as group:
            killing = group.create_task(self._kill(worker, hold, workers))
            outcome = await accompany(Task(self._stage.client, task_id), self._teller, self._approver)
            killing.cancel()
        return outcome

    async def _start_worker(self, workers: AsyncExitStack, word: str = "worker") -> WorkerProcess:
        stage = self._stage
        with self._teller.busy(f"starting a {word}"):
            running = running_worker(stage.config, stage.folder / "worker.log", stage.environ)
            worker = await workers.enter_async_context(running)
        self._teller.tell(f"{word} started", f"process {worker.pid}")
        return worker

    async def _start_task(self, task_id: str) -> None:
        await self._stage.client.start_workflow(
            names.WORKFLOW,
            SPEC.model_dump(mode="json", exclude_defaults=True),
            id=task_id,
            task_queue=self._stage.settings.temporal.task_queue,
            static_summary=f"{SPEC.agent}: {SPEC.goal}",
        )
        self._teller.tell(f"task started: {task_id}", SPEC.goal)

    async def _kill(self, worker: WorkerProcess, hold: Hold, workers: AsyncExitStack) -> None:
        """Kill the worker once the money has moved and nobody has heard of it; then start another one."""
        refund = await hold.taken(within=_PATIENCE)
        worker.kill()
        self.was_killed = True
        amount = f"{refund['amount'] / 100:.2f} {str(refund['currency']).upper()}"
        self._teller.alarm(f"the provider has taken the refund of {amount}", f"{refund['id']}; its answer is held back")
        self._teller.alarm("worker killed with SIGKILL", "it never heard that the money has moved, and left no receipt")
        hold.drop()
        await self._start_worker(workers, "new worker")
        self._teller.expect("Temporal misses the heartbeats of the call and hands it to the new worker")
