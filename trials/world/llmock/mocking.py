"""A running ``llmock serve``: what it is told to do, what it saw, and how it grades whoever asked."""

import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from core.record import Json
from demo.child import Child, free_port
from trials.counter import Missed
from trials.world.installed import NotInstalled

_JOURNAL_WAITS_S = 1.9
_QUIET_S = 60.0
_PROGRAM = Path(sys.executable).with_name("llmock")


@dataclass(frozen=True, slots=True)
class Mock:
    """The server at `url`."""

    url: str

    async def script(self, *behaviors: dict[str, Json]) -> None:
        """Queue what happens to the requests to come."""
        await self._asked("POST", "scenario", {"behaviors": list(behaviors)})

    async def clear(self) -> None:
        """Forget what is queued; what was seen stays."""
        await self._asked("DELETE", "scenario")

    async def requests(self) -> list[dict[str, Any]]:
        """Return the journal when nothing is under way any more. Raises Missed.

        A read waits up to 2 s for requests under way, and leaves out those that take longer; so one that came back
        sooner has them all.
        """
        give_up_at = time.monotonic() + _QUIET_S
        while (began := time.monotonic()) < give_up_at:
            found: list[dict[str, Any]] = (await self._asked("GET", "requests"))["requests"]
            if time.monotonic() - began < _JOURNAL_WAITS_S:
                return found
        raise Missed(f"the end of all requests at llmock: not within {_QUIET_S:g} s")

    async def verdict(self) -> dict[str, Any]:
        """Return the grade."""
        return await self._asked("GET", "verdict")

    async def answers(self) -> bool:
        """Whether it is there."""
        try:
            async with httpx.AsyncClient() as http:
                return (await http.get(f"{self.url}/health")).is_success
        except httpx.HTTPError:
            return False

    async def _asked(self, method: str, what: str, body: Json = None) -> dict[str, Any]:
        async with httpx.AsyncClient(timeout=30) as http:
            answer = await http.request(method, f"{self.url}/_llmock/{what}", json=body)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


@asynccontextmanager
async def mocking(*flags: str) -> AsyncIterator[Mock]:
    """Serve llmock on a free port of 127.0.0.1. Raises NotInstalled."""
    if not _PROGRAM.exists():
        raise NotInstalled('llmock is not installed; do it with: pip install "llmock>=0.2.2"')
    port = free_port()
    mock = Mock(f"http://127.0.0.1:{port}")
    with tempfile.TemporaryDirectory(prefix="lastmile-llmock-") as folder:
        command: Sequence[str] = [str(_PROGRAM), "serve", "--host", "127.0.0.1", "--port", f"{port}", *flags]
        child = Child("llmock", command, Path(folder) / "llmock.log")
        try:
            await child.ready(mock.answers)
            yield mock
        finally:
            await child.stop()
