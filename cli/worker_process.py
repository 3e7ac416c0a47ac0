"""Workers as processes of their own, which the demo starts, kills and starts again."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from demo.child import Child

PROGRAM = Path(__file__).resolve().parent.parent / "worker.py"
_OTHERS = ("LASTMILE_", "TEMPORAL_")


class WorkerProcess:
    """A running worker; what it says is in `log`, and it ends with us."""

    def __init__(self, config: Path, log: Path, environ: Mapping[str, str]) -> None:
        self.log = log
        self._said = log.stat().st_size if log.exists() else 0
        command = [sys.executable, str(PROGRAM), "--config", str(config)]
        self._child = Child("the worker", command, log, environ=_cleared(environ))

    @property
    def pid(self) -> int:
        """Id of the process group."""
        return self._child.pid

    async def ready(self) -> None:
        """Wait until it polls. Raises NotStarted with the end of its log."""
        await self._child.ready(self._polls)

    async def _polls(self) -> bool:
        return b"worker.started" in self.log.read_bytes()[self._said :]

    def kill(self) -> None:
        """End it with SIGKILL, as a crash of the machine would."""
        os.killpg(self._child.pid, signal.SIGKILL)

    async def stop(self) -> None:
        """Let it drain, and end it."""
        await self._child.stop()


@asynccontextmanager
async def running_worker(config: Path, log: Path, environ: Mapping[str, str]) -> AsyncIterator[WorkerProcess]:
    """Start a worker, wait until it polls, and stop it afterwards."""
    worker = WorkerProcess(config, log, environ)
    try:
        await worker.ready()
        yield worker
    finally:
        await worker.stop()


def _cleared(environ: Mapping[str, str]) -> dict[str, str]:
    """Leave out what would point the worker elsewhere than its configuration does."""
    return {name: value for name, value in environ.items() if not name.startswith(_OTHERS)}
