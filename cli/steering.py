"""pause, resume, amend, cancel: said to a task as signals; it takes them in at once and shows what became of them."""

from pathlib import Path
from typing import Annotated

import typer

from cli.errors import Declined, Exit
from cli.opening import Desk, at_the_desk
from cli.options import AsJson, By, ConfigPath, Pairs, TaskId, parse_json, parse_pairs, read_file
from core.answers import Misfit
from core.errors import CallerError
from core.people import Amendment, Remark
from core.record import Json

Reason = Annotated[str, typer.Option("--reason", help="Goes into the record.")]


def pause(
    task_id: TaskId, by: By = "", reason: Reason = "", config: ConfigPath = None, as_json: AsJson = False
) -> None:
    """Start nothing new until `resume`; what is under way ends first."""
    _tell(task_id, "pause", {"by": by, "reason": reason}, config, as_json)


def resume(
    task_id: TaskId, by: By = "", reason: Reason = "", config: ConfigPath = None, as_json: AsJson = False
) -> None:
    """Go on with a paused task."""
    _tell(task_id, "resume", {"by": by, "reason": reason}, config, as_json)


def amend(
    task_id: TaskId,
    *,
    goal: Annotated[str | None, typer.Option("--goal", help="What is wanted now.")] = None,
    pairs: Pairs = None,
    inputs: Annotated[Path | None, typer.Option("--inputs", metavar="FILE.json", help="Inputs from a file.")] = None,
    by: By = "",
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Change what is wanted: open approvals are withdrawn, and the task plans again from what is done already.

    Inputs that are given replace all there were.
    """
    wish: dict[str, Json] = {"by": by}
    if goal is not None:
        wish["goal"] = goal
    if pairs or inputs is not None:
        wish["inputs"] = read_inputs(inputs, pairs or [])
    _tell(task_id, "amend", wish, config, as_json)


def cancel(
    task_id: TaskId, by: By = "", reason: Reason = "", config: ConfigPath = None, as_json: AsJson = False
) -> None:
    """Cancel a task: nothing new is sent, what was sent is settled, and it ends as CANCELLED with what stays done."""
    said = {name: word for name, word in _checked("cancel", {"by": by, "reason": reason}).items() if word}

    async def verb(desk: Desk) -> Exit:
        # to cancel what has ended is no error to Temporal, but it is to whoever asked for it
        if (ended := await desk.task(task_id).outcome()) is not None:
            raise Declined(f"the task {task_id!r} has ended ({ended.status}); there is nothing to cancel any more")
        await desk.task(task_id).cancel(said)
        desk.screen.show("asked to cancel; `watch` shows how it ends")
        desk.screen.data({"task_id": task_id, "sent": "cancel", "payload": said})
        return Exit.DONE

    at_the_desk(verb, config=config, as_json=as_json)


def read_inputs(path: Path | None, pairs: list[str]) -> dict[str, Json]:
    """Read the inputs of a task from a file and from pairs, which win."""
    from_file: Json = {}
    if path is not None:
        from_file = parse_json(read_file(path, "the file"), f"--inputs {str(path)!r}")
        if not isinstance(from_file, dict):
            raise CallerError(f"--inputs {str(path)!r} holds no JSON object")
    return {**from_file, **parse_pairs(pairs, "--input")}


def _checked(verb: str, said: dict[str, Json]) -> dict[str, Json]:
    try:
        Amendment.read(said) if verb == "amend" else Remark.read(said)
    except Misfit as error:
        raise CallerError(f"{verb}: {error}") from None
    return said


def _tell(task_id: str, signal: str, said: dict[str, Json], config: Path | None, as_json: bool) -> None:
    _checked(signal, said)

    async def verb(desk: Desk) -> Exit:
        await desk.task(task_id).describe()
        await desk.task(task_id).tell(signal, said)
        desk.screen.show(f"told the task: {signal}")
        desk.screen.data({"task_id": task_id, "sent": signal, "payload": said})
        return Exit.DONE

    at_the_desk(verb, config=config, as_json=as_json)
