"""The worker, and the composition root: the only place that knows every part. It wires; it decides nothing.

``python worker.py [--config lastmile.toml]`` polls until SIGTERM or Ctrl-C, then drains: calls under way end first.
A second signal ends it at once; what was under way is then settled by the next worker.
"""

from cli.interrupts import leave_on_interrupt

if __name__ == "__main__":
    leave_on_interrupt()  # until `serve` hears signals there is nothing to drain

import argparse
import asyncio
import hashlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, MutableMapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from temporalio.client import Client
from temporalio.worker import Worker

from activities import Completer, Needs, TemporalRuns, build_activities, build_completer, build_planning
from cli.attributes import register_attributes, register_command
from cli.connection import connect
from cli.errors import Exit, explain
from cli.leaving import leave_process
from cli.log_output import LogOutput
from config.agents import AgentFolders, load_agents
from config.pinning import meaning_of, pin_first_use
from config.routes import queue_of
from config.settings import Settings, load
from core.ports import Agents, Notifier
from ledger import SqlLedger, ToolDatabases, open_ledger
from llm.planners import ModelAccess
from llm.planners import Planners as LanguageModels
from notices import LogNotifier, WebhookNotifier
from workflows.agent_task import AgentTask
from workflows.runner import for_workers

STICKY = timedelta(seconds=1)
"""A worker killed while a task was parked cost 10.1 s with Temporal's default, 1.1 s with this (measured)."""

EAGER = 20
"""Activities that may start with the workflow task that plans them: 3.5 ms a call; 5.5 ms with the default of 3."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything that a worker is made of, connected."""

    client: Client
    agents: AgentFolders
    ledger: SqlLedger
    workers: Sequence[Worker]
    completer: Completer


@asynccontextmanager
async def open_runtime(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Runtime]:
    """Build a worker with all its parts; it does not poll yet.

    `environ`: where models' keys, tools' databases and servers' secrets are.

    Raises Unreachable when Temporal does not answer, LedgerDown or ConfigError when the ledger cannot be used.
    """
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(open_ledger(settings.ledger))
        client = await connect(settings)
        agents = await _load_agents(settings, environ)
        stack.push_async_callback(agents.aclose)
        transactions = ToolDatabases(environ)
        stack.push_async_callback(transactions.close)
        planners = build_planners(settings, environ)
        stack.push_async_callback(planners.aclose)
        needs = Needs(
            agents=agents,
            planners=planners,
            ledger=ledger,
            transactions=transactions,
            notifiers=_notifiers(settings),
            runs=TemporalRuns(client),
            clock=_utc_now,
            search_attributes=await _has_search_attributes(client),
        )
        workers = [build_worker(client, settings, needs), *build_callers(client, settings, needs)]
        yield Runtime(client, agents, ledger, workers, build_completer(needs))


def build_worker(client: Client, settings: Settings, needs: Needs) -> Worker:
    """Make the worker of a task queue."""
    return Worker(
        client,
        task_queue=settings.temporal.task_queue,
        workflows=[AgentTask],
        activities=build_activities(needs),
        workflow_runner=for_workers(),
        max_concurrent_activities=settings.worker.max_concurrent_activities,
        max_cached_workflows=settings.worker.max_cached_workflows,
        sticky_queue_schedule_to_start_timeout=STICKY,
        max_eager_activity_reservations_per_workflow_task=EAGER,
        graceful_shutdown_timeout=_patience(settings, needs.agents),
        build_id=_build_id(),
    )


def build_callers(client: Client, settings: Settings, needs: Needs) -> Sequence[Worker]:
    """Make the workers of the providers' queues, which only make planning calls. Temporal keeps each rate, over all
    workers that poll the queue. An answer that comes after a SIGTERM is waited for: it has to be paid anyway.
    """
    longest = max([settings.worker.graceful_shutdown, *(one.timeout for one in settings.models.values())])
    return [
        Worker(
            client,
            task_queue=queue_of(provider, settings),
            activities=[build_planning(needs)],
            max_concurrent_activities=one.max_concurrent_calls,
            max_task_queue_activities_per_second=one.calls_per_second,
            graceful_shutdown_timeout=longest,
            build_id=_build_id(),
        )
        for provider, one in settings.providers.items()
    ]


def _build_id() -> str:
    """Name the code that decides. The SDK's own way reads every module that is loaded: 0.6 to 1.3 s of each start."""
    files = [file for package in ("core", "workflows") for file in Path(__file__).with_name(package).rglob("*.py")]
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()[:32]


def _patience(settings: Settings, agents: Agents) -> timedelta:
    """Let every call under way end by itself: with less, a SIGTERM in mid-effect doubled the effect (measured)."""
    budgets = [tool.contract.budget for name in agents.names() for tool in agents.get(name).tools.values()]
    return max([settings.worker.graceful_shutdown, *budgets])


