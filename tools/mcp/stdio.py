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
_MOST_UNREAD = 4 * 1024 * 1024  # bytes that wait for a server to read them
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

    def __init__(self, stdin: asyncio.StreamWriter, stdout: asyncio.StreamReader, stderr: asyncio.StreamReader) -> None:
        self.stdin = stdin
        self._stdout = stdout
        self._stderr = stderr
        self.ended = asyncio.Event()
        self.cause = ""
        self._tail = b""

    @property
    def last_words(self) -> str:
        """The end of what the server wrote to standard error, on one line."""
        return " ".join(self._tail.decode("utf-8", "replace").split())[-600:]

    async def read(self, messages: Any) -> None:
        """Pass messages on until the server ends, or sends what cannot be read."""
        from anyio import BrokenResourceError, ClosedResourceError  # noqa: PLC0415 - loaded with the first session

        try:
            self.cause = await self._pass_on(messages)
        except ValueError:  # what StreamReader.readline raises beyond its limit
            self.cause = f"it sent a line of more than {LONGEST_LINE:,} bytes"
        except OSError as error:
            self.cause = f"its output cannot be read: {error}"
        except (BrokenResourceError, ClosedResourceError):
            self.cause = "the session was closed"
        finally:
            self.ended.set()
            await messages.aclose()

    async def _pass_on(self, messages: Any) -> str:
        from mcp.shared.message import SessionMessage  # noqa: PLC0415 - as above
        from mcp_types import jsonrpc_message_adapter  # noqa: PLC0415 - the SDK is loaded with the first session

        garbage = 0
        while line := await self._stdout.readline():
            try:
                message = jsonrpc_message_adapter.validate_json(line, by_name=False)
            except (ValueError, RecursionError):  # many servers print to their output by mistake: passed over
                garbage += bool(line.strip())
                if garbage > _MOST_GARBAGE:
                    return f"it sent more than {_MOST_GARBAGE:,} lines that are no MCP messages"
                continue
            await messages.send(SessionMessage(message))
        return "it ended"

    async def watch(self, process: asyncio.subprocess.Process) -> None:
        """End the reading when the server is gone, though something that it started holds its output open."""
        await process.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self.ended.wait()
        if not self.ended.is_set():
            self._stdout.feed_eof()

    async def drain_errors(self) -> None:
        """Read standard error away, however much it is, and remember its end."""
        while chunk := await self._stderr.read(64 * 1024):
            self._tail = (self._tail + chunk)[-_TAIL:]


class Input:
    """Writes messages to a server, in the task of whoever makes the call. (`WriteStream` of the SDK.)

    It never waits: a server that does not read is one to which nothing more is sent.
    """

    def __init__(self, pipe: asyncio.StreamWriter) -> None:
        self._pipe = pipe

    async def send(self, item: Any, /) -> None:
        """Write one message; from the first byte on, the call counts as sent."""
        from anyio import BrokenResourceError  # noqa: PLC0415 - as above

        line = item.message.model_dump_json(by_alias=True, exclude_unset=True).encode("utf-8", "replace") + b"\n"
        if self._pipe.is_closing() or self._pipe.transport.get_write_buffer_size() > _MOST_UNREAD:
            raise BrokenResourceError
        if (sending := current.get()) is not None:
            sending.begun = True
        self._pipe.write(line)

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
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise OSError("the program got no pipes")
    pipes = Pipes(process.stdin, process.stdout, process.stderr)
    tasks = {asyncio.create_task(pipes.drain_errors()), asyncio.create_task(pipes.watch(process))}
    try:
        yield pipes
    finally:
        await _end(process)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@asynccontextmanager
async def streams(pipes: Pipes) -> AsyncIterator[tuple[Any, Any]]:
    """Offer a running server as the SDK's pair of streams. (`Transport` of the SDK.)"""
    from anyio import create_memory_object_stream  # noqa: PLC0415 - as above

    incoming, outgoing = create_memory_object_stream[Any](0)
    reading = asyncio.create_task(pipes.read(incoming))
    try:
        async with outgoing:
            yield outgoing, Input(pipes.stdin)
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
            break
    with contextlib.suppress(ProcessLookupError, PermissionError):  # what it started itself, and left behind
        os.killpg(process.pid, signal.SIGKILL)
