"""Histories of real runs, recorded earlier, are decided by today's code exactly as they were.

`tests/record_histories.py` records them, and says when to.
"""

import ast
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, WorkflowRunner
from temporalio.workflow import NondeterminismError

from core import asking, rounds
from core.task import TaskState
from tests.record_histories import FOLDER, SCENARIOS
from workflows import runner
from workflows.agent_task import AgentTask

FILES = sorted(FOLDER.glob("*.json"))
NAMES = [file.stem for file in FILES]


def history_of(file: Path) -> WorkflowHistory:
    text = file.read_text()
    started = json.loads(text)["events"][0]["workflowExecutionStartedEventAttributes"]
    return WorkflowHistory.from_json(started["workflowId"], text)


async def replay(file: Path, workflow_runner: WorkflowRunner) -> None:
    replayer = Replayer(workflows=[AgentTask], workflow_runner=workflow_runner, data_converter=pydantic_data_converter)
    await replayer.replay_workflow(history_of(file))


def test_every_scenario_is_recorded() -> None:
    assert {name.rstrip("-0123456789") for name in NAMES} == {*SCENARIOS, "crashed"}


@pytest.mark.parametrize("file", FILES, ids=NAMES)
async def test_history_replays_as_in_production(file: Path) -> None:
    await replay(file, runner.sandboxed())


@pytest.mark.parametrize("file", FILES, ids=NAMES)
async def test_history_replays_with_nothing_passed_through_the_sandbox(file: Path) -> None:
    """An impure line in `core`, or two identities of one class, show here."""
    await replay(file, runner.sandboxed(passed_through=False))


@pytest.mark.parametrize("name", ["completed", "continued-1"])
async def test_another_order_of_steps_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    promote = rounds.promote

    def last_first(state: TaskState) -> TaskState:
        return promote(state.model_copy(update={"steps": dict(sorted(state.steps.items(), reverse=True))}))

    monkeypatch.setattr(rounds, "promote", last_first)
    with pytest.raises(NondeterminismError):
        await replay(FOLDER / f"{name}.json", runner.sandboxed())


@pytest.mark.parametrize("name", ["expired", "rejected", "amended"])
async def test_a_timer_that_is_not_set_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "deadlines", lambda _state: [])
    with pytest.raises(NondeterminismError):
        await replay(FOLDER / f"{name}.json", runner.sandboxed())


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_a_history_names_no_machine(file: Path) -> None:
    for text in _texts(json.loads(file.read_text())):
        for private in ("/tmp", "/home/", "/root/", "/work/", "site-packages", "127.0.0.1"):
            assert private not in text
    assert '"identity"' not in file.read_text()


def _texts(value: Any, key: str = "") -> Iterator[str]:
    match value:
        case dict():
            for name, item in value.items():
                yield from _texts(item, name)
        case list():
            for item in value:
                yield from _texts(item)
        case str():
            yield base64.b64decode(value).decode("utf-8", "replace") if key == "data" else value


def test_workflow_code_logs_through_temporal_only() -> None:
    """Other loggers speak again at every replay."""
    for folder in ("workflows", "core"):
        for file in (FOLDER.parents[1] / folder).glob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not {"logging", "structlog"} & {name.partition(".")[0] for name in names}, file
