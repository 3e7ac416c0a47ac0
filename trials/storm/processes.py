"""The programs of a storm: each under a keeper that starts it again when it has ended, as services are."""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.devserver import dev_server
from cli.errors import Unreachable
from demo.child import READY_S, STOP_S, Child, NotStarted
from trials.storm.journal import Journal

ROOT = Path(__file__).resolve().parent.parent.parent

_SHORTEST_PAUSE_S = 0.1
_MOST_FAILURES = 10

Ready = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a program is started. `says`: what stands in its log once it works; "" where `ready` tells.

    ``warm``: the socket of the process that forks it (then `command` is the arguments); None = it is started afresh.
    """

    name: str
    command: tuple[str, ...]
    folder: Path
    environ: Mapping[str, str]
    says: str = ""
    ready: Ready | None = None
    warm: Path | None = None

    @property
    def log(self) -> Path:
        """Where its output goes, over all its lives."""
        return self.folder / f"{self.name}.log"

    def start(self) -> "Child | Forked":
        """Start it once."""
        if self.warm is None:
            return Child(self.name, self.command, self.log, environ=self.environ)
        return Forked({"argv": self.command, "log": str(self.log), "environ": dict(self.environ)}, self.warm)


class Forked:
    """A worker that the warm process forked; to its keeper it is what a `Child` is."""

    def __init__(self, order: Mapping[str, Any], warm: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(30)
        self._socket.connect(str(warm))
        self._socket.sendall(json.dumps(order).encode() + b"\n")
        self.pid: int = json.loads(self._line())["pid"]
        self._socket.setblocking(False)
        self._code: int | None = None

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        if self._code is None:
            with suppress(BlockingIOError):
                self._code = json.loads(self._line() or '{"code": -1}')["code"]
        return self._code is None

    async def ready(self, answers: Ready) -> None:
        """Wait until it works. Raises NotStarted."""
        until = time.monotonic() + READY_S
        while not await answers():
            if not self.is_running or time.monotonic() > until:
                raise NotStarted(f"a worker did not get ready; its exit code: {self._code}")
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """End it politely, then for good. Stopping twice is fine."""
        if self.is_running:
            os.kill(self.pid, signal.SIGTERM)
        until = time.monotonic() + STOP_S
        while self.is_running and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        self._socket.close()

    def _line(self) -> bytes:
        return self._socket.recv(1000)


class Kept:
    """A program that is started again `pause` seconds after it ended, until `close`.

    ``works`` is set while it is ready. ``lives``: how often it was started. Signals go to the program's whole group,
    but for SIGTERM, which its guard passes on.
    """

    def __init__(self, recipe: Recipe, journal: Journal) -> None:
        self.name = recipe.name
        self.works = asyncio.Event()
        self.lives = 0
        self.pause = 0.0
        self._recipe, self._journal = recipe, journal
        self._child: Child | Forked | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start it, wait until it works, and keep it from now on."""
        await self._start()
        self._keeping = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """End it for good."""
        if self._keeping is not None:
            self._keeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeping
        if self._child is not None:
            self.hit(signal.SIGCONT)
            await self._child.stop()

    def hit(self, blow: signal.Signals) -> bool:
        """Send a signal; False when it is not running."""
        child = self._child
        if child is None or not child.is_running:
            return False
        try:
            if blow is signal.SIGTERM:
                os.kill(child.pid, blow)
            else:
                os.killpg(child.pid, blow)
        except ProcessLookupError:  # it has ended just now
            return False
        return True

    async def ended(self) -> None:
        """Wait until the life under way is over."""
        life = self.lives
        while self.lives == life and self._child is not None and self._child.is_running:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    async def _keep(self) -> None:
        while True:
            await self.ended()
            self.works.clear()
            self._journal.write("keeper", "ended", program=self.name, life=self.lives)
            await asyncio.sleep(max(self.pause, _SHORTEST_PAUSE_S))
            try:
                await self._start()
            except NotStarted as error:
                self._journal.write("keeper", "not_started", program=self.name, why=str(error)[:300])

    async def _start(self) -> None:
        if self._child is not None:
            await self._child.stop()
        said = _size(self._recipe.log)
        self._child = await asyncio.to_thread(self._recipe.start)
        self.lives += 1
        await self._child.ready(lambda: self._is_ready(said))
        self.works.set()
        self._journal.write("keeper", "started", program=self.name, life=self.lives)

    async def _is_ready(self, said: int) -> bool:
        if self._recipe.ready is not None:
            return await self._recipe.ready()
        return self._recipe.says.encode() in _from(self._recipe.log, said)


