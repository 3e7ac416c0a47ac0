"""The provider as seen from the harness: start it, script it, release what it holds, and read its counts."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import httpx

from core.record import Record


class Counts(Record):
    """What the provider has about one reference."""

    requests: int
    applied: int
    probes: int


class Target:
    """Speaks to the provider at `url`. Every method raises httpx.HTTPError when it does not answer."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self.url = url
        self._http = http

    async def script(self, ref: str, behaviours: Sequence[str]) -> None:
        """Say what is done with the next requests about a reference."""
        (await self._http.put(f"/script/{ref}", json=list(behaviours))).raise_for_status()

    async def taken(self, ref: str) -> None:
        """Wait until a request is held."""
        (await self._http.get(f"/taken/{ref}", timeout=None)).raise_for_status()

    async def release(self, ref: str, how: Literal["answer", "drop"]) -> None:
        """Let what is held, and will be, go."""
        (await self._http.post(f"/release/{ref}", json={"how": how})).raise_for_status()

    async def change(self, ref: str) -> None:
        """Let somebody else change the value."""
        (await self._http.post(f"/foreign/{ref}")).raise_for_status()

    async def counts(self, ref: str) -> Counts:
        """Count requests, applications and probes."""
        return Counts.model_validate((await self._http.get(f"/counts/{ref}")).raise_for_status().json())


@asynccontextmanager
async def target(folder: Path) -> AsyncIterator[Target]:
    """Start the provider with its file in `folder`, and end it."""
    with (folder / "provider.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "trials.crash.provider",
            str(folder / "provider.db"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    if process.stdout is None or process.stdin is None:
        raise RuntimeError("the provider has no pipes")
    port = int(await asyncio.wait_for(process.stdout.readline(), 30))
    url = f"http://127.0.0.1:{port}"
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
    try:
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=30.0) as http:
            yield Target(url, http)
    finally:
        process.stdin.close()
        await process.wait()
