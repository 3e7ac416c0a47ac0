"""Following a task to its end: what there is to see whenever it changes, also while no worker answers for a moment."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from cli.errors import Unreachable
from cli.outcomes import Outcome
from cli.screen import Screen
from cli.task_view import ending, picture, plain_picture
from cli.tasks import NoWorker, Task
from core import views
from core.card import visible
from core.task import Step, TaskState
from core.views import RequestView, StatusView

_QUICK, _SLOW = 0.2, 2.0
"""Seconds between two looks: after a change, and when nothing has changed for long."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at one moment. `trouble`: why nothing could be seen just now; the rest is the last look."""

    status: StatusView | None = None
    requests: tuple[RequestView, ...] = ()
    state: TaskState | None = None
    trouble: str = ""
    outcome: Outcome | None = None

    def picture(self) -> RenderableType:
        """Draw it."""
        if self.state is not None:
            return picture(self.state)
        return plain_picture(self.status, self.requests) if self.status else Text("not started yet", style="dim")


async def look(task: Task) -> Look:
    """Look once at a task that runs. Raises NoWorker, CallerError."""
    state = await task.state()
    if state is not None:
        return Look(views.status_view(state), tuple(views.request_views(state)), state)
    return Look(await task.status(), tuple(await task.requests()))


async def follow(task: Task) -> AsyncIterator[Look]:
    """Yield a look whenever something has changed; the last one has the outcome."""
    seen, pause = Look(), _QUICK
    ended = asyncio.create_task(_end_of(task))
    try:
        while not ended.done():
            now = await _try_to_look(task, seen)
            pause = min(pause * 1.3, _SLOW) if now == seen else _QUICK
            if now != seen:
                yield now
            seen = now
            await asyncio.wait({ended}, timeout=pause)
        last = await _try_to_look(task, seen)
        yield Look(last.status, (), last.state, "", ended.result())
    finally:
        ended.cancel()


async def _end_of(task: Task) -> Outcome:
    """Wait for the end; a server that is away for a while is asked again."""
    while True:
        try:
            await task.describe()
            return await task.wait()
        except Unreachable:
            await asyncio.sleep(_SLOW)


async def _try_to_look(task: Task, last: Look) -> Look:
    try:
        return await look(task)
    except NoWorker as error:
        return Look(last.status, last.requests, last.state, str(error))


async def watch(screen: Screen, task: Task) -> Outcome:
    """Follow a task on the screen: drawn over again on a terminal, a line for each change elsewhere."""
    if screen.is_live:
        return await _watch_live(screen, task)
    printer = _Lines(screen)
    async for seen in follow(task):
        printer.tell(seen)
        if seen.outcome is not None:
            return seen.outcome
    raise AssertionError("a followed task ends with an outcome")


async def _watch_live(screen: Screen, task: Task) -> Outcome:
    last = Look()
    spinner = Spinner("dots", style="cyan")
    with Live(spinner, console=screen.out, refresh_per_second=8, transient=True) as live:
        async for last in follow(task):
            note = Text(f" {visible(last.trouble)}", style="yellow") if last.trouble else Text("")
            live.update(Group(last.picture(), Text(), spinner, note))
    if last.state is not None:
        screen.show(picture(last.state), "")
    if last.outcome is None:
        raise AssertionError("a followed task ends with an outcome")
    return last.outcome


class _Lines:
    """Tells changes one a line, on standard error, so that standard output holds the result only."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._said: set[str] = set()

    def tell(self, seen: Look) -> None:
        for line in _lines(seen):
            if line not in self._said:
                self._said.add(line)
                self._screen.say(line)


def _lines(seen: Look) -> list[str]:
    lines = [seen.trouble] if seen.trouble else []
    if seen.status is not None and seen.outcome is None:
        waits = f", waits for {', '.join(seen.status.waiting_for)}" if seen.status.waiting_for else ""
        lines.append(f"{seen.status.status.value.lower()} (round {seen.status.round}){waits}")
    if seen.state is not None:
        steps = {**seen.state.past, **seen.state.steps}.values()
        lines += [step_line(step) for step in steps if not step.phase.is_open]
    return lines


def step_line(step: Step) -> str:
    """Say how a step ended, in a line."""
    note = " (nothing sent: an earlier call had done this)" if step.already else ""
    return f"{step.id} {step.tool}: {step.phase.value}{note}"


def show_end(screen: Screen, outcome: Outcome) -> None:
    """Print how a task ended."""
    screen.show(ending(outcome))
    screen.data(outcome.result if outcome.result is not None else outcome)
