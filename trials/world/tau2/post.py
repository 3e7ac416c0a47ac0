"""Stands between workers and one MCP server over stdio: forwards every call, and loses some of the answers.

One server process serves all workers, since two on one state folder lose writes. What is lost was carried out: the
server answered, and nobody hears of it. Most lost answers never come; one in ten cuts the connection.
"""

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_LONGEST_LINE = 64 * 1024 * 1024
_CUTS = 0.1


@dataclass(slots=True)
class Post:
    """A server, its address for bridge.py, and what happened to calls of its tools (by name, in order).

    ``lost_share``: of the answers to calls, from 0 to 1; ``into``: the server's standard input, once it runs.
    """

    lost_share: float
    dice: random.Random
    address: str = ""
    calls: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    cuts: int = 0
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _waiting: dict[int, "asyncio.Future[dict[str, Any]]"] = field(default_factory=dict)
    into: asyncio.StreamWriter | None = None

    async def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Put a request to the server under a number of ours, and return its answer under the asker's."""
        if self.into is None:
            raise ConnectionError("the server does not run")
        number = next(self._numbers)
        answered = self._waiting[number] = asyncio.get_running_loop().create_future()
        self.into.write(json.dumps({**request, "id": number}).encode() + b"\n")
        return {**await answered, "id": request["id"]}

    async def call(self, tool: str, args: Mapping[str, Any]) -> dict[str, Any]:
        """Call a tool; nothing is lost. Return the answer's structured content."""
        params = {"name": tool, "arguments": dict(args)}
        answer = await self.ask({"jsonrpc": "2.0", "id": 0, "method": "tools/call", "params": params})
        content: dict[str, Any] = answer["result"]["structuredContent"]
        return content

    async def listen(self, process: asyncio.subprocess.Process) -> None:
        """Hand the server's answers to whoever waits for them, until it ends."""
        while process.stdout is not None and (line := await process.stdout.readline()):
            answer = json.loads(line)
            if (waiting := self._waiting.pop(answer.get("id"), None)) is not None and not waiting.done():
                waiting.set_result(answer)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection: each request on its own, so that one that is lost holds no other up."""
        going: set[asyncio.Task[None]] = set()
        try:
            while line := await reader.readline():
                message = json.loads(line)
                if "id" in message:
                    going.add(one := asyncio.create_task(self._pass_on(message, writer)))
                    one.add_done_callback(going.discard)
        except ConnectionError:
            pass
        finally:
            await asyncio.gather(*going, return_exceptions=True)  # what was sent is carried out all the same
            writer.close()

    async def _pass_on(self, request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        is_call = request.get("method") == "tools/call"
        fate, is_cut = self.dice.random(), self.dice.random() < _CUTS
        answer = await self.ask(request)
        if is_call:
            self.calls.append(request["params"]["name"])
        if is_call and fate < self.lost_share:
            self.lost.append(request["params"]["name"])
            self.cuts += is_cut
            if is_cut:
                writer.transport.abort()
            return
        if not writer.is_closing():  # else its worker was killed meanwhile
            writer.write(json.dumps(answer).encode() + b"\n")


@asynccontextmanager
async def posted(command: Sequence[str], environ: Mapping[str, str], log: Path, post: Post) -> AsyncIterator[Post]:
    """Start the server and listen on a free port of 127.0.0.1, for as long as the block lasts."""
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=dict(environ),
            limit=_LONGEST_LINE,
        )
    post.into = process.stdin
    hearing = asyncio.create_task(post.listen(process))
    door = await asyncio.start_server(post.serve, "127.0.0.1", 0, limit=_LONGEST_LINE)
    try:
        host, port = door.sockets[0].getsockname()[:2]
        post.address = f"{host}:{port}"
        yield post
    finally:
        door.close()
        if process.stdin is not None:
            process.stdin.close()  # asks it to end
        await process.wait()
        await hearing
