"""The naive way: the same calls against the same losses, each simply made again until an answer comes."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from core.record import Json
from trials.world.tau2.desk import Gold

_PATIENCE_S = 3.0
"""Seconds, as long as our tools wait; the servers take 27 ms and 57 ms for a call, and one call at a time."""

_AT_ONCE = 4


@dataclass(slots=True)
class Caller:
    """Calls tools of a server at HOST:PORT with plain retries. ``errors``: refusals that it was told."""

    address: str
    errors: int = 0
    _gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    async def play(self, golds: Sequence[Gold]) -> None:
        """Play all tasks, some side by side; the state of each is kept under `naive-ID`."""
        await asyncio.gather(*(self._task(gold) for gold in golds))

    async def _task(self, gold: Gold) -> None:
        async with self._gate:
            for act in gold.acts:
                answer = await self._until_answered(act.tool, {**act.args, "state_key": f"naive-{gold.id}"})
                self.errors += bool(answer["result"]["isError"])

    async def _until_answered(self, tool: str, args: dict[str, Json]) -> dict[str, Any]:
        while True:
            try:
                return await asyncio.wait_for(self._once(tool, args), _PATIENCE_S)
            except (TimeoutError, ConnectionError):
                continue

    async def _once(self, tool: str, args: dict[str, Json]) -> dict[str, Any]:
        host, _, port = self.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=64 * 1024 * 1024)
        try:
            request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": args}}
            writer.write(json.dumps(request).encode() + b"\n")
            if not (line := await reader.readline()):
                raise ConnectionResetError
            answer: dict[str, Any] = json.loads(line)
            return answer
        finally:
            writer.close()
