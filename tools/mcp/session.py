"""One long-lived session with one MCP server, shared by all calls of a worker; begun again when it ends.

::

    idle --first call--> starting --list of tools read--> running --server ends, session forgotten--> ended
      ^                     | fails                                                                     |
      +---- back-off -------+------------------ (none after 10 s of good service) ----------------------+

A session is held by one task from its start to its end, because the SDK wants that; the next one begins only when the
process of the last one is gone (two processes on one state folder lose writes). Nothing here sends a call twice.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from contextvars import Context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog
from pydantic import ValidationError

from core.errors import NotSent
from core.record import Json
from tools.mcp.connecting import Connected, connect, list_tools
from tools.mcp.faults import ConnectionEnded, SessionGone, ToolChanged, UnreadableAnswer, by_code
from tools.mcp.pins import Accepted, Pin
from tools.mcp.results import Answer, read_answer
from tools.mcp.server import Server
from tools.mcp.stdio import Sending, current

if TYPE_CHECKING:
    from mcp.shared.exceptions import MCPError

_GOOD_SERVICE = 10.0  # seconds that a session has to last so that the next one begins at once
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds


@dataclass(slots=True)
class _Run:
    """One session. `started`: the connection, or why there is none. `task` holds it until all of it is gone."""

    started: "asyncio.Future[Connected | str]"
    task: "asyncio.Task[None] | None" = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    is_over: bool = False


class Session:
    """Makes calls to one server. `environ`: where its secrets are."""

    def __init__(self, server: Server, environ: Mapping[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        self.server = server
        self._environ = environ
        self._clock = clock
        self._run: _Run | None = None
        self._failures = 0
        self._not_before = 0.0
        self._cause = ""

    async def tools(self, patience: float) -> Mapping[str, Pin]:
        """Return what the server says about its tools now. Raises NotSent."""
        return (await self._connected(patience)).said

    async def call(self, accepted: Accepted, args: Mapping[str, Json], patience: float) -> Answer:
        """Call a tool as it was accepted; wait for a session at most `patience` seconds.

        Raises ToolChanged, NotSent, Refused, ConnectionEnded or UnreadableAnswer. There is no time limit once the call
        is sent.
        """
        connected = await self._connected(patience)
        self._check(connected, accepted)
        sending = Sending()
        token = current.set(sending)
        try:
            return await self._ask(connected, accepted.pin.name, args, sending)
        finally:
            current.reset(token)

    async def aclose(self) -> None:
        """End the session and its process; calls under way are in doubt."""
        if self._run is None or self._run.task is None:
            return
        self._run.stop.set()
        if not self._run.started.done():
            self._run.task.cancel()
        await asyncio.wait({self._run.task})

    async def _ask(self, connected: Connected, name: str, args: Mapping[str, Json], sending: Sending) -> Answer:
        from mcp.shared.exceptions import MCPError  # noqa: PLC0415 - the SDK is loaded with the first session

        try:
            return read_answer(await connected.call(name, args))
        except MCPError as error:
            raise self._sorted(connected, error, sending) from error
        except ValidationError as error:
            raise UnreadableAnswer(f"{self._name} answered what is no result of a tool") from error

    def _sorted(self, connected: Connected, error: "MCPError", sending: Sending) -> Exception:
        known = connected.mark.error(error.error.data)
        if isinstance(known, SessionGone):
            self._forget(connected)
        if known is not None:
            return known
        if connected.pipes is None:
            return by_code(error.code, error.message)
        if not sending.begun:
            return NotSent(f"{self._name} takes no calls: {connected.why_ended}")
        if connected.has_ended:
            return ConnectionEnded(f"{self._name} ended: {connected.why_ended}")
        return by_code(error.code, error.message)

    def _check(self, connected: Connected, accepted: Accepted) -> None:
        name = accepted.pin.name
        if (said := connected.digests.get(name)) == accepted.digest:
            return
        what = "does not offer it any more" if said is None else "says something else about it than was accepted"
        raise ToolChanged(f"{name}: {self._name} {what}")

    async def _connected(self, patience: float) -> Connected:
        run = self._run
        if run is None or run.is_over:
            run = self._run = self._begin()
        await asyncio.wait({run.started}, timeout=patience)
        if not run.started.done():
            raise NotSent(f"{self._name} has not started within {patience:g} s; it goes on starting")
        found = run.started.result()
        if isinstance(found, str):
            raise NotSent(found, self._pause)
        if found.is_stale:
            await self._refresh(found, patience)
        return found

    async def _refresh(self, connected: Connected, patience: float) -> None:
        """Read the list of tools again: the server said that it changed."""
        try:
            async with asyncio.timeout(patience):
                await list_tools(connected)
        except Exception as error:
            raise NotSent(f"{self._name} changed its tools, and cannot list them: {words(error)}") from error

    def _begin(self) -> _Run:
        if self._pause is not None:
            raise NotSent(f"{self._name} is not there: {self._cause}; it is tried again", self._pause)
        run = _Run(asyncio.get_running_loop().create_future())
        last = self._run.task if self._run is not None else None
        # a context of its own: what is bound to the call that happens to be first (logs, the activity) is not its
        run.task = asyncio.create_task(self._hold(run, last), context=Context())
        return run

    async def _hold(self, run: _Run, last: "asyncio.Task[None] | None") -> None:
        if last is not None:
            await asyncio.wait({last})
        begun = self._clock()
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(self.server.table.start_timeout.total_seconds()):
                    connected = await connect(self.server, self._environ, stack)
                run.started.set_result(connected)
                structlog.get_logger().info(
                    "mcp.session_begun", server=self.server.table.name, tools=len(connected.said)
                )
                await _either(connected.ended, run.stop)
                self._over(run, begun, connected.why_ended)
        except Exception as error:  # noqa: BLE001 - whatever a server does when it starts or ends, only its session ends
            self._over(run, begun, words(error))
        finally:
            run.is_over = True
            if not run.started.done():
                run.started.set_result(f"{self._name} cannot be used: {self._cause}")

    def _over(self, run: _Run, begun: float, cause: str) -> None:
        """Note how a session ended. The next call begins another, after a pause when this one was no good."""
        run.is_over = True
        self._cause = cause
        self._failures = 0 if self._clock() - begun >= _GOOD_SERVICE else self._failures + 1
        pause = min(_FIRST_PAUSE * 2 ** (self._failures - 1), _LONGEST_PAUSE) if self._failures else 0.0
        self._not_before = self._clock() + pause
        if not run.stop.is_set():
            log = structlog.get_logger()
            log.warning("mcp.session_ended", server=self.server.table.name, cause=cause, pause_s=pause)

    def _forget(self, connected: Connected) -> None:
        connected.ended.set()
        if self._run is not None:
            self._run.is_over = True

    @property
    def _pause(self) -> float | None:
        """Seconds until the next session may begin; None when it may now."""
        left = self._not_before - self._clock()
        return left if left > 0 else None

    @property
    def _name(self) -> str:
        return f"MCP server {self.server.table.name}"


class Sessions:
    """The sessions of one worker, by what is started or called: agents that name the same server share it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self._sessions: dict[str, Session] = {}

    def of(self, server: Server) -> Session:
        """Return the session of a server; nothing is started before the first call."""
        return self._sessions.setdefault(server.identity, Session(server, self.environ))

    async def aclose(self) -> None:
        """End all sessions."""
        await asyncio.gather(*(one.aclose() for one in self._sessions.values()))


async def _either(*events: asyncio.Event) -> None:
    waiting = {asyncio.create_task(event.wait()) for event in events}
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


def words(error: BaseException) -> str:
    """Say what an error says, in one line; of a group the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = " ".join(str(error).split())[:500]
    if isinstance(error, TimeoutError):
        return "it did not get ready in time (start_timeout)"
    return text or type(error).__name__
