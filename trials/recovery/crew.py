"""Workers of which one is killed again and again: another one already polls, and a new one is started meanwhile."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from cli.worker_process import WorkerProcess
from trials.counter import Missed
from trials.stage import Stage

SIZE = 3
"""One that has the task, one that takes over, and one that may still be starting (which takes about 3 s of CPU)."""

_LEAST = 2


class Crew:
    """Running workers by process id."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._ready: dict[int, WorkerProcess] = {}
        self._starting: set[asyncio.Task[None]] = set()
        self._reaping: list[asyncio.Task[None]] = []
        self._number = 0

    async def complete(self) -> None:
        """Wait until two workers poll; the crew is brought to its size meanwhile."""
        self._see_who_started()
        for _ in range(SIZE - len(self._ready) - len(self._starting)):
            self._recruit()
        while len(self._ready) < _LEAST:
            await asyncio.wait(self._starting, return_when=asyncio.FIRST_COMPLETED)
            self._see_who_started()

    def _see_who_started(self) -> None:
        """Forget the starts that are over; raise what went wrong with one."""
        for one in [task for task in self._starting if task.done()]:
            self._starting.discard(one)
            one.result()

    @property
    def pids(self) -> list[int]:
        """Process ids of those that poll."""
        return list(self._ready)

    async def kill(self, pid: int, *, is_awaited: bool = True) -> float:
        """End a worker with SIGKILL; return when, on the monotonic clock. Raises Missed for one that is not ours.

        ``is_awaited``: return only when it is dead, its connections closed. A process of this size takes some 10 ms to
        go, and the server may hand it work until then.
        """
        if pid not in self._ready:
            raise Missed(f"process {pid} is no worker of this trial")
        worker = self._ready.pop(pid)
        at = time.monotonic()
        worker.kill()
        while is_awaited and not _is_dead(pid):  # noqa: ASYNC110 - the end of a process that is no child of ours can only be looked for
            await asyncio.sleep(0.002)
        self._reaping.append(asyncio.create_task(worker.stop()))
        self._recruit()
        return at

    async def leave(self) -> None:
        """End everybody."""
        for task in self._starting:
            task.cancel()
        for worker in self._ready.values():
            with suppress(ProcessLookupError):
                worker.kill()
            await worker.stop()
        await asyncio.gather(*self._reaping)

    def _recruit(self) -> None:
        self._number += 1
        self._starting.add(asyncio.create_task(self._join(self._number)))

    async def _join(self, number: int) -> None:
        worker = self._stage.worker(f"worker-{number}")
        try:
            await worker.ready()
        except asyncio.CancelledError:
            await worker.stop()
            raise
        self._ready[_pid_in(worker)] = worker


def _pid_in(worker: WorkerProcess) -> int:
    """Read the worker's own process id out of its log (the other one is its guard's)."""
    lines = [json.loads(line) for line in worker.log.read_text().splitlines() if line.startswith("{")]
    return int(next(line["pid"] for line in lines if line["event"] == "worker.started"))


def _is_dead(pid: int) -> bool:
    """Whether a process is gone but for its first thread, a zombie: only then are its files closed (Linux, proc(5))."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        return len(threads) == 1 and (threads[0] / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


@asynccontextmanager
async def crewed(stage: Stage) -> AsyncIterator[Crew]:
    """Have a crew for as long as the block lasts."""
    crew = Crew(stage)
    try:
        yield crew
    finally:
        await crew.leave()
