"""What tests of tasks share: a real Temporal server, and a worker with agents that are written where they are used."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError
from temporalio.common import SearchAttributeKey
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker, WorkflowRunner

from activities import Needs, TemporalRuns, build_activities
from core import names
from core.errors import CallerError
from core.ports import Agent, Agents, Case, Do, Ledger, Notice, Verdict
from core.profile import EndStatus, Ladder, Limits, Model, Profile
from core.record import Json
from ledger.memory import MemoryLedger
from llm.planners import Planners
from tools.declaration import Declaration
from tools.registry import build_tools
from workflows.agent_task import AgentTask
from workflows.runner import sandboxed

BIN = Path(sys.executable).parent
TASK_QUEUE = "lastmile"
ATTRIBUTES = (
    SearchAttributeKey.for_keyword(names.STATUS_ATTRIBUTE),
    SearchAttributeKey.for_keyword(names.AGENT_ATTRIBUTE),
    SearchAttributeKey.for_keyword_list(names.WAITING_FOR_ATTRIBUTE),
    SearchAttributeKey.for_datetime(names.WAITING_SINCE_ATTRIBUTE),
)
FAST = [
    part
    for kind in ("transfer", "timer", "visibility")
    for part in ("--dynamic-config-value", f"history.{kind}ProcessorMaxPollRPS=1000")
]


@asynccontextmanager
async def dev_server(*extra: str) -> AsyncIterator[WorkflowEnvironment]:
    """Run a real dev server on free ports, in memory."""
    environment = await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(BIN / "temporal"),
        data_converter=pydantic_data_converter,
        search_attributes=ATTRIBUTES,
        dev_server_extra_args=[*FAST, *extra],
        dev_server_log_level="error",
    )
    async with environment:
        yield environment


@asynccontextmanager
async def time_skipping_server() -> AsyncIterator[WorkflowEnvironment]:
    """Run the test server that skips waiting; it has no search attributes of ours."""
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(BIN / "temporal-test-server"), data_converter=pydantic_data_converter
    )
    async with environment:
        yield environment


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Rules:
    """Policy in plain Python: tool name -> verdict; everything else is allowed."""

    verdicts: Mapping[str, Verdict] = field(default_factory=dict)

    def judge(self, case: Case) -> Sequence[Verdict]:
        return [self.verdicts.get(case.tool, Verdict(do=Do.ALLOW, rule="allowed"))]


def asks(*approvers: str, quorum: int = 1) -> Verdict:
    return Verdict(do=Do.ASK, rule="policy[1]", reason="it costs money", approvers=approvers, quorum=quorum)


@dataclass
class Conditions:
    """Done-conditions in plain Python: these tools must have succeeded."""

    succeeded: tuple[str, ...] = ()

    def unmet(self, effects: Sequence[Mapping[str, Json]], *_rest: Any) -> list[str]:
        done = {effect["tool"] for effect in effects if effect["outcome"] == "succeeded"}
        return [f"{tool} has not succeeded" for tool in self.succeeded if tool not in done]


@dataclass
class Mailbox:
    """Keeps notices."""

    notices: list[Notice] = field(default_factory=list)

    async def send(self, notice: Notice) -> None:
        self.notices.append(notice)


@dataclass
class World:
    """Agents, ledger and worker of one test. `prefix` goes before the task ids; `started` keeps every handle."""

    client: Client
    folder: Path
    ledger: Ledger = field(default_factory=lambda: MemoryLedger(clock=now))
    mailbox: Mailbox = field(default_factory=Mailbox)
    search_attributes: bool = True
    transactions: Any = None
    task_queue: str = TASK_QUEUE
    prefix: str = ""
    runner: WorkflowRunner = field(default_factory=sandboxed)
    agents: dict[str, Agent] = field(default_factory=dict)
    started: list[WorkflowHandle[Any, Any]] = field(default_factory=list)

    def get(self, name: str) -> Agent:
        if name not in self.agents:
            raise CallerError(f"there is no agent {name!r}; there are: {', '.join(self.agents)}")
        return self.agents[name]

    def names(self) -> Sequence[str]:
        return list(self.agents)

    def agent(
        self,
        name: str,
        tools: Sequence[Declaration],
        *scripts: Sequence[Json],
        policy: Any = None,
        done: Any = None,
        limits: Limits | None = None,
        ladder: Ladder | None = None,
        people: Mapping[str, tuple[str, ...]] | None = None,
        owner: str = "lead",
        undo_on: Sequence[EndStatus] = (),
    ) -> Agent:
        """Add an agent whose models answer from scripts: each is a list of replies (a plan, or an entry)."""
        route = []
        for index, replies in enumerate(scripts):
            script = f"{name}-{index}.json"
            (self.folder / script).write_text(json.dumps({"replies": [_entry(reply) for reply in replies]}))
            route.append(Model(name=f"scripted:{script}"))
        profile = Profile(
            agent=name,
            owner=owner,
            route=tuple(route),
            limits=limits or Limits(),
            ladder=ladder or Ladder(),
            people=dict(people or {}),
            undo_on=tuple(undo_on),
            rereads=True,
        )
        agent = Agent(name, "Do it.", profile, build_tools(tools), policy or Rules(), done or Conditions())
        self.agents[name] = agent
        return agent

    def activities(self) -> list[Any]:
        planners = Planners(models={}, environ={}, folder=self.folder)
        agents: Agents = self
        needs = Needs(
            agents,
            planners,
            self.ledger,
            self.transactions,
            [self.mailbox],
            TemporalRuns(self.client),
            now,
            search_attributes=self.search_attributes,
        )
        return build_activities(needs)

    def worker(self, *, task_queue: str | None = None, cached: int = 0, **options: Any) -> Worker:
        """A worker; with no workflow cached each task is replayed from its start at every step."""
        return Worker(
            self.client,
            task_queue=task_queue or self.task_queue,
            workflows=[AgentTask],
            activities=self.activities(),
            workflow_runner=self.runner,
            max_cached_workflows=cached,
            graceful_shutdown_timeout=timedelta(seconds=30),
            **options,
        )

    async def start(self, task_id: str, agent: str = "desk", **wish: Json) -> WorkflowHandle[Any, Any]:
        return await self.start_with(task_id, {"agent": agent, "goal": "do it", **wish})

    async def start_with(self, task_id: str, *inputs: Any) -> WorkflowHandle[Any, Any]:
        """Start a task with whatever somebody may send."""
        handle = await self.client.start_workflow(
            names.WORKFLOW, args=inputs, id=f"{self.prefix}{task_id}", task_queue=self.task_queue
        )
        self.started.append(handle)
        return handle


def _entry(reply: Json) -> Json:
    is_entry = isinstance(reply, dict) and ({"plan", "text", "error"} & set(reply))
    return reply if is_entry else {"plan": reply}


def step(step_id: str, tool: str, /, after: Sequence[str] = (), **args: Json) -> dict[str, Json]:
    """Write one planned step."""
    return {"id": step_id, "tool": tool, "args": args, "after": list(after), "why": f"because of {step_id}"}


def plan(*steps: Json, answer: str | None = "done", **more: Json) -> dict[str, Json]:
    """Write a plan."""
    finish = {"finish": {"answer": answer}} if answer is not None else {}
    return {"steps": list(steps), **finish, **more}


def ref(step_id: str, path: str = "") -> dict[str, str]:
    """Write a reference."""
    return {"$from": step_id, "path": path}


async def ask(handle: WorkflowHandle[Any, Any], query: str) -> Any:
    """Query a task; again when the task was just about to go on."""
    while True:
        try:
            return await handle.query(query)
        except WorkflowQueryFailedError as error:
            if names.ASK_AGAIN not in str(error):
                raise
            await asyncio.sleep(0.05)


async def until(handle: WorkflowHandle[Any, Any], *statuses: str, seconds: float = 60) -> dict[str, Json]:
    """Wait until the task has one of the statuses; return the status view."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                view: dict[str, Json] = await handle.query("status")
            except Exception as error:  # noqa: BLE001 - not started yet, or no worker for a moment
                view = {"status": repr(error)}
            if view["status"] in statuses:
                return view
            await asyncio.sleep(0.05)
