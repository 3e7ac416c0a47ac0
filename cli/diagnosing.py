"""doctor: checks the set-up, each finding with how to mend it."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import chain
from pathlib import Path

from rich.table import Table
from rich.text import Text
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from cli.attributes import missing_attributes, register_command
from cli.connection import connect
from cli.errors import Exit, Unreachable, explain
from cli.opening import leave
from cli.options import AsJson, ConfigPath
from cli.screen import Screen
from cli.stopping import start_command
from config.document import suggest
from config.routes import queue_of
from config.settings import Settings, connect_options, load
from core.card import visible
from core.errors import LastmileError, PlannerDown
from core.ports import Agent
from core.receipts import Row, RowState, Stop
from core.record import Record
from core.spending import Breaker


class Verdict(StrEnum):
    """What a check found. `warning`: works, but not as somebody will expect. `down`: something is out of reach."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    DOWN = "down"


class Finding(Record):
    """One check. `mend`: what to do about it; "" when it is well."""

    check: str
    verdict: Verdict
    found: str
    mend: str = ""


_MARKS = {
    Verdict.OK: ("✓", "green"),
    Verdict.WARNING: ("!", "yellow"),
    Verdict.WRONG: ("✗", "bold red"),
    Verdict.DOWN: ("✗", "bold red"),
}


