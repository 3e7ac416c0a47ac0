"""The same work as a Lastmile task, everything on: plan, door, SQLite ledger. Run as a process of its own."""

import asyncio
import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from activities import Needs, TemporalRuns, build_activities
from core.ports import Agent, Case, Do, Notice, Verdict
from core.profile import Limits, Model, Profile
from ledger import ToolDatabases, open_ledger
from llm.planners import Planners
from tools import Call, tool
from tools.registry import build_tools
from workflows.agent_task import AgentTask
from workflows.runner import for_workers


@tool(effect="keyed", key_window="24h")
async def noop(_call: Call, number: int) -> dict[str, int]:
    """Do nothing, and say so."""
    return {"number": number}


@tool(effect="read")
async def look(_call: Call, number: int) -> dict[str, int]:
    """Read nothing, and say so."""
    return {"number": number}


class Allow:
    """Allow everything."""

    def judge(self, case: Case) -> list[Verdict]:
        """Say yes."""
        return [Verdict(do=Do.ALLOW, rule=case.tool)]


class Always:
    """No conditions."""

    def unmet(self, *_facts: Any) -> list[str]:
        """Find nothing."""
        return []


class Quiet:
    """No notices."""

    async def send(self, notice: Notice) -> None:
        """Do nothing."""


class Only:
    """One agent whose script is named by the task id: TOOL-CALLS-SHAPE-NUMBER."""

    def __init__(self, folder: Path) -> None:
        limits = Limits(steps=1000, steps_per_plan=200, parallel=200)
        profile = Profile(agent="bench", owner="bench", route=(Model(name=f"scripted:{folder}"),), limits=limits)
        self._agent = Agent("bench", "", profile, build_tools([noop, look]), Allow(), Always())

    def get(self, _name: str) -> Agent:
        """Return it."""
        return self._agent

    def names(self) -> list[str]:
        """Name it."""
        return ["bench"]


def script(tool_name: str, calls: int, *, independent: bool) -> str:
    """Write a plan of so many calls as a script."""
    steps = [
        {
            "id": f"s{number}",
            "tool": tool_name,
            "args": {"number": number},
            "after": [] if independent or not number else [f"s{number - 1}"],
        }
        for number in range(calls)
    ]
    return json.dumps({"replies": [{"plan": {"steps": steps, "finish": {"answer": "done"}}}]})


async def serve(address: str, task_queue: str, folder: str, cores: str) -> None:
    """Poll until the process is ended."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    ledger = open_ledger(f"sqlite:///{folder}/ledger.db")
    await ledger.create()
    needs = Needs(
        Only(Path(folder)),
        Planners(models={}, environ={}, folder=Path(folder)),
        ledger,
        ToolDatabases({}),
        [Quiet()],
        TemporalRuns(client),
        lambda: datetime.now(UTC),
        search_attributes=cores == "with-attributes",
    )
    worker = Worker(
        client,
        task_queue=task_queue,
        workflows=[AgentTask],
        activities=build_activities(needs),
        workflow_runner=for_workers(),
        max_eager_activity_reservations_per_workflow_task=20,
    )
    await worker.run()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
