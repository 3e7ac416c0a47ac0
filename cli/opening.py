"""What almost every verb begins with: the configuration, a screen, and a connection; then its own coroutine."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from temporalio.client import Client

from cli.connection import connect
from cli.errors import Exit
from cli.screen import Screen
from cli.tasks import Task
from config.settings import Settings, load


@dataclass(frozen=True, slots=True)
class Desk:
    """A connected command line."""

    screen: Screen
    settings: Settings
    client: Client

    def task(self, task_id: str) -> Task:
        """Take up a task by its id."""
        return Task(self.client, task_id)


Verb = Callable[[Desk], Coroutine[Any, Any, Exit]]


def at_the_desk(verb: Verb, *, config: Path | None, as_json: bool) -> None:
    """Connect, run a verb, and end with its exit code."""
    settings, screen = load(config), Screen(as_json=as_json)
    leave(asyncio.run(_connected(verb, settings, screen)))


async def _connected(verb: Verb, settings: Settings, screen: Screen) -> Exit:
    return await verb(Desk(screen, settings, await connect(settings)))


def leave(code: Exit) -> None:
    """End the process with a code."""
    raise typer.Exit(int(code))
