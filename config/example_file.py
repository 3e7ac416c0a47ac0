"""What may stand in `example.toml` beside an agent: one task that shows it at work, and what it needs for that."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from config.document import read_document
from core.errors import ConfigError
from core.record import Input, Json

NAME = "example.toml"

Word = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]


class ServiceTable(Input):
    """``[[service]]``: a program that plays the other side. `command` starts in the agent's folder; ``python`` is ours.

    ``port``: of 127.0.0.1, at which it takes connections as soon as it is ready.
    """

    command: Annotated[tuple[Word, ...], Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)]


class ExampleFile(Input):
    """The whole file. ``environ``: variables of services and worker. ``approver``: whose approval each call gets that
    needs one, where there is no terminal to ask at; None = nobody's.
    """

    goal: Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
    inputs: dict[str, Json] = {}
    approver: Word | None = None
    environ: dict[str, str] = {}
    service: tuple[ServiceTable, ...] = ()


def read_example(folder: Path) -> ExampleFile:
    """Read the example of an agent's folder. Raises ConfigError naming what is wrong, or that there is none."""
    path = folder / NAME
    if not path.is_file():
        raise ConfigError(
            f'{path}: there is no such file; write one with goal = "..." and inputs = {{...}}, or start the agent by '
            f"hand: python starter.py dev, then python starter.py run {folder.name} 'what you want' --wait"
        )
    return read_document(path).parse(ExampleFile)
