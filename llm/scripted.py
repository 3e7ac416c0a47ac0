"""The scripted model: replies out of a file, so that tests, demos and trials of agents need no provider.

It keeps nothing between calls: which reply is due follows from the briefing and the attempt alone, so any worker gives
the same one, after any crash.

::

    {"replies": [{"error": "rate_limited", "retry_after": 2, "times": 3}, {"plan": {...}},    group 0
                 {"text": "not json"},                                                        group 1
                 {"error": "refused"}]}                                                       group 2

A group is any errors followed by one reply: a plan, a text, or a refusal (which is a reply that holds a fault).
"""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal, NoReturn, Self, assert_never

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, ValidationError, model_validator

from core.briefing import Prompt
from core.errors import PlannerBusy, PlannerDown
from core.ports import Reply
from core.record import Input, Json, Record
from core.spending import Usage
from llm.answers import refused
from llm.wire import Fault, NotJson, decode, parse

MAX_SCRIPT_BYTES = 16_000_000
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


class ScriptedUsage(Input):
    """What a reply pretends to have cost, in tokens."""

    input_tokens: NonNegativeInt = 0
    output_tokens: NonNegativeInt = 0
    cached_tokens: NonNegativeInt = 0


class Entry(Input):
    """One line of a script: exactly one of `plan`, `text` and `error`.

    ``retry_after`` (seconds) and ``times`` (how often in a row) belong to an error.
    """

    plan: dict[str, Json] | None = None
    text: str | None = None
    error: Literal["rate_limited", "unavailable", "timeout", "unauthorized", "refused"] | None = None
    retry_after: NonNegativeFloat | None = Field(default=None, allow_inf_nan=False)
    times: PositiveInt = 1
    usage: ScriptedUsage = ScriptedUsage()

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if [self.plan, self.text, self.error].count(None) != 2:
            raise ValueError('expected exactly one of "plan", "text" and "error"')
        if self.error is None and self.model_fields_set & {"retry_after", "times"}:
            raise ValueError('"retry_after" and "times" belong to an "error"')
        return self


class Script(Input):
    """A whole file."""

    replies: tuple[Entry, ...]


class Group(Record):
    """Errors, and the reply that follows them (None at the end of a script that ends in errors)."""

    errors: tuple[Entry, ...]
    reply: Entry | None


class ScriptedPlanner:
    """The model ``scripted:PATH``: a file, or a folder of files named after task ids, with `default.json`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def propose(self, prompt: Prompt) -> Reply:
        file = await asyncio.to_thread(_script_of, self._path, prompt.briefing.task_id)
        script = await asyncio.to_thread(load, file)
        number = prompt.briefing.replies
        group = next(islice(groups(script), number, None), Group(errors=(), reply=None))
        return _perform(group, prompt.briefing.spent + prompt.attempt - 1, f"{file}#{number}")


def tools_named(path: Path) -> Mapping[Path, Sequence[str]]:
    """Name the tools that the plans of each script call: of a file, or of all in a folder. Raises PlannerDown."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise PlannerDown(f"the folder of scripts {path} holds none; write one, such as default.json")
    return {file: _tools_in(load(file)) for file in files}


def _tools_in(script: Script) -> Sequence[str]:
    """A script may hold plans that are to be refused, with anything in them."""
    listed = (entry.plan.get("steps") for entry in script.replies if entry.plan is not None)
    steps = (step for steps in listed if isinstance(steps, list) for step in steps if isinstance(step, dict))
    return list(dict.fromkeys(str(step["tool"]) for step in steps if "tool" in step))


def load(file: Path) -> Script:
    """Read and check a script. Raises PlannerDown naming file, place and expectation."""
    try:
        return Script.model_validate(parse(file.read_text("utf-8"), MAX_SCRIPT_BYTES))
    except OSError as error:
        raise PlannerDown(f"the script {file} cannot be read ({error.strerror}); write it, or name another") from error
    except UnicodeDecodeError as error:
        raise PlannerDown(f"the script {file} is not UTF-8 text (byte {error.start})") from error
    except NotJson as error:
        raise PlannerDown(f"the script {file} is not JSON: {error}") from error
    except ValidationError as error:
        raise PlannerDown(f"the script {file} is wrong: {_faults(error)}") from error


def groups(script: Script) -> Iterator[Group]:
    """Cut a script into groups, one for each planning call that ends with a reply."""
    errors: list[Entry] = []
    for entry in script.replies:
        if entry.error is not None and entry.error != "refused":
            errors.append(entry)
            continue
        for _ in range(entry.times):
            yield Group(errors=tuple(errors), reply=entry)
            errors.clear()
    if errors:
        yield Group(errors=tuple(errors), reply=None)


def _script_of(path: Path, task_id: str) -> Path:
    if not path.is_dir():
        return path
    # a task id is chosen by whoever starts the task: it must not lead out of the folder
    own = path / f"{task_id}.json" if _SAFE_NAME.fullmatch(task_id) else None
    if own is not None and own.is_file():
        return own
    if not (path / "default.json").is_file():
        wanted = f"neither {own.name} nor default.json" if own else "no default.json"
        raise PlannerDown(f"the folder of scripts {path} holds {wanted}; write one of them for task {task_id[:200]!r}")
    return path / "default.json"


def _perform(group: Group, used: int, place: str) -> Reply:
    for entry in group.errors:
        if used < entry.times:
            _fail(entry, place)
        used -= entry.times
    if group.reply is None:
        raise PlannerDown(f"the script has no more replies: {place} was asked for; add a reply, or end the task sooner")
    return _reply(group.reply, place)


def _fail(entry: Entry, place: str) -> NoReturn:
    match entry.error:
        case "rate_limited" | "unavailable" | "timeout":
            raise PlannerBusy(f"scripted: {entry.error} ({place})", entry.retry_after)
        case "unauthorized":
            raise PlannerDown(f"scripted: unauthorized ({place})")
        case "refused" | None:
            raise AssertionError("a refusal is a reply and ends its group")
        case other:
            assert_never(other)


def _reply(entry: Entry, place: str) -> Reply:
    plan = _plan(entry)
    return Reply(
        document=None if isinstance(plan, Fault) else plan,
        fault=plan.words if isinstance(plan, Fault) else None,
        usage=Usage(**entry.usage.model_dump()),
        request_id=f"scripted:{place}",
    )


def _plan(entry: Entry) -> dict[str, Json] | Fault:
    if entry.plan is not None:
        return entry.plan
    return refused("") if entry.text is None else decode(entry.text)


def _faults(error: ValidationError) -> str:
    lines = [f"at {'/'.join(map(str, fault['loc'])) or 'the top'}: {fault['msg']}" for fault in error.errors()[:5]]
    return "; ".join(lines)
