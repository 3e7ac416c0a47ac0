"""One of the processes that call one key at the same time: ``caller.py CONFIG``.

It says ``ready``, then does what each line of standard input asks, and answers with one line. ``TASK``: open a task.
``TASK TOOL N``: take one order through the real door, from N callers at once, each again after every "not yet", as
Temporal would; the answer is JSON: what the callers were told, and how often.
"""

import asyncio
import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
from temporalio.common import RawValue
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities import Needs, build_activities
from config.agents import AgentFolders, load_agents
from config.settings import Settings, load
from core import names
from core.messages import CallOrder, OpenOrder
from core.record import Json
from ledger import ToolDatabases, open_ledger
from ledger.opening import utc_now
from llm.planners import Planners

RUN = "run-1"
_TRIES = 2_000
ARGS: Mapping[str, dict[str, Json]] = {"note": {"text": "once"}, "mail": {"to": "jane", "lines": ["once"]}}
"""By tool: what it is called with."""


class OneRun:
    """A server that knows of one run, which is the current one."""

    async def current(self, _task_id: str) -> str | None:
        """Name it."""
        return RUN


class Callers:
    """The activities of a worker, called without a server."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self._settings, self._stack = settings, stack
        self._agents: AgentFolders = load_agents(settings)
        self._activities: dict[str, Callable[..., Any]] = {}

    async def connect(self) -> None:
        """Open the ledger and make the activities."""
        ledger = await self._stack.enter_async_context(open_ledger(self._settings.ledger))
        planners = Planners(models={}, environ={}, folder=self._settings.folder)
        needs = Needs(self._agents, planners, ledger, ToolDatabases({}), [], OneRun(), utc_now, search_attributes=False)
        self._activities = {one.__name__: one for one in build_activities(needs)}

    async def open(self, task_id: str) -> None:
        """Open the task that all of them call for."""
        order = OpenOrder(task_id=task_id, agent="bulk", goal="one key", first_run_id=RUN)
        await _environment(names.OPEN_TASK, 1).run(self._activities["open_task"], order)

    async def call(self, task_id: str, tool: str) -> str:
        """Take the one order through the door until there is a report; return it as JSON."""
        [payload] = pydantic_data_converter.payload_converter.to_payloads([self._order(task_id, tool)])
        for attempt in range(1, _TRIES):
            try:
                door = self._activities["call_tool"]
                report = await _environment(tool, attempt).run(door, [RawValue(payload)])
            except ApplicationError as error:
                if error.non_retryable or error.next_retry_delay is None:
                    return f"{type(error).__name__}: {error}"
                await asyncio.sleep(error.next_retry_delay.total_seconds())
            else:
                return str(report.model_dump_json())
        return f"no report in {_TRIES} attempts"

    def _order(self, task_id: str, tool: str) -> CallOrder:
        contract = self._agents.get("bulk").tools[tool].contract
        key = names.effect_key("default", task_id, 1, 1, tool)
        order = {"agent": "bulk", "task_id": task_id, "step": "r1.s1", "intent": 1, "revision": 1}
        return CallOrder.model_validate({**order, "key": key, "digest": contract.digest, "args": ARGS[tool]})


def _environment(activity: str, attempt: int) -> ActivityEnvironment:
    environment = ActivityEnvironment()
    environment.payload_converter = pydantic_data_converter.payload_converter
    environment.info = replace(environment.info, activity_type=activity, attempt=attempt, workflow_run_id=RUN)
    return environment


async def main(config: str) -> None:
    """Do as asked until the input ends."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    async with AsyncExitStack() as stack:
        mine = Callers(load(Path(config)), stack)
        await mine.connect()
        _say("ready")
        while line := await asyncio.to_thread(sys.stdin.readline):
            _say(await _do(mine, line.split()))


async def _do(mine: Callers, words: Sequence[str]) -> str:
    match words:
        case [task_id]:
            await mine.open(task_id)
            return "opened"
        case [task_id, tool, callers]:
            told = await asyncio.gather(*(mine.call(task_id, tool) for _ in range(int(callers))))
            return json.dumps(Counter(told))
    raise ValueError(f"write TASK, or TASK TOOL CALLERS, not {words}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
