"""The stage of one storm: a folder, ports, the settings of the real worker, and every program that takes part."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

from temporalio.client import Client

from demo.child import free_port
from trials.storm.journal import Journal
from trials.storm.processes import (
    Kept,
    Recipe,
    Server,
    accepts,
    copied,
    environ_with,
    kept,
    module,
    run_once,
    warm,
    worker,
)
from trials.storm.truth import FINANCE, OWNERS, Truth

QUEUE = "storm"
AGENTS = Path(__file__).with_name("agents")

_SETTINGS = """\
agents = ["agents"]
ledger = "sqlite:///ledger.db"

[temporal]
address = "127.0.0.1:{server}"
task_queue = "{queue}"

[notify]
webhook = "http://127.0.0.1:{people}/notices"
"""

_TRANSFERS = """
    create table if not exists transfers (
        id integer primary key, memo text not null, account text not null, amount_cents integer not null, at real
    )
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the programs listen, on 127.0.0.1."""

    server: int
    bank: int
    people: int

    @classmethod
    def free(cls) -> "Ports":
        """Choose ports that are free now."""
        return cls(free_port(), free_port(), free_port())


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs. `folder` keeps the truth, the books, the journals and the logs."""

    folder: Path
    truth: Truth
    server: Server
    workers: tuple[Kept, ...]
    client: Client
    journal: Journal

    @property
    def ledger(self) -> Path:
        """The file of the runtime's ledger."""
        return self.folder / "ledger.db"

    @property
    def tools(self) -> Path:
        """The database of the tools."""
        return self.folder / "tools.db"

    @property
    def bank(self) -> Path:
        """The bank's book."""
        return self.folder / "bank.db"

    @property
    def people(self) -> Path:
        """The journal of the people."""
        return self.folder / "people.jsonl"


async def prepare(folder: Path, seed: int, tasks: int) -> Truth:
    """Make the truth and the models' scripts in a folder."""
    await asyncio.to_thread(folder.mkdir, parents=True)
    truth = folder / "truth.json"
    arguments = ("--tasks", str(tasks), "--seed", str(seed), "--out", str(truth), "--scripts", str(folder / "scripts"))
    await run_once("trials.storm.generator", *arguments, folder=folder)
    return Truth.read(truth)


@asynccontextmanager
async def staged(folder: Path, seed: int, tasks: int, *, fault_rate: float, workers: int = 2) -> AsyncIterator[Stage]:
    """Set everything up in a new folder, run it, and take it down."""
    truth = await prepare(folder, seed, tasks)
    ports = Ports.free()
    _configure(folder, ports)
    async with AsyncExitStack() as stack:
        journal = Journal(folder / "nemesis.jsonl")
        stack.callback(journal.close)
        server = Server(folder, ports.server, journal)
        await stack.enter_async_context(kept(server))
        await stack.enter_async_context(kept(Kept(bank(folder, ports.bank, seed, fault_rate), journal)))
        client = await Client.connect(server.address)
        environ = environ_with(
            STORM_BANK=f"http://127.0.0.1:{ports.bank}", STORM_DATABASE=f"sqlite:///{folder / 'tools.db'}"
        )
        await stack.enter_async_context(kept(Kept(warm(folder), journal)))
        crew = tuple(Kept(worker(number, folder, environ), journal) for number in range(1, workers + 1))
        for one in crew:
            await stack.enter_async_context(kept(one))
        await stack.enter_async_context(kept(Kept(_people(folder, ports), journal)))
        yield Stage(folder, truth, server, crew, client, journal)


def bank(folder: Path, port: int, seed: int, fault_rate: float, name: str = "bank") -> Recipe:
    """The bank, as a program."""
    arguments = ("--port", port, "--db", folder / f"{name}.db", "--seed", seed, "--faults", fault_rate)
    return Recipe(name, module("bank", *map(str, arguments)), folder, environ_with(), ready=accepts(port))


def _people(folder: Path, ports: Ports) -> Recipe:
    arguments = {
        "address": f"127.0.0.1:{ports.server}",
        "bank": f"http://127.0.0.1:{ports.bank}",
        "truth": folder / "truth.json",
        "tools": folder / "tools.db",
        "ledger": folder / "ledger.db",
        "config": folder / "lastmile.toml",
        "journal": folder / "people.jsonl",
        "port": ports.people,
    }
    words = [word for name, value in arguments.items() for word in (f"--{name}", str(value))]
    return Recipe("people", module("people", *words), folder, environ_with(), says="people.started")


def _configure(folder: Path, ports: Ports) -> None:
    copied(AGENTS, folder / "agents")
    roles = {**dict.fromkeys(FINANCE, "finance"), **dict.fromkeys(OWNERS, "desk")}
    people = "".join(f'\n[people.{name}]\nroles = ["{role}"]\n' for name, role in roles.items())
    settings = _SETTINGS.format(server=ports.server, people=ports.people, queue=QUEUE)
    (folder / "lastmile.toml").write_text(settings + people, encoding="utf-8")
    make_transfers(folder / "tools.db")


def make_transfers(file: Path) -> None:
    """Make the database of the tools."""
    with closing(sqlite3.connect(file)) as db:
        db.execute("pragma journal_mode=wal")
        db.execute(_TRANSFERS)
        db.commit()
