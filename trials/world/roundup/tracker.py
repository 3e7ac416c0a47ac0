"""Roundup itself: a tracker made from its own template, served by its own server, and counted in its own database."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import httpx

from demo.child import Child, free_port
from trials.world import installed

ENVIRONMENT = "roundup"
USER, PASSWORD = "admin", "of-the-trial"

_NOBODY = "nobody"
_LONGEST_S = 60
_LINK = '                assignedto=Link("user"),\n'
_OWN_FIELD = "                reference=String(),\n"


@dataclass(frozen=True, slots=True)
class Issue:
    """An issue as the tracker has it. `changes`: how often its status was set after it was made."""

    title: str
    reference: str
    status: str
    changes: int


@dataclass(frozen=True, slots=True)
class Tracker:
    """A running tracker. `origin`: what its server is reached at."""

    origin: str
    home: Path

    def issues(self) -> Sequence[Issue]:
        """Read all issues past the server."""
        with closing(sqlite3.connect(f"file:{self.home / 'db' / 'db'}?mode=ro", uri=True)) as file:
            rows = file.execute("select id, _title, _reference, _status from _issue where __retired__ = 0").fetchall()
            found = file.execute("select nodeid, params from issue__journal where action = 'set'").fetchall()
        changed = [str(issue) for issue, params in found if "status" in params]
        return [
            Issue(title, reference or "", str(status), changed.count(str(one)))
            for one, title, reference, status in rows
        ]

    async def answers(self) -> bool:
        """Whether the server takes requests."""
        try:
            async with httpx.AsyncClient(auth=(USER, PASSWORD)) as http:
                return (await http.get(f"{self.origin}/t/rest/data/status")).is_success
        except httpx.HTTPError:
            return False


@asynccontextmanager
async def tracker() -> AsyncIterator[Tracker]:
    """Make a new tracker and serve it on a free port of 127.0.0.1. Raises NotInstalled."""
    program = installed.program(ENVIRONMENT, "roundup-server")
    with tempfile.TemporaryDirectory(prefix="lastmile-roundup-") as folder:
        origin = f"http://127.0.0.1:{free_port()}"
        made = Tracker(origin, Path(folder) / "tracker")
        await asyncio.to_thread(_make, made)
        child = Child("Roundup", _command(program, made), Path(folder) / "roundup.log")
        try:
            await child.ready(made.answers)
            yield made
        finally:
            await child.stop()


def _make(made: Tracker) -> None:
    """Install the template, give issues a field of their own, and fill the database."""
    settings = f"tracker_web={made.origin}/t/,mail_domain=example.com,mail_host=127.0.0.1,mail_debug=mail.txt"
    _admin(made, "install", "classic", "sqlite", settings)
    schema = made.home / "schema.py"
    text = schema.read_text(encoding="utf-8")
    if _LINK not in text:
        raise installed.NotInstalled("the template of this Roundup is another one; run: make trial-world")
    schema.write_text(text.replace(_LINK, _OWN_FIELD + _LINK), encoding="utf-8")
    _admin(made, "initialise", PASSWORD)
    _give_away(made.home)


def _admin(made: Tracker, *words: str) -> None:
    command = [str(installed.program(ENVIRONMENT, "roundup-admin")), "-i", str(made.home), *words]
    subprocess.run(command, check=True, capture_output=True, timeout=_LONGEST_S)  # noqa: S603 - its own program, no shell


def _give_away(home: Path) -> None:
    """Let the server's user own the tracker: Roundup refuses to serve as root."""
    if os.geteuid() != 0:
        return
    home.parent.chmod(0o755)
    for path in (home, *home.rglob("*")):
        shutil.chown(path, _NOBODY)


def _command(program: Path, made: Tracker) -> Sequence[str]:
    port = made.origin.rpartition(":")[2]
    as_user = ["-u", _NOBODY] if os.geteuid() == 0 else []
    return [str(program), *as_user, "-n", "127.0.0.1", "-p", port, "-t", "fork", f"t={made.home}"]
