"""Programs that run beside the demo: started under a guard, awaited until ready, ended by id."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from core.errors import LastmileError

READY_S = 45.0
"""Seconds that a program may take until it answers."""

STOP_S = 8.0
"""Seconds that a program may take to end; longer than the guard's grace."""

_GUARD = Path(__file__).with_name("guard.py")


class NotStarted(LastmileError):
    """A program of the demo is not there, or ended or stayed silent instead of getting ready."""


def free_port() -> int:
    """Find a port of 127.0.0.1 that is free now, for programs that cannot be handed a socket."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Child:
    """One running program. `pid` is its guard's, which leads a process group of its own: Ctrl-C does not reach it.

    ``environ``: all of its environment; None: ours. ``folder``: where it runs; None: where its log is.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        pass_fds: Sequence[int] = (),
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.name, self.log = name, log
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - fixed programs, no shell
                [sys.executable, str(_GUARD), *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder or log.parent,
                pass_fds=pass_fds,
                env=environ,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id of the guard."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the program has not ended yet."""
        return self._process.poll() is None

    async def ready(self, answers: Callable[[], Awaitable[bool]], within_s: float = READY_S) -> None:
        """Wait until the program answers. Raises NotStarted with the end of its log."""
        until = time.monotonic() + within_s
        while not await answers():
            if not self.is_running or time.monotonic() > until:
                raise NotStarted(self._why())
            await asyncio.sleep(0.02)

    def _why(self) -> str:
        what = "does not answer" if self.is_running else f"ended with code {self._process.returncode}"
        said = " | ".join(self.log.read_text(errors="replace").strip().splitlines()[-3:])
        return f"{self.name} {what}: {said or 'it said nothing'} (its log: {self.log})"

    async def stop(self) -> None:
        """End the program and wait until it is gone. Stopping twice is fine."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        await asyncio.to_thread(self._reap)

    def _reap(self) -> None:
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
