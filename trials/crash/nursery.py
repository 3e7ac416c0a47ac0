"""The zygote as seen from the harness: start a worker, signal it, wait for its end."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from trials.crash.arming import Arm
from trials.crash.zygote import Ended, Order, Started


@dataclass(frozen=True, slots=True)
class Worker:
    """A forked worker; `ended` holds its exit code, negative for a signal."""

    pid: int
    ended: asyncio.Future[int]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; to one that has ended, nothing."""
        if not self.ended.done():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def end(self) -> int:
        """Kill it unless it has ended; return its exit code."""
        self.signal(signal.SIGKILL)
        return await self.ended


class Nursery:
    """Workers by number. The zygote is the only parent, so a pid is not used again before its end was told."""

    def __init__(self, zygote: asyncio.subprocess.Process, environ: dict[str, str]) -> None:
        self._zygote = zygote
        self._environ = environ
        self._number = 0
        self._waiting: dict[int, asyncio.Future[Worker]] = {}
        self._running: dict[int, Worker] = {}

    async def start(self, folder: Path, environ: dict[str, str], arm: Arm | None) -> Worker:
        """Fork a worker that serves the lastmile.toml in a folder."""
        self._number += 1
        log = folder / f"worker-{self._number}.log"
        order = Order(
            number=self._number,
            config=folder / "lastmile.toml",
            log=log,
            environ={**self._environ, **environ},
            arm=arm,
        )
        started: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self._waiting[order.number] = started
        if self._zygote.stdin is None:
            raise RuntimeError("the zygote has no standard input")
        self._zygote.stdin.write(order.model_dump_json().encode() + b"\n")
        return await started

    async def listen(self) -> None:
        """Take in what the zygote says, until it ends."""
        if self._zygote.stdout is None:
            raise RuntimeError("the zygote has no standard output")
        async for line in self._zygote.stdout:
            if b"number" in line:
                self._began(Started.model_validate_json(line))
            else:
                self._ended(Ended.model_validate_json(line))

    def _began(self, said: Started) -> None:
        worker = Worker(said.pid, asyncio.get_running_loop().create_future())
        self._running[said.pid] = worker
        if (waiting := self._waiting.pop(said.number)).cancelled():  # nobody is there any more to end it
            worker.signal(signal.SIGKILL)
        else:
            waiting.set_result(worker)

    def _ended(self, said: Ended) -> None:
        self._running.pop(said.pid).ended.set_result(said.code)


@asynccontextmanager
async def nursery(folder: Path, environ: dict[str, str]) -> AsyncIterator[Nursery]:
    """Start a zygote, and end it with all of its workers. `environ`: what every worker gets besides ours."""
    with (folder / "zygote.log").open("ab") as log:
        zygote = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "trials.crash.zygote",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    found = Nursery(zygote, environ)
    listening = asyncio.create_task(found.listen())
    try:
        yield found
    finally:
        if zygote.stdin is not None:
            zygote.stdin.close()
        await zygote.wait()
        await listening
