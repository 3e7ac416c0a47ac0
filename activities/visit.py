"""One attempt of one call at the door: what came in, what it concerns, and how much time it has."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from core import names
from core.errors import Refused
from core.messages import CallOrder, Ruling
from core.ports import Agent, Call, Tool
from core.receipts import Line, Row, TaskRow
from core.record import Json

Clock = Callable[[], datetime]
T = TypeVar("T")

_LEASE_AFTER_DEADLINE = timedelta(seconds=2)
_TO_STOP = 0.5  # seconds that a tool gets to end after it was told to; one that does not listen is left behind


class DeadlineOver(TimeoutError):
    """The tool did not answer in time; whatever it was doing may still happen."""


@dataclass(frozen=True, slots=True)
class Visit:
    """`agent` and `tool` are None when this worker does not know them (any more); at `ends_at` the attempt is over.

    ``run_id``: None for the completer, which acts for no run. ``id``: the same for all attempts of this visit.
    """

    order: CallOrder
    name: str
    task: TaskRow
    agent: Agent | None
    tool: Tool | None
    run_id: str | None
    id: str
    attempt: int
    ends_at: datetime
    clock: Clock
    log: Any

    @property
    def is_unchanged(self) -> bool:
        """Whether today's contract is the one that the step was planned with."""
        return self.tool is not None and self.tool.contract.digest == self.order.digest

    @property
    def is_given_up(self) -> bool:
        """Whether a person spoke of this call, and not to have it sent: only "it did not happen" is a reason to."""
        ruling = self.order.ruling
        return ruling is not None and ruling.choice != "did_not_happen"

    @property
    def has_grown_old(self) -> bool:
        """Whether something that the arguments rest on is too old by now for the call to be begun."""
        return self.order.fresh_until is not None and self.clock() > self.order.fresh_until

    def ruling_on(self, row: Row | None) -> Ruling | None:
        """What a person said of the last send of a row; what they said of an earlier one does not count."""
        ruling = self.order.ruling
        is_of_another = row is not None and ruling is not None and ruling.sends not in (None, row.sends)
        return None if is_of_another else ruling

    def knows(self, row: Row) -> bool:
        """Whether today's tool would make the very call that a row was sent with, so that it may be sent again."""
        if self.tool is None or self.tool.contract.effect is not row.effect:
            return False
        try:
            return names.canonical(self.tool.check(row.args)) == names.canonical(row.args)
        except (Refused, names.NotCanonical):
            return False

    def call(self, tool: Tool, row: Row | None) -> Call:
        """Say what a tool is told besides its arguments."""
        return Call(
            key=self.order.key,
            task_id=self.order.task_id,
            step_id=self.order.step,
            attempt=max(row.sends, 1) if row else 1,
            deadline=self.clock() + tool.contract.timeout,
            inputs=self.task.inputs,
            log=self.log,
        )

    def sending(self, tool: Tool, row: Row) -> Call:
        """As `call`, with the deadline that the dispatch mark says."""
        return replace(self.call(tool, row), deadline=row.send_deadline or self.clock() + tool.contract.timeout)

    def deadline_and_lease(self, tool: Tool) -> tuple[datetime, datetime]:
        """Return the deadline of a send that is marked now, and until when nobody else may look at it."""
        deadline = self.clock() + tool.contract.timeout
        return deadline, deadline + _LEASE_AFTER_DEADLINE

    def line(self, event: str, fields: dict[str, Json]) -> Line:
        """Make an audit line about this call."""
        return Line(
            task_id=self.order.task_id,
            at=self.clock(),
            event=event,
            step=self.order.step,
            tool=self.name,
            key=self.order.key,
            attempt=self.attempt,
            fields=fields,
        )

    @property
    def time_left(self) -> timedelta:
        """What is left of this attempt, but for a second to write down what came of it."""
        return self.ends_at - timedelta(seconds=1) - self.clock()

    def has_time_for(self, duration: timedelta) -> bool:
        """Whether that much is left of this attempt."""
        return duration <= self.time_left


async def within(limit: timedelta, work: Coroutine[Any, Any, T]) -> T:
    """Wait for a tool, at most `limit`. Raises DeadlineOver, also when it ignores that it was stopped."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task}, timeout=max(limit.total_seconds(), 0.0))
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_TO_STOP)
    if task.done() and not task.cancelled():
        return task.result()
    task.add_done_callback(_forget)
    raise DeadlineOver(f"no answer within {limit.total_seconds():g} s")


def _forget(task: "asyncio.Task[Any]") -> None:
    """Take the error of a task that nobody waits for, so that it is not reported as lost."""
    if not task.cancelled():
        task.exception()


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end even when this attempt is cancelled meanwhile: what is sent must be written down."""
    task = asyncio.create_task(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            continue
        except Exception:  # noqa: BLE001 - raised below
            break
    return task.result()
