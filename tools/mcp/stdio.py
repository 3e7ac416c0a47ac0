"""The transport to a server that is started by a command: one line of JSON per message, over its pipes.

The SDK has one too. This one keeps what the ledger needs: whether a call had begun to be written when the session
ended, a limit to the length of a line, and the last words that the server said on standard error.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

LONGEST_LINE = 16 * 1024 * 1024  # bytes; twice what is kept of a result by default, for base64 and escapes
_MOST_GARBAGE = 1_000  # lines that are no message, before a session is given up
_TAIL = 4_000  # bytes of standard error that are remembered
_PATIENCE = 2.0  # seconds that a server gets to end: after its input closed, and again after SIGTERM


@dataclass(slots=True)
class Sending:
    """Whether anything of a call was handed to the pipe."""

    begun: bool = False


current: ContextVar[Sending | None] = ContextVar("current", default=None)
"""The call that the running task makes."""


@dataclass(frozen=True, slots=True)
class Program:
    """What is started, and where. `env` is all that it gets."""

    command: Sequence[str]
    env: Mapping[str, str]
    folder: Path


class Pipes:
    """One running server. `cause` says why it ended, once it has; `ended` is set then."""

    def __init__(self, process: asyncio.subprocess.Process, messages: Any, ended: asyncio.Event) -> None:
        self.process = process
        self.ended = ended
        self.cause = ""
        self._messages = messages
        self._tail = b""

    @property
    def last_words(self) -> str:
        """The end of what the server wrote to standard error, on one line."""
        return " ".join(self._tail.decode("utf-8", "replace").split())[-600:]

    async def read(self) -> None:
        """Pass messages on until the server ends, or sends what cannot be read."""
        assert self.process.stdout is not None
        try:
            self.cause = await self._pass_on(self.process.stdout)
        except ValueError:  # what StreamReader.readline raises beyond its limit
            self.cause = f"it sent a line of more than {LONGEST_LINE:,} bytes"
        except OSError as error:
            self.cause = f"its output cannot be read: {error}"
        finally:
            self.ended.set()
            await self._messages.aclose()

    async def _pass_on(self, stdout: asyncio.StreamReader) -> str:
        from mcp_types import jsonrpc_message_adapter  # noqa: PLC0415 - the SDK is loaded with the first session

        from mcp.shared.message import SessionMessage  # noqa: PLC0415 - as above

        garbage = 0
        while line := await stdout.readline():
            try:
                message = jsonrpc_message_adapter.validate_json(line, by_name=False)
            except (ValueError, RecursionError):  # many servers print to their output by mistake: passed over
                garbage += bool(line.strip())
                if garbage > _MOST_GARBAGE:
                    return f"it sent more than {_MOST_GARBAGE:,} lines that are no MCP messages"
                continue
            await self._messages.send(SessionMessage(message))
        return "it ended"

    async def drain_errors(self) -> None:
        """Read standard error away, however much it is, and remember its end."""
        assert self.process.stderr is not None
        while chunk := await self.process.stderr.read(64 * 1024):
            self._tail = (self._tail + chunk)[-_TAIL:]


class Input:
    """Writes messages to a server, in the task of whoever makes the call. (`WriteStream` of the SDK.)"""

    def __init__(self, pipe: asyncio.StreamWriter) -> None:
        self._pipe = pipe
        self._turn = asyncio.Lock()

    async def send(self, item: Any, /) -> None:
        """Write one message; from the first byte on, the call counts as sent."""
        from anyio import BrokenResourceError  # noqa: PLC0415 - as above

        line = item.message.model_dump_json(by_alias=True, exclude_unset=True).encode("utf-8", "replace") + b"\n"
        async with self._turn:
            if self._pipe.is_closing():
                raise BrokenResourceError
            if (sending := current.get()) is not None:
                sending.begun = True
            try:
                self._pipe.write(line)
                await self._pipe.drain()
            except OSError as error:
                raise BrokenResourceError from error

    async def aclose(self) -> None:
        """Close the server's input, which asks it to end."""
        self._pipe.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()


@asynccontextmanager
async def start(program: Program) -> AsyncIterator[Pipes]:
    """Start a server in a process group of its own, so that a Ctrl-C meant for the worker does not end it in mid-call.

    Raises OSError when it cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        *program.command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=program.folder,
        env=dict(program.env),
        limit=LONGEST_LINE,
        start_new_session=True,
    )
    pipes = Pipes(process, None, asyncio.Event())
    errors = asyncio.create_task(pipes.drain_errors())
    try:
        yield pipes
    finally:
        await _end(process)
        errors.cancel()
        await asyncio.wait({errors})


@asynccontextmanager
async def streams(pipes: Pipes) -> AsyncIterator[tuple[Any, Any]]:
    """Offer a running server as the SDK's pair of streams. (`Transport` of the SDK.)"""
    from anyio import create_memory_object_stream  # noqa: PLC0415 - as above

    assert pipes.process.stdin is not None
    incoming, outgoing = create_memory_object_stream[Any](0)
    pipes._messages = incoming  # noqa: SLF001 - this module's own
    reading = asyncio.create_task(pipes.read())
    try:
        async with outgoing:
            yield outgoing, Input(pipes.process.stdin)
    finally:
        reading.cancel()
        await asyncio.wait({reading})
        incoming.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close its input; then SIGTERM, then SIGKILL, to all that it started (MCP 2025-11-25, lifecycle, shutdown)."""
    if process.stdin is not None:
        process.stdin.close()
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        if number is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await process.wait()
            return
