"""Following a task on the screen to its end, and having somebody answer what it asks."""

from cli.asking import Approver
from cli.live import follow
from cli.outcomes import Outcome
from cli.tasks import Task
from cli.telling import Teller
from core.task import RequestKind
from core.views import RequestView


async def accompany(task: Task, teller: Teller, approver: Approver) -> Outcome:
    """Tell what happens until the task has ended."""
    async for seen in follow(task):
        teller.steps(seen)
        if seen.outcome is not None:
            return seen.outcome
        for request in seen.requests:
            await _answer(task, request, approver)
    raise AssertionError("a followed task ends with an outcome")


async def _answer(task: Task, request: RequestView, approver: Approver) -> None:
    if request.kind is RequestKind.APPROVAL:
        await approver.decide(task, request)
    else:
        await approver.answer(task, request)
