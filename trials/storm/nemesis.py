"""What is done to the processes and to the databases: kills, stops, deployments, locks. One seed drives each actor.

Every actor runs until it is cancelled, and writes into the journal what it did, when it had done it.
"""

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from itertools import count
from pathlib import Path
from random import Random

from trials.storm.journal import Journal
from trials.storm.processes import Kept, Server

WHO = "nemesis"
_BLOWS = ("kill", "stop", "term")


class WorkerNemesis:
    """Strikes one of the workers every 3 to 8 s: kill -9 mostly; else stopped for 1 to 6 s, or asked to end.

    A killed worker is started again at once, or 2 s later. The first three blows are one of each, so that a short storm
    has them all.
    """

    def __init__(self, seed: int, workers: Sequence[Kept], journal: Journal) -> None:
        self._random = Random(f"{seed}:workers")  # noqa: S311 - a seed that repeats is what is wanted
        self._workers, self._journal = workers, journal

    async def run(self) -> None:
        """Strike until cancelled."""
        for number in count():
            await asyncio.sleep(self._random.uniform(3, 8))
            victim = await self._victim()
            drawn = self._random.choices(_BLOWS, [70, 18, 12])[0]
            blow = _BLOWS[number] if number < len(_BLOWS) else drawn
            victim.pause = self._random.choice([0.0, 0.0, 2.0])
            seconds = round(self._random.uniform(1, 6), 2)
            await self._strike(victim, blow, seconds)

    async def _victim(self) -> Kept:
        """Choose a worker that works: to kill one that only starts would prove nothing."""
        victim = self._random.choice(self._workers)
        while True:
            working = [one for one in self._workers if one.works.is_set()]
            if working:
                return victim if victim in working else working[0]
            await asyncio.sleep(0.05)

    async def _strike(self, victim: Kept, blow: str, seconds: float) -> None:
        match blow:
            case "stop":
                await self._stop(victim, seconds)
            case "term":
                if victim.works.is_set() and victim.hit(signal.SIGTERM):
                    self._journal.write(WHO, "worker.sigterm", program=victim.name)
            case _:
                if victim.hit(signal.SIGKILL):
                    self._journal.write(WHO, "worker.kill", program=victim.name)

    async def _stop(self, victim: Kept, seconds: float) -> None:
        life = victim.lives
        if not victim.hit(signal.SIGSTOP):
            return
        self._journal.write(WHO, "worker.stop", program=victim.name, seconds=seconds)
        try:
            await asyncio.sleep(seconds)
        finally:
            if victim.lives == life:
                victim.hit(signal.SIGCONT)


class ServerNemesis:
    """Kills the Temporal server after 10 to 20 s, then every 30 to 60 s; it starts again within 2 s."""

    def __init__(self, seed: int, server: Server, journal: Journal, between_s: tuple[float, float] = (30, 60)) -> None:
        self._random = Random(f"{seed}:server")  # noqa: S311 - a seed that repeats is what is wanted
        self._server, self._journal, self._between_s = server, journal, between_s
        self._at_first_s = (between_s[0] / 3, between_s[1] / 3)

    async def run(self) -> None:
        """Kill until cancelled."""
        for number in count():
            await asyncio.sleep(self._random.uniform(*(self._between_s if number else self._at_first_s)))
            self._server.pause = self._random.uniform(0, 2)
            if self._server.kill():
                self._journal.write(WHO, "server.kill")


class LedgerNemesis:
    """Holds a SQLite file locked for 0.5 to 5 s, every 6 to 15 s: nobody can write to it, as in an outage."""

    def __init__(self, seed: int, files: Sequence[Path], journal: Journal) -> None:
        self._random = Random(f"{seed}:ledger")  # noqa: S311 - a seed that repeats is what is wanted
        self._files, self._journal = files, journal

    async def run(self) -> None:
        """Lock until cancelled."""
        while True:
            await asyncio.sleep(self._random.uniform(6, 15))
            file, seconds = self._random.choice(self._files), round(self._random.uniform(0.5, 5), 2)
            with suppress(sqlite3.OperationalError):  # others write all the time; the next try may have it
                async with locked(file):
                    await asyncio.sleep(seconds)
                self._journal.write(WHO, "ledger.lock", file=file.name, seconds=seconds)


@asynccontextmanager
async def locked(file: Path) -> AsyncIterator[None]:
    """Hold a SQLite file locked. Raises sqlite3.OperationalError when the lock could not be had within 10 s."""
    with closing(sqlite3.connect(file, timeout=10, isolation_level=None, check_same_thread=False)) as db:
        await asyncio.to_thread(db.execute, "BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            db.execute("ROLLBACK")


class Deployer:
    """Replaces the workers one after the other by SIGTERM, `count` times in all.

    The next one's turn comes when all work again, and `ended`, the number of tasks that have, has gone up by 3.
    """

    def __init__(self, workers: Sequence[Kept], ended: Callable[[], int], journal: Journal, count: int) -> None:
        self._workers, self._ended, self._journal, self._count = workers, ended, journal, count
        self.done = 0

    async def run(self) -> None:
        """Deploy `count` times."""
        while self.done < self._count:
            worker = self._workers[self.done % len(self._workers)]
            await self._loaded()
            worker.hit(signal.SIGTERM)
            self._journal.write(WHO, "worker.sigterm", program=worker.name)
            await worker.ended()
            self.done += 1

    async def _loaded(self) -> None:
        wanted = self._ended() + 3
        for one in self._workers:
            await one.works.wait()
        while self._ended() < wanted:  # noqa: ASYNC110 - the load tells nobody that it goes on
            await asyncio.sleep(0.05)
