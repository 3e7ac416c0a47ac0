"""A stage for one agent against other people's servers: the agent's folder is copied, and told where they are."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import copytree

from core import names
from core.profile import EndStatus
from core.record import Json
from core.task import Status
from trials.counter import counting
from trials.stage import Stage, Task, asked, staged

_TASK_QUEUE = "lastmile"
_AT_REST = frozenset({*EndStatus, Status.AWAITING_APPROVAL, Status.AWAITING_PERSON})


@asynccontextmanager
async def world_stage(
    agent: Path, edits: Mapping[str, str], models: str, environ: Mapping[str, str]
) -> AsyncIterator[Stage]:
    """Set a stage up for the one agent in the folder `agent`. No worker polls yet.

    ``edits``: texts of its agent.toml, and what stands there instead; one that is not there is a KeyError. ``models``:
    the tables of lastmile.toml that say how the models are reached. ``environ``: for the workers.
    """
    with tempfile.TemporaryDirectory(prefix="lastmile-world-") as folder:
        given, stage_folder = Path(folder) / "given", Path(folder) / "stage"
        stage_folder.mkdir()
        _copy(agent, given / agent.name, edits)
        async with counting() as counter, staged(stage_folder, given, counter, environ) as stage:
            stage.config.write_text(_settings(stage.server.address, models), encoding="utf-8")
            yield stage


def _copy(agent: Path, target: Path, edits: Mapping[str, str]) -> None:
    copytree(agent, target)
    file = target / "agent.toml"
    text = file.read_text(encoding="utf-8")
    for old, new in edits.items():
        if old not in text:
            raise KeyError(f"{file}: nothing there reads {old!r}")
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")


def _settings(address: str, models: str) -> str:
    return f"""ledger = "sqlite:///ledger.db"
[temporal]
address = "{address}"
task_queue = "{_TASK_QUEUE}"
{models}
[people.ana]
roles = ["finance"]
[people.sam]
roles = ["support-leads"]
[people.dana]
roles = ["support-directors", "finance"]
"""


async def begin(stage: Stage, task_id: str, goal: str, **inputs: Json) -> Task:
    """Start a task with a goal of its own, whose model is no script."""
    wish = {"agent": stage.agent, "goal": goal, "inputs": inputs, "requested_by": "kim"}
    return await stage.client.start_workflow(names.WORKFLOW, wish, id=task_id, task_queue=_TASK_QUEUE)


async def rest(task: Task, limit_s: float) -> str:
    """Wait until a task has ended or asks a person, and return its status; "STUCK" when it does neither in time."""
    try:
        async with asyncio.timeout(limit_s):
            while (found := str((await asked(task))["status"])) not in _AT_REST:  # noqa: ASYNC110 - only a query can tell
                await asyncio.sleep(0.2)
    except TimeoutError:
        return "STUCK"
    return found
