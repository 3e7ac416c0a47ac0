"""A thousand callers of one key, from eight processes at once: one application, and one receipt for all of them."""

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from trials.counter import Counter as Applications
from trials.counter import Missed, counting
from trials.results import Figure
from trials.running import Run

PROCESSES = 8
_LIMIT_S = 400.0
_ROOT = Path(__file__).parents[2]
_AGENTS = Path(__file__).with_name("agents")


async def one_key(run: Run) -> Sequence[Figure]:
    """Try a tool that may be sent again and one that may not, on each database that is here."""
    callers = run.size("callers of one key", 1_000, 1_000)
    with tempfile.TemporaryDirectory(prefix="lastmile-trial-") as name:
        figures = await _on("SQLite", f"sqlite:///{name}/ledger.db", Path(name), callers)
    with tempfile.TemporaryDirectory(prefix="lastmile-trial-") as name:
        async with _postgres() as url:
            if url:
                return [*figures, *await _on("PostgreSQL", url, Path(name), callers)]
    return [*figures, Figure(name="one key on PostgreSQL", measured="not run: PostgreSQL is not installed")]


@asynccontextmanager
async def _postgres() -> AsyncIterator[str]:
    """Run a server of its own, where Debian's package is installed; else yield ""."""
    if not _has_postgres():
        yield ""
        return
    from tests.postgres import running_postgres  # noqa: PLC0415 - a private server, from the tests' own folder

    with running_postgres() as server:
        yield await asyncio.to_thread(server.create_database, "trial")


async def _on(database: str, url: str, folder: Path, callers: int) -> list[Figure]:
    shutil.copytree(_AGENTS, folder / "agents")
    config = folder / "lastmile.toml"
    config.write_text(f'ledger = "{url}"\n', encoding="utf-8")
    figures = []
    async with counting() as counter, _crowd(config, counter.url) as crowd:
        for tool, kind in (("note", "keyed"), ("mail", "unrepeatable")):
            await crowd[0].ask(f"task-{tool}")
            shares = [callers // PROCESSES + (number < callers % PROCESSES) for number in range(PROCESSES)]
            asking = [one.ask(f"task-{tool} {tool} {share}") for one, share in zip(crowd, shares, strict=True)]
            told = sum((Counter(json.loads(said)) for said in await asyncio.gather(*asking)), Counter[str]())
            figures.append(judge(f"one key, {callers:,} callers, {kind}, {database}", told, callers, counter, tool))
    return figures


def judge(name: str, told: Counter[str], callers: int, counter: Applications, tool: str) -> Figure:
    """One application at the counter, and every caller told the same success."""
    applied = counter.applied(tool)
    is_one_receipt = len(told) == 1 and told.total() == callers and '"kind":"ToolSucceeded"' in next(iter(told))
    return Figure(
        name=name,
        measured=f"{applied} application{'' if applied == 1 else 's'}, {len(told)} different receipts",
        must_be="1 application, 1 receipt for all",
        holds=applied == 1 and is_one_receipt,
        note="" if is_one_receipt else f"told: {[(text[:150], count) for text, count in told.most_common(4)]}",
    )


def _has_postgres() -> bool:
    return any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


class _Process:
    """One process of callers."""

    def __init__(
        self, process: asyncio.subprocess.Process, source: asyncio.StreamWriter, said: asyncio.StreamReader
    ) -> None:
        self._process, self._source, self._said = process, source, said

    async def ask(self, line: str = "") -> str:
        """Send a line, and return the answer. Raises Missed when it ends instead."""
        if line:
            self._source.write(f"{line}\n".encode())
        async with asyncio.timeout(_LIMIT_S):
            answer = (await self._said.readline()).decode()
        if not answer:
            raise Missed(f"a process of callers ended with code {await self._process.wait()}")
        return answer

    async def end(self) -> None:
        """End it."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def _crowd(config: Path, counter: str) -> AsyncIterator[list[_Process]]:
    crowd: list[_Process] = []
    try:
        crowd.append(await _spawn(config, counter))
        await crowd[0].ask()  # it makes the tables
        crowd += [await _spawn(config, counter) for _ in range(PROCESSES - 1)]
        await asyncio.gather(*(one.ask() for one in crowd[1:]))
        yield crowd
    finally:
        for one in crowd:
            await one.end()


async def _spawn(config: Path, counter: str) -> _Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trials.bulk.caller", str(config)),
        cwd=_ROOT,
        env={**os.environ, "TRIAL_COUNTER": counter},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=16 * 1024 * 1024,
    )
    if process.stdin is None or process.stdout is None:
        raise Missed("a process of callers has no pipes")
    return _Process(process, process.stdin, process.stdout)