def build_planners(settings: Settings, environ: Mapping[str, str]) -> LanguageModels:
    """Make the language models as configured."""
    reached = {"base_url", "api", "timeout", "prompt_cache_key"}
    models = {name: ModelAccess(**one.model_dump(include=reached)) for name, one in settings.models.items()}
    return LanguageModels(models=models, environ=environ, folder=settings.folder)


def _notifiers(settings: Settings) -> Sequence[Notifier]:
    webhook = settings.notify.webhook
    return [*([WebhookNotifier(webhook)] if webhook else []), LogNotifier()]


async def _load_agents(settings: Settings, environ: Mapping[str, str]) -> AgentFolders:
    """A broken folder stops nobody else, but it is not passed over in silence."""
    log = structlog.get_logger()
    pinned = await pin_first_use(settings, environ)
    for one in pinned.first:
        fields = {"agent": one.agent, "server": one.server, "tools": list(one.tools), "file": str(one.file)}
        log.warning("tools.pinned_unread", **fields, left_out=dict(one.left_out), meaning=meaning_of(one))
    agents = load_agents(settings, environ, pinned.failed)
    for name, problem in agents.problems():
        log.error("agent.refused", agent=name, problem=problem)
    for agent in map(agents.get, agents.names()):
        if agent.profile.lacks_owner:
            log.warning("owner.missing", agent=agent.name, problem=agent.profile.owner_lacking)
        for doubt in agent.doubts:
            log.warning("agent.doubted", agent=agent.name, problem=doubt)
    if not agents.names():
        log.error("agent.none_loaded", folders=[str(folder) for folder in settings.agents])
    return agents


async def _has_search_attributes(client: Client) -> bool:
    """Register what the server does not know; where that is not permitted, tasks go without, and people are told."""
    if not (why := await register_attributes(client)):
        return True
    consequence = "tasks run without search attributes; `ls` asks each task instead"
    mend = f"let an administrator run: {register_command(client.namespace)}"
    structlog.get_logger().warning("search_attributes.not_registered", why=why, consequence=consequence, mend=mend)
    return False


def _utc_now() -> datetime:
    return datetime.now(UTC)


# ---------------------------------------------------------------------------------------------------------- running


async def serve(settings: Settings, environ: Mapping[str, str]) -> None:
    """Poll until SIGTERM or Ctrl-C, then drain."""
    log = structlog.get_logger()
    async with open_runtime(settings, environ) as runtime:
        stop, stop_completing = asyncio.create_task(_stopped_by_signal().wait()), asyncio.Event()
        polling = [asyncio.create_task(one.run()) for one in runtime.workers]
        completing = asyncio.create_task(runtime.completer.run(stop_completing))
        log.info(
            "worker.started",
            server=runtime.client.service_client.config.target_host,
            namespace=runtime.client.namespace,
            task_queue=settings.temporal.task_queue,
            providers=list(settings.providers),
            agents=list(runtime.agents.names()),
            pid=os.getpid(),
        )
        await asyncio.wait({*polling, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        stop_completing.set()
        if not all(one.done() for one in polling):
            log.info("worker.draining", patience_s=_patience(settings, runtime.agents).total_seconds())
            await asyncio.gather(*(one.shutdown() for one in runtime.workers))
        await completing  # it hears out what it is sending
        await asyncio.gather(*polling)
        log.info("worker.stopped")


def _stopped_by_signal() -> asyncio.Event:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def heard() -> None:
        if stop.is_set():
            os._exit(1)  # asked twice: the next worker settles what was under way
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, heard)
    return stop


def configure_logs(*, is_for_people: bool, level: int = logging.INFO) -> None:
    """Send our events, and those of the libraries, to standard error: JSON, or coloured lines on a terminal."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    output: Any = LogOutput(sys.stderr)
    render = structlog.dev.ConsoleRenderer() if is_for_people else structlog.processors.JSONRenderer()
    last = [render] if is_for_people else [structlog.processors.format_exc_info, _event_first, render]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(output),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


def _event_first(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Begin each line of JSON with when and what."""
    first = {name: fields.pop(name) for name in ("timestamp", "level", "event") if name in fields}
    return {**first, **fields}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a worker; return the exit code (the table in cli/errors.py)."""
    parser = argparse.ArgumentParser(prog="worker.py", description="Serve agents until SIGTERM or Ctrl-C, then drain.")
    parser.add_argument("--config", type=Path, help="lastmile.toml (default: LASTMILE_CONFIG, else ./lastmile.toml)")
    given = parser.parse_args(argv)
    is_debugging = bool(os.environ.get("LASTMILE_DEBUG"))
    configure_logs(is_for_people=sys.stderr.isatty(), level=logging.DEBUG if is_debugging else logging.INFO)
    try:
        asyncio.run(serve(load(given.config), os.environ))
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except Exception as error:
        if is_debugging:
            raise
        sentence, code = explain(error)
        sys.stderr.write(f"error: {sentence}\n")
        return code
    return Exit.DONE


if __name__ == "__main__":
    leave_process(main())