def doctor(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Check the set-up and say how to mend it. Exit code 1: something is wrong; 3: something is out of reach."""
    settings, screen = load(config), Screen(as_json=as_json)
    findings = asyncio.run(_examine(settings, os.environ))
    screen.show(_table(findings))
    screen.data(findings)
    leave(_code(findings))


def _code(findings: list[Finding]) -> Exit:
    verdicts = {one.verdict for one in findings}
    if Verdict.DOWN in verdicts:
        return Exit.UNREACHABLE
    return Exit.NO if Verdict.WRONG in verdicts else Exit.DONE


def _table(findings: list[Finding]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in findings:
        mark, style = _MARKS[one.verdict]
        mend = ("\n" + visible(one.mend), "cyan") if one.mend else ""
        table.add_row(Text(mark, style=style), one.check, Text.assemble(visible(one.found), mend))
    return table


async def _examine(settings: Settings, environ: Mapping[str, str]) -> list[Finding]:
    findings = [_config(settings), *_agents(settings, environ), *await _ledger(settings)]
    return findings + [one async for one in _temporal(settings)]


def _config(settings: Settings) -> Finding:
    where = str(settings.file) if settings.file else f"no lastmile.toml in {settings.folder}: the defaults hold"
    return Finding(check="configuration", verdict=Verdict.OK, found=where)


def _agents(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    from config.agents import load_agents  # noqa: PLC0415 - agents bring their tools' libraries

    agents = load_agents(settings)
    for name, problem in agents.problems():
        verdict, mend = Verdict.WRONG, "mend what the lines name"
        if name in agents.waiting():
            verdict, mend = Verdict.WARNING, "start a worker; or accept it before, which is what production wants"
        yield Finding(check=f"agent {name}", verdict=verdict, found=problem, mend=mend)
    if not agents.names() and not agents.problems():
        folders = ", ".join(map(str, settings.agents))
        mend = "make a folder with agent.toml in it (README, Writing an agent)"
        yield Finding(check="agents", verdict=Verdict.WRONG, found=f"none in {folders}", mend=mend)
    for name in agents.names():
        agent = agents.get(name)
        count = f"{len(agent.tools)} tools, owner {agent.profile.owner}"
        yield Finding(check=f"agent {name}", verdict=Verdict.OK, found=count)
        yield from _doubts(agent)
        yield from _people(agent)
        yield from _databases(agent, environ)
        yield from _sources(agent)
        yield from _unread(agent, settings)
        yield from _route(agent, settings, environ)


def _doubts(agent: Agent) -> Iterator[Finding]:
    for doubt in agent.doubts:
        mend = "mend `require` under [done] in its agent.toml"
        yield Finding(check=f"agent {agent.name}", verdict=Verdict.WARNING, found=doubt, mend=mend)


def _people(agent: Agent) -> Iterator[Finding]:
    profile = agent.profile
    for role, holders in profile.people.items():
        if not holders:
            is_owner = profile.lacks_owner and role == profile.owner
            consequence = "; it owns the tasks, so anybody may answer for it and settle doubts" if is_owner else ""
            found = f"{role!r} is named in agent.toml, and nobody holds it{consequence}"
            mend = f'in lastmile.toml: [people.NAME] roles = ["{role}"]'
            yield Finding(check=f"agent {agent.name}", verdict=Verdict.WARNING, found=found, mend=mend)


def _sources(agent: Agent) -> Iterator[Finding]:
    for source in agent.sources:
        for name in source.missing():
            found = f"its tools of {source.name!r} need {name}, which is not set here"
            mend = f"set {name} in the worker's environment"
            yield Finding(check=f"agent {agent.name}", verdict=Verdict.WARNING, found=found, mend=mend)


def _unread(agent: Agent, settings: Settings) -> Iterator[Finding]:
    from config.mcp_servers import unread_servers  # noqa: PLC0415 - loads what speaks with servers

    for server in unread_servers(settings, agent.name):
        found = f"tools of {server!r} were pinned in tools.lock at first use, and nobody has accepted them"
        mend = f"read them (python starter.py tools {agent.name}), accept them (--accept), and commit tools.lock"
        yield Finding(check=f"agent {agent.name}", verdict=Verdict.WARNING, found=found, mend=mend)


def _databases(agent: Agent, environ: Mapping[str, str]) -> Iterator[Finding]:
    wanted = {tool.contract.database for tool in agent.tools.values()} - {None}
    for name in sorted(str(one) for one in wanted):
        if not environ.get(name):
            found = f"its tools keep data in {name}, which is not set here"
            mend = f"set {name} in the worker's environment, such as sqlite:///var/orders.db"
            yield Finding(check=f"agent {agent.name}", verdict=Verdict.WARNING, found=found, mend=mend)


def _route(agent: Agent, settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    from worker import build_planners  # noqa: PLC0415 - brings the vendors' SDKs

    planners = build_planners(settings, environ)
    problems = {}
    for model in dict.fromkeys(chain(agent.profile.route, *agent.profile.routes.values())):
        try:
            planners.get(model.name)
            yield from _scripts(agent, planners.scripts(model.name))
        except PlannerDown as error:
            problems[model.name] = str(error)
    usable = [one.name for one in agent.profile.route if one.name not in problems]
    yield from _unpriced(agent)
    for problem in problems.values():
        verdict = Verdict.WARNING if usable else Verdict.WRONG
        mend = "the route goes on with the next model" if usable else "no model of the route can be used"
        yield Finding(check=f"agent {agent.name}", verdict=verdict, found=problem, mend=mend)
    if usable:
        yield Finding(check=f"agent {agent.name}", verdict=Verdict.OK, found=f"plans with {', then '.join(usable)}")


def _scripts(agent: Agent, scripts: Mapping[Path, Sequence[str]]) -> Iterator[Finding]:
    known = [name for name, tool in agent.tools.items() if tool.contract.undoes is None]
    for file, names in scripts.items():
        for name in (one for one in names if one not in known):
            found = f"{file} plans with the tool {name!r}, which the agent has not{suggest(name, known)}"
            mend = "name a tool that `starter.py tools` shows; such a plan is refused"
            yield Finding(check=f"agent {agent.name}", verdict=Verdict.WARNING, found=found, mend=mend)


def _unpriced(agent: Agent) -> Iterator[Finding]:
    route = (one for one in agent.profile.route if not one.name.startswith("scripted:"))
    for model in route:
        if model.input_usd_per_mtok is None or model.output_usd_per_mtok is None:
            found = f"the price of {model.name} is not known, so cost_usd does not bound its calls"
            mend = f'in lastmile.toml: [models."{model.name}"] input_usd_per_mtok = ..., output_usd_per_mtok = ...'
            yield Finding(check=f"agent {agent.name}", verdict=Verdict.WARNING, found=found, mend=mend)


async def _ledger(settings: Settings) -> list[Finding]:
    from ledger import open_ledger  # noqa: PLC0415 - brings the database library
    from ledger.address import parse_address  # noqa: PLC0415

    try:
        ledger = open_ledger(settings.ledger)
    except LastmileError as error:
        return [Finding(check="ledger", verdict=Verdict.WRONG, found=str(error), mend="set `ledger` in lastmile.toml")]
    try:
        await ledger.create()
        await ledger.amend_task("", "", {}, 0)  # changes nothing, but has to take the lock of a writer
        stops, open_ones, failing = await ledger.stops(), await ledger.doubts(), await ledger.breakers()
    except LastmileError as error:
        mend = "start the database, or set `ledger` in lastmile.toml"
        return [Finding(check="ledger", verdict=Verdict.DOWN, found=str(error), mend=mend)]
    finally:
        await ledger.close()
    writable = Finding(check="ledger", verdict=Verdict.OK, found=f"writable: {parse_address(settings.ledger)}")
    return [writable, *_in_force(stops), *_in_doubt(open_ones), *_spared(failing)]


def _in_force(stops: Sequence[Stop]) -> Iterator[Finding]:
    for one in stops:
        yield Finding(
            check="stop", verdict=Verdict.WARNING, found=str(one), mend=f"python starter.py {start_command(one)}"
        )


def _spared(failing: Sequence[Breaker]) -> Iterator[Finding]:
    for one in failing:
        if one.open_until is not None:
            found = f"{one.provider} failed {one.failures} times in a row and is spared: {one.reason}"
            mend = "workers try it again by themselves; tasks take the next model of their route meanwhile"
            yield Finding(check="provider", verdict=Verdict.WARNING, found=found, mend=mend)


def _in_doubt(rows: Sequence[Row]) -> Iterator[Finding]:
    waiting = [row for row in rows if row.state is RowState.NEEDS_PERSON]
    if waiting:
        found = f"{len(waiting)} calls were sent, and only a person can say what became of them"
        yield Finding(check="doubts", verdict=Verdict.WARNING, found=found, mend="python starter.py doubts")


async def _temporal(settings: Settings) -> AsyncIterator[Finding]:
    try:
        client = await connect(settings)
        await client.count_workflows()
    except (Unreachable, RPCError) as error:
        sentence, _ = explain(error)
        found, _, mend = sentence.partition("; ")
        yield Finding(check="Temporal", verdict=Verdict.DOWN, found=found, mend=mend or "check address and namespace")
        return
    address = connect_options(settings)["target_host"]
    found = f"answers at {address}, namespace {client.namespace}"
    yield Finding(check="Temporal", verdict=Verdict.OK, found=found)
    yield await _attributes(client)
    yield await _worker(client, settings.temporal.task_queue)
    for provider in settings.providers:
        yield await _caller(client, queue_of(provider, settings))


async def _attributes(client: Client) -> Finding:
    try:
        missing = await missing_attributes(client)
    except RPCError as error:
        found = f"it cannot be seen which are registered ({error.message})"
        return Finding(
            check="search attributes", verdict=Verdict.WARNING, found=found, mend=register_command(client.namespace)
        )
    if missing:
        found = f"not registered: {', '.join(missing)}; a worker registers them when it starts, if it may"
        mend = register_command(client.namespace)
        return Finding(check="search attributes", verdict=Verdict.WARNING, found=found, mend=mend)
    return Finding(check="search attributes", verdict=Verdict.OK, found="registered")


async def _worker(client: Client, task_queue: str) -> Finding:
    counts = {kind: await _pollers(client, task_queue, kind) for kind in ("WORKFLOW", "ACTIVITY")}
    if all(counts.values()):
        return Finding(check="worker", verdict=Verdict.OK, found=f"polls the task queue {task_queue!r}")
    found = f"none polls the task queue {task_queue!r}"
    return Finding(check="worker", verdict=Verdict.DOWN, found=found, mend="start one: python worker.py")


async def _caller(client: Client, task_queue: str) -> Finding:
    if await _pollers(client, task_queue, "ACTIVITY"):
        return Finding(check="worker", verdict=Verdict.OK, found=f"polls the task queue {task_queue!r}")
    found = f"none polls the task queue {task_queue!r}: calls of this provider's models go to the next of the route"
    return Finding(check="worker", verdict=Verdict.WARNING, found=found, mend="start one: python worker.py")


async def _pollers(client: Client, task_queue: str, kind: str) -> int:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=task_queue),
        task_queue_type=TaskQueueType.Value(f"TASK_QUEUE_TYPE_{kind}"),
    )
    return len((await client.workflow_service.describe_task_queue(request)).pollers)
