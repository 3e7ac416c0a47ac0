"""A private PostgreSQL server on loopback, from the binaries of Debian's package ``postgresql``."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LIMIT_SECONDS = 30.0


class PostgresProcess:
    """One server with a data folder of its own, which can be stopped, killed and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._binaries = _binaries()
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def initialise(self) -> None:
        # the binaries refuse to run as root
        if os.geteuid() == 0:
            shutil.chown(self._folder, "postgres", "postgres")
        self._run("initdb", "--pgdata", str(self._data), "--auth", "trust", "--username", "postgres", "--no-sync")

    def start(self) -> None:
        options = ("listen_addresses=127.0.0.1", f"unix_socket_directories={self._folder}", "fsync=on")
        command = self._command("postgres", "-D", str(self._data), "-p", str(self.port))
        for option in options:
            command += ["-c", option]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd="/", stdout=log, stderr=log)
        give_up_at = time.monotonic() + _LIMIT_SECONDS
        while not self._is_ready():
            if time.monotonic() > give_up_at or self._process.poll() is not None:
                raise RuntimeError((self._folder / "server.log").read_text())
            time.sleep(0.05)

    def stop(self) -> None:
        """Shut down at once; open connections are cut."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(_LIMIT_SECONDS)
            self._process = None

    def create_database(self, name: str) -> str:
        self._run("createdb", "--host", "127.0.0.1", "--port", str(self.port), "--username", "postgres", name)
        return self.url(name)

    def execute(self, database: str, statement: str) -> None:
        self._run("psql", "--quiet", "--no-psqlrc", "--dbname", self.url(database), "--command", statement)

    def _is_ready(self) -> bool:
        command = self._command("pg_isready", "--host", "127.0.0.1", "--port", str(self.port), "--quiet")
        return subprocess.run(command, cwd="/", check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            self._command(program, *arguments), cwd="/", check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout.decode()}")

    def _command(self, program: str, *arguments: str) -> list[str]:
        as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        return [*(as_postgres if os.geteuid() == 0 else []), str(self._binaries / program), *arguments]


@contextmanager
def running_postgres() -> Iterator[PostgresProcess]:
    """Start a server for as long as the block lasts."""
    folder = Path(tempfile.mkdtemp(prefix="lastmile-postgres-"))
    server = PostgresProcess(folder)
    try:
        server.initialise()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        raise RuntimeError("no PostgreSQL server here: apt-get install postgresql")
    if os.geteuid() == 0:
        pwd.getpwnam("postgres")
    return found[-1].parent


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