class Server:
    """The Temporal server: killed without warning, and started again on the same file and port."""

    def __init__(self, folder: Path, port: int, journal: Journal) -> None:
        self.folder, self.port, self.lives = folder, port, 0
        self.pause = 0.0
        self.works = asyncio.Event()
        self._journal = journal
        self._keeping: asyncio.Task[None] | None = None
        self._pid = 0

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.port}"

    async def open(self) -> None:
        """Start it, wait until it answers, and keep it from now on."""
        self._keeping = asyncio.create_task(self._keep())
        waiting = asyncio.create_task(self.works.wait())
        await asyncio.wait({waiting, self._keeping}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._keeping.done():
            await self._keeping

    async def close(self) -> None:
        """End it for good."""
        if self._keeping is not None:
            self._keeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeping

    def kill(self) -> bool:
        """End it with SIGKILL; False while it is not running."""
        if not self.works.is_set():
            return False
        self.works.clear()
        os.killpg(self._pid, signal.SIGKILL)
        return True

    async def _keep(self) -> None:
        failures = 0
        while failures < _MOST_FAILURES:
            try:
                await self._live()
                failures = 0
            except (NotStarted, Unreachable) as error:
                failures += 1
                self._journal.write("keeper", "not_started", program="server", why=str(error)[:300])
            await asyncio.sleep(max(self.pause, _SHORTEST_PAUSE_S))
        raise NotStarted(f"the server could not be started again {_MOST_FAILURES} times; see {self.folder}")

    async def _live(self) -> None:
        async with dev_server(self.folder, port=self.port, headless=True) as server:
            self.lives += 1
            self._pid = server.child.pid
            self.works.set()
            self._journal.write("keeper", "started", program="server", life=self.lives)
            while server.child.is_running:  # noqa: ASYNC110 - a process tells nobody that it ends
                await asyncio.sleep(0.02)
            self.works.clear()
        self._journal.write("keeper", "ended", program="server", life=self.lives)


@asynccontextmanager
async def kept(program: Kept | Server) -> AsyncIterator[None]:
    """Have a program run for as long as a block does."""
    try:
        await program.open()
        yield
    finally:
        await program.close()


async def run_once(module: str, *arguments: str, folder: Path) -> None:
    """Run a module of the trial to its end. Raises NotStarted with the end of what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    (folder / f"{module.rpartition('.')[2]}.log").write_bytes(said)
    if process.returncode:
        raise NotStarted(f"{module} ended with code {process.returncode}: {said.decode(errors='replace')[-500:]}")


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """Write the command that runs a module of the storm; `environ_with` lets Python find it."""
    return (sys.executable, "-m", f"trials.storm.{name}", *arguments)


def environ_with(**more: str) -> dict[str, str]:
    """Our environment without what would point a worker elsewhere, and with `more`."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("LASTMILE_", "TEMPORAL_"))}
    return {**ours, "PYTHONPATH": str(ROOT), **more}


def worker(number: int, folder: Path, environ: Mapping[str, str]) -> Recipe:
    """The real worker, forked from a process that has loaded its code."""
    command = ("--config", str(folder / "lastmile.toml"))
    return Recipe(f"worker-{number}", command, folder, environ, says="worker.started", warm=folder / "warm.sock")


def warm(folder: Path) -> Recipe:
    """The process that workers are forked from."""
    return Recipe("warm", module("warm", str(folder / "warm.sock")), folder, environ_with(), says="warm.started")


def accepts(port: int) -> Ready:
    """Tell whether somebody listens on a port of this machine."""

    async def ready() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return True
        except OSError:
            return False

    return ready


def copied(source: Path, target: Path) -> None:
    """Copy a folder without what Python left in it."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _from(path: Path, offset: int) -> bytes:
    if not path.exists():
        return b""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read()
