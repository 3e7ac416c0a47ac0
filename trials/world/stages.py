"""A stage for one agent against other people's servers: the agent's folder is copied, and told where they are."""

import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from shutil import copytree

from cli.worker_process import WorkerProcess
from trials.counter import counting
from trials.stage import Stage, staged


class NotInstalled(Exception):
    """A program or a package that only these trials need is missing; the text says how to install it."""


@dataclass(frozen=True, slots=True)
class WorldStage(Stage):
    """A stage whose workers get `environ` besides their own: secrets and addresses of the other side."""

    environ: Mapping[str, str]

    def worker(self, name: str = "worker") -> WorkerProcess:
        return WorkerProcess(self.config, self.folder / f"{name}.log", {**os.environ, **self.environ})


@asynccontextmanager
async def world_stage(
    agent: Path, edits: Mapping[str, str], models: str, environ: Mapping[str, str]
) -> AsyncIterator[WorldStage]:
    """Set a stage up for the one agent in the folder `agent`. No worker polls yet.

    ``edits``: texts of its agent.toml, and what stands there instead; one that is not there is a KeyError. ``models``:
    the tables of lastmile.toml that say how the models are reached.
    """
    with tempfile.TemporaryDirectory(prefix="lastmile-world-") as folder:
        given, stage_folder = Path(folder) / "given", Path(folder) / "stage"
        stage_folder.mkdir()
        _copy(agent, given / agent.name, edits)
        async with counting() as counter, staged(stage_folder, given, counter) as stage:
            stage.config.write_text(_settings(stage.server.address, models), encoding="utf-8")
            known = {one.name: getattr(stage, one.name) for one in fields(Stage)}
            yield WorldStage(**known, environ=environ)


def _copy(agent: Path, target: Path, edits: Mapping[str, str]) -> None:
    copytree(agent, target)
    file = target / "agent.toml"
    text = file.read_text(encoding="utf-8")
    for old, new in edits.items():
        if old not in text:
            raise KeyError(f"{file}: nothing there reads {old!r}")
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")


def _settings(address: str, models: str) -> str:
    return f"""ledger = "sqlite:///ledger.db"
[temporal]
address = "{address}"
task_queue = "lastmile"
{models}
[people.ana]
roles = ["finance"]
[people.sam]
roles = ["support-leads"]
[people.dana]
roles = ["support-directors", "finance"]
"""
