"""Asks the person at the terminal about open requests; without a terminal it answers by itself, and says so."""

import asyncio
import os
import sys
from typing import Protocol

from cli.deciding import Said, bind
from cli.errors import Declined
from cli.request_view import request_panel
from cli.tasks import Task
from cli.telling import Teller
from core.views import RequestView

_YES = ("y", "yes")


class Approver(Protocol):
    """Whoever answers the requests of the demo's task."""

    async def decide(self, task: Task, request: RequestView) -> None:
        """Approve or reject a call; a request that was answered before is left alone."""
        ...

    async def answer(self, task: Task, request: RequestView) -> None:
        """Answer any other request."""
        ...


class Somebody:
    """Answers as `name`, once each. `is_present`: whether there is a person at the terminal to be asked."""

    def __init__(self, name: str, teller: Teller, *, is_present: bool) -> None:
        self._name = name
        self._teller = teller
        self._is_present = is_present
        self._answered: set[str] = set()

    async def decide(self, task: Task, request: RequestView) -> None:
        if self._is_old(request):
            return
        self._show(task, request)
        if not self._is_present:
            if await self._say(task, request, "approve"):
                self._teller.tell(f"approved as {self._name}", "no terminal to ask at, so the demo approves by itself")
            elif request.id in {one.id for one in await task.requests()}:  # whoever may answer is not here
                self._teller.alarm("the task waits for somebody else", "no terminal to ask at, so it is cancelled")
                await task.cancel()
            return
        answer = (await self._ask(f"Approve this as {self._name}? [y/n] ")).lower()
        is_allowed = answer in _YES
        await self._say(task, request, "approve" if is_allowed else "reject")
        self._teller.tell(f"{'approved' if is_allowed else 'rejected'} by you, as {self._name}")

    async def answer(self, task: Task, request: RequestView) -> None:
        if self._is_old(request):
            return
        self._show(task, request)
        if self._is_present:
            choices = "/".join(request.choices) or "your answer"
            await self._say(task, request, await self._ask(f"{request.reason} [{choices}] "))
            return
        self._teller.alarm("the task asks what only a person can say", "no terminal to ask at, so it is cancelled")
        await task.cancel()

    def _is_old(self, request: RequestView) -> bool:
        is_old = request.id in self._answered
        self._answered.add(request.id)
        return is_old

    def _show(self, task: Task, request: RequestView) -> None:
        self._teller.rest()
        self._teller.screen.show("", request_panel(task.id, request, with_how=False), "")

    async def _ask(self, prompt: str) -> str:
        self._teller.screen.out.print(prompt, end="", style="bold yellow")
        line = await read_line()
        if line is None:
            self._teller.screen.show("")
            raise Declined("nobody answered: the input has ended")
        return line

    async def _say(self, task: Task, request: RequestView, choice: str) -> bool:
        """Answer, and say whether it was accepted; a request that was answered meanwhile (in the UI, say) is fine."""
        try:
            await task.decide(bind(Said(choice=choice, request=request.id, extra={"by": self._name}), request))
        except Declined as error:
            self._teller.alarm("the answer was not accepted", str(error))
            self._answered.discard(request.id)
            return False
        return True


class Nobody:
    """Gives no approval, and answers nothing: a task that asks is cancelled."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller

    async def decide(self, task: Task, request: RequestView) -> None:
        await self._cancel(task, request)

    async def answer(self, task: Task, request: RequestView) -> None:
        await self._cancel(task, request)

    async def _cancel(self, task: Task, request: RequestView) -> None:
        why = "no terminal to ask at, and example.toml names no approver, so it is cancelled"
        self._teller.alarm(f"the task asks: {request.reason}", why)
        await task.cancel()


async def read_line() -> str | None:
    """Read a line from the terminal without a thread that would outlive Ctrl-C; None at the end of input."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def arrived() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(sys.stdin.fileno(), arrived)
    try:
        await ready
    finally:
        loop.remove_reader(sys.stdin.fileno())
    line = os.read(sys.stdin.fileno(), 1024)
    return line.decode(errors="replace").strip() if line else None
