"""The performance behind `demo AGENT`: an agent's example, with all that it needs, to the receipts of its task."""

import json
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from cli.accompanying import accompany
from cli.asking import Approver, Nobody, Somebody
from cli.audit_view import audit_picture
from cli.auditing import make_audit
from cli.connection import connect
from cli.devserver import DevServer, dev_server
from cli.errors import Exit, Unreachable
from cli.performance import ROOT, bounds, is_somebody_there, perform_in_folder, stay_up, tell_end
from cli.running import require_agent
from cli.screen import Screen, grid
from cli.tasks import Task
from cli.telling import Teller
from cli.worker_process import running_worker
from config.agents import find_folder
from config.example_file import ExampleFile, ServiceTable, read_example
from config.settings import Settings, Temporal
from core import names
from core.record import Json
from core.task import TaskSpec
from demo.child import Child

_KEPT = frozenset({"models", "providers", "budgets", "people"})
"""Of the configuration: what says how an agent works. Where it works is ours here."""


async def try_agent(screen: Screen, settings: Settings, agent: str, *, stay: bool) -> Exit:
    """Play the example of an agent. Raises CallerError, ConfigError for an agent or example that cannot be used."""
    require_agent(settings, agent)
    source = find_folder(settings, agent)
    example = read_example(source)

    async def play(teller: Teller, folder: Path) -> Exit:
        async with staged(teller, settings, source, folder, example) as stage:
            return await _play(teller, stage, stay=stay)

    return await perform_in_folder(screen, play)


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs while the example does."""

    example: ExampleFile
    agent: str
    task_id: str
    settings: Settings
    server: DevServer


@asynccontextmanager
async def staged(
    teller: Teller, settings: Settings, source: Path, folder: Path, example: ExampleFile
) -> AsyncIterator[Stage]:
    """Start services, Temporal and a worker for a copy of the agent, with all their files in `folder`."""
    environ = {**os.environ, **example.environ}
    async with AsyncExitStack() as stack:
        (folder / "var").mkdir(parents=True)
        copied = folder / "agents" / source.name
        shutil.copytree(source, copied, ignore=shutil.ignore_patterns("__pycache__"))
        for number, service in enumerate(example.service, 1):
            starting = _Starting(service, copied, folder / f"service-{number}.log", environ)
            await _start_service(teller, starting, stack)
        with teller.busy("starting Temporal"):
            server = await stack.enter_async_context(dev_server(folder / "temporal"))
        teller.tell("Temporal started", f"its UI: {server.ui}")
        ours = _set_up(folder, settings, server)
        with teller.busy("starting a worker"):
            worker = running_worker(folder / "lastmile.toml", folder / "worker.log", environ)
            running = await stack.enter_async_context(worker)
        teller.tell("worker started", f"process {running.pid}")
        yield Stage(example, source.name, f"{source.name}-{folder.name}", ours, server)


@dataclass(frozen=True, slots=True)
class _Starting:
    """A service, and how it is started. `folder`: that of the agent."""

    service: ServiceTable
    folder: Path
    log: Path
    environ: Mapping[str, str]

    def child(self) -> Child:
        """Start it; it may be a module of this checkout too (``python -m``)."""
        path = os.pathsep.join(filter(None, [str(ROOT), self.environ.get("PYTHONPATH", "")]))
        environ = {**self.environ, "PYTHONPATH": path}
        name = " ".join(self.service.command)
        return Child(name, _program(self.service), self.log, environ=environ, folder=self.folder)


async def _start_service(teller: Teller, starting: _Starting, stack: AsyncExitStack) -> None:
    service = starting.service
    name, address = " ".join(service.command), f"127.0.0.1:{service.port}"
    if await _answers(service.port):
        raise Unreachable(f"something else answers at {address}, where the example starts {name!r}: end that first")
    with teller.busy(f"starting {name}"):
        child = starting.child()
        stack.push_async_callback(child.stop)
        await child.ready(lambda: _answers(service.port))
    teller.tell("service started", f"{name}, at {address}")


def _program(service: ServiceTable) -> list[str]:
    """Take our own Python for ``python``. Raises Unreachable for a program that is not there."""
    first, *rest = service.command
    if first in ("python", "python3"):
        return [sys.executable, *rest]
    if (found := shutil.which(first)) is None:
        raise Unreachable(f"there is no program {first!r}; install it, or mend `command` in example.toml")
    return [found, *rest]


async def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _set_up(folder: Path, settings: Settings, server: DevServer) -> Settings:
    """Write the worker's configuration."""
    kept = settings.model_dump(mode="json", include=set(_KEPT), exclude_defaults=True, exclude_none=True)
    tables = {**kept, "temporal": {"address": server.address}}
    lines = [f"{name} = {toml_of(value)}\n" for name, value in tables.items()]
    (folder / "lastmile.toml").write_text("".join(lines), encoding="utf-8")
    ledger = f"sqlite:///{folder / 'var' / 'ledger.db'}"
    return Settings(folder=folder, ledger=ledger, temporal=Temporal(address=server.address))


def toml_of(value: Json) -> str:
    """Write a value (no null in it) as TOML: tables on one line; of all else, what JSON writes is TOML too, but DEL."""
    match value:
        case dict():
            return "{" + ", ".join(f"{toml_of(name)} = {toml_of(item)}" for name, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(toml_of, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _approver(example: ExampleFile, teller: Teller, *, is_present: bool) -> Approver:
    """Ask whoever is there. Where nobody is, only the example itself may say that somebody approves."""
    if not is_present and example.approver is None:
        return Nobody(teller)
    return Somebody(example.approver or "somebody", teller, is_present=is_present)


async def _play(teller: Teller, stage: Stage, *, stay: bool) -> Exit:
    is_present = is_somebody_there(teller)
    approver = _approver(stage.example, teller, is_present=is_present)
    task = Task(await connect(stage.settings), stage.task_id)
    spec = TaskSpec(agent=stage.agent, goal=stage.example.goal, inputs=stage.example.inputs)
    await task.client.start_workflow(
        names.WORKFLOW,
        spec.model_dump(mode="json", exclude_defaults=True),
        id=task.id,
        task_queue=stage.settings.temporal.task_queue,
        static_summary=f"{spec.agent}: {spec.goal}"[:200],
    )
    teller.tell(f"task started: {task.id}", spec.goal)
    async with bounds(is_present=is_present):
        outcome = await accompany(task, teller, approver)
    teller.rest()
    tell_end(teller, outcome)
    audit = await make_audit(stage.settings, task.id)
    page = Text(stage.server.page(task.id), style="bold cyan")
    teller.screen.show(Text("\nThe audit", style="bold underline"), audit_picture(audit, full=False))
    teller.screen.show("", grid(("Temporal UI", page)) if stay else "")
    teller.screen.data(audit)
    if stay:
        file = stage.settings.folder / "lastmile.toml"
        await stay_up(teller, f"export LASTMILE_CONFIG={file}", f"python starter.py show {task.id}")
    return Exit.DONE if outcome.is_completed else Exit.NO
