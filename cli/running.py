"""run: start a task, and follow it to its end with --wait."""

import secrets
import shlex
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.text import Text
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from cli.errors import Declined, Exit, faults_of
from cli.live import show_end, watch
from cli.opening import Desk, at_the_desk
from cli.options import AsJson, By, ConfigPath, NewId, Pairs
from cli.steering import read_inputs
from cli.tasks import Task
from config.settings import Settings
from core import names
from core.card import plain, visible
from core.errors import CallerError
from core.record import Json
from core.task import TaskSpec


def run(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="Name of an agent's folder.")],
    goal: Annotated[str, typer.Argument(metavar="GOAL", help="What is wanted, in plain words.")],
    *,
    task_id: NewId = None,
    pairs: Pairs = None,
    inputs: Annotated[Path | None, typer.Option("--inputs", metavar="FILE.json", help="Inputs from a file.")] = None,
    by: By = "",
    again: Annotated[
        bool,
        typer.Option("--again", help="Run an ended task again, also with other inputs; what it did stays done."),
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the task to its end.")] = False,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Start a task: the agent plans, acts, asks whom policy names, and ends with receipts."""
    spec = _spec(agent, goal, read_inputs(inputs, pairs or []), by, again)
    name = task_id or f"{agent[:100]}-{secrets.token_hex(3)}"

    async def verb(desk: Desk) -> Exit:
        require_agent(desk.settings, agent)
        is_new = await start(desk, name, spec)
        desk.screen.show(_started(name, is_new, wait))
        if not wait:
            desk.screen.data({"task_id": name, "is_new": is_new})
            return Exit.DONE
        outcome = await watch(desk.screen, desk.task(name))
        show_end(desk.screen, outcome)
        return Exit.DONE if outcome.is_completed else Exit.NO

    at_the_desk(verb, config=config, as_json=as_json)


async def start(desk: Desk, name: str, spec: TaskSpec) -> bool:
    """Start the workflow (True), or take up the one that runs under this id with the same wish (False).

    Raises CallerError for an id that ran before, and for one that runs with another wish; Declined for one that is to
    run again although it runs still.
    """
    before = await _latest_run(desk.task(name))
    if spec.again and before is not None:
        await _require_ended(desk, name)
    try:
        handle = await desk.client.start_workflow(
            names.WORKFLOW,
            spec.model_dump(mode="json", exclude_defaults=True),
            id=name,
            task_queue=desk.settings.temporal.task_queue,
            id_reuse_policy=_reuse(spec),
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=plain(f"{spec.agent}: {spec.goal}")[:200],
            static_details=_details(spec),
        )
    except WorkflowAlreadyStartedError:
        raise CallerError(
            f"a task {name!r} has run before, and its effects stand; choose another --id, or say --again"
        ) from None
    await _require_same_wish(desk.task(name), spec)
    return handle.result_run_id != before


async def _require_ended(desk: Desk, name: str) -> None:
    if await desk.task(name).outcome() is None:
        raise Declined(f"the task {name!r} still runs; to change what it wants, use `amend`; to end it, `cancel`")


async def _latest_run(task: Task) -> str | None:
    try:
        return (await task.describe()).run_id
    except CallerError:
        return None


def _started(name: str, is_new: bool, wait: bool) -> Text:
    shown = Text(visible(name), style="bold")
    more = "" if wait else f"\nfollow it with: python starter.py watch {shlex.quote(visible(name))}"
    return Text.assemble("started " if is_new else "this task runs already: ", shown, (more, "dim"))


def _reuse(spec: TaskSpec) -> WorkflowIDReusePolicy:
    return WorkflowIDReusePolicy.ALLOW_DUPLICATE if spec.again else WorkflowIDReusePolicy.REJECT_DUPLICATE


def _details(spec: TaskSpec) -> str:
    asked = f"\n\nasked for by {plain(spec.requested_by)}" if spec.requested_by else ""
    return f"{plain(spec.goal[:2000])}{asked}"


def _spec(agent: str, goal: str, inputs: dict[str, Json], by: str, again: bool) -> TaskSpec:
    try:
        return TaskSpec(agent=agent, goal=goal, inputs=inputs, requested_by=by, again=again)
    except ValidationError as error:
        raise CallerError(f"this is no task: {faults_of(error)}") from None


def require_agent(settings: Settings, agent: str) -> None:
    """Refuse an agent that is broken or not there, where its folder would be; elsewhere only the worker knows it.

    Raises ConfigError with what is wrong in the folder, CallerError for a name that no folder has.
    """
    from config.agents import load_agents  # noqa: PLC0415 - loading agents imports their tools' libraries

    if any(folder.is_dir() for folder in settings.agents):
        load_agents(settings).get(agent)


async def _require_same_wish(task: Task, spec: TaskSpec) -> None:
    """Refuse to pass off a task that runs already, with another wish, as the one that was asked for."""
    first_run = (await task.describe()).raw_description.workflow_execution_info.first_run_id
    handle = task.client.get_workflow_handle(task.id, run_id=first_run)
    async for event in handle.fetch_history_events(page_size=1):
        payloads = event.workflow_execution_started_event_attributes.input.payloads
        wished = _read_wish(payloads[0].data if payloads else b"{}")
        if wished != spec:
            goal = f" ({wished.goal[:80]!r})" if wished and wished.goal != spec.goal else ""
            raise CallerError(
                f"a task {task.id!r} is running already, with another wish{goal}; choose another --id, "
                "or change what it wants with `amend`"
            )
        return


def _read_wish(data: bytes) -> TaskSpec | None:
    try:
        return TaskSpec.model_validate_json(data)
    except ValidationError:
        return None
