"""``python -m trials.world.models``: every fault of llmock against both vendors' SDKs, through whole tasks.

llmock is a real process and the judge: it journals each request and grades the client. A real Temporal server and a
real worker carry out the tasks. Exit code 1 when the verdict fails, a request is not one attempt of the ledger, or a
task neither completes nor asks. The naive way beside it: the vendors' SDKs as they come, with their own retries.
"""

import argparse
import asyncio
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle

from cli.devserver import dev_server
from config.settings import Settings, load
from core import names
from core.record import Json
from core.spending import Grouping
from demo.child import free_port
from ledger import open_ledger
from trials.results import Figure, Outcome, now, versions, write
from trials.world.model_faults import TIMEOUT, Case, cases
from trials.world.naive_models import naive_outcomes
from worker import configure_logs, open_runtime

_TOOLS = '''
from tools import Call, tool

@tool(effect="read")
def look(call: Call) -> str:
    """Look."""
    return "seen"
'''
_LIMIT_SECONDS = 240.0
_BACKUP = {"responses": "anthropic:backup", "chat": "anthropic:backup", "anthropic": "openai:backup"}


@dataclass(frozen=True, slots=True)
class Told:
    """What became of the task of one case. `ending`: completes, asks, or the status that it was left in."""

    case: Case
    ending: str


class Mock:
    """A running ``llmock serve`` on loopback."""

    def __init__(self, origin: str) -> None:
        self.origin = origin

    def is_healthy(self) -> bool:
        """Whether it answers. Raises httpx.TransportError while nobody listens."""
        return httpx.get(f"{self.origin}/health").is_success

    def script(self, scenario: Sequence[dict[str, Json]]) -> None:
        """Queue behaviours."""
        httpx.post(f"{self.origin}/_llmock/scenario", json={"behaviors": list(scenario)}).raise_for_status()

    def reset(self) -> None:
        """Forget behaviours and requests."""
        httpx.post(f"{self.origin}/_llmock/reset").raise_for_status()

    def requests(self) -> list[dict[str, Json]]:
        """Return the journal."""
        found: list[dict[str, Json]] = httpx.get(f"{self.origin}/_llmock/requests").json()["requests"]
        return found

    def verdict(self) -> dict[str, Json]:
        """Return how the client is graded."""
        found: dict[str, Json] = httpx.get(f"{self.origin}/_llmock/verdict").json()
        return found


@asynccontextmanager
async def llmock() -> AsyncIterator[Mock]:
    """Run llmock for as long as the block lasts."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("llmock")), "serve", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: ASYNC220, S603 - our own
    try:
        mock = Mock(f"http://127.0.0.1:{port}")
        await _ready(mock, process)
        yield mock
    finally:
        process.terminate()
        process.wait(10)


async def _ready(mock: Mock, process: "subprocess.Popen[bytes]") -> None:
    give_up_at = time.monotonic() + 30
    while time.monotonic() < give_up_at and process.poll() is None:
        try:
            if mock.is_healthy():
                return
        except httpx.TransportError:
            await asyncio.sleep(0.05)
    raise RuntimeError("llmock did not answer within 30 s; is the package llmock installed?")


def write_agents(folder: Path, wanted: Sequence[Case], mock: Mock, address: str) -> Path:
    """Write an agent for each case, and the settings that name its models and where they are."""
    lines = ['agents = ["agents"]', 'ledger = "sqlite:///ledger.db"', "[temporal]", f'address = "{address}"']
    for case in wanted:
        route = [case.name, *([_BACKUP[case.api]] if case.is_backed else [])]
        _write_agent(folder / "agents" / agent_of(case), route)
        lines += _model(case.name, case.api, mock, provider=case.model)
    for name in sorted(set(_BACKUP.values())):
        lines += _model(name, "responses" if name.startswith("openai") else "anthropic", mock, provider=name)
        lines += [f'[providers."{name}"]', "calls_per_second = 50"]  # so their calls go through a queue of their own
    (folder / "lastmile.toml").write_text("\n".join(lines) + "\n")
    return folder / "lastmile.toml"


def agent_of(case: Case) -> str:
    """Name the agent of a case."""
    return case.model.replace("-", "_")


def _write_agent(folder: Path, route: Sequence[str]) -> None:
    folder.mkdir(parents=True)
    (folder / "agent.toml").write_text(f'owner = "leads"\nmodels = {json.dumps(list(route))}\n')
    (folder / "instructions.md").write_text("Look.")
    (folder / "tools.py").write_text(_TOOLS)


def _model(name: str, api: str, mock: Mock, *, provider: str) -> list[str]:
    path, extra = ("/anthropic", []) if api == "anthropic" else ("/v1", [f'api = "{api}"'])
    return [
        f'[models."{name}"]',
        f'base_url = "{mock.origin}{path}"',
        f'timeout = "{TIMEOUT:g}s"',
        f'provider = "{provider}"',  # its own, so that the faults of one case open no breaker of another
        *extra,
    ]


async def carry_out(settings: Settings, wanted: Sequence[Case]) -> list[Told]:
    """Start every task at once on a real worker; return how each went."""
    async with AsyncExitStack() as stack:
        runtime = await stack.enter_async_context(open_runtime(settings, {}))
        for worker in runtime.workers:
            await stack.enter_async_context(worker)
        handles = [await _start(runtime.client, settings, case) for case in wanted]
        endings = await asyncio.gather(*(_ending(handle) for handle in handles))
        for handle, ending in zip(handles, endings, strict=True):
            if ending != "completes":
                await handle.cancel()
        return [Told(case, ending) for case, ending in zip(wanted, endings, strict=True)]


async def _start(client: Client, settings: Settings, case: Case) -> WorkflowHandle[Any, Any]:
    wish = {"agent": agent_of(case), "goal": f"look, please: {case.model}"}
    queue = settings.temporal.task_queue
    return await client.start_workflow(names.WORKFLOW, wish, id=case.model, task_queue=queue)


async def _ending(handle: WorkflowHandle[Any, Any]) -> str:
    """Wait until a task has ended, or asks somebody; or until the time is over."""
    ended = asyncio.create_task(_ended(handle))
    give_up_at, status = time.monotonic() + _LIMIT_SECONDS, ""
    while not ended.done() and time.monotonic() < give_up_at:
        status = (await handle.query("status"))["status"]
        if status == "AWAITING_PERSON":
            ended.cancel()
            return "asks"
        await asyncio.wait({ended}, timeout=0.5)
    return ended.result() if ended.done() else f"left {status}"


async def _ended(handle: WorkflowHandle[Any, Any]) -> str:
    try:
        await handle.result()
    except WorkflowFailureError as error:
        return f"failed: {error.cause}"[:200]
    return "completes"


async def try_out(wanted: Sequence[Case], *, is_full: bool) -> Outcome:
    """Run the trial."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with llmock() as mock, dev_server(folder / "temporal", headless=True) as server:
            settings = load(write_agents(folder, wanted, mock, server.address))
            mock.script([behavior for case in wanted for behavior in case.scenario()])
            mock.script([{**wanted[0].scenario()[-1], "match": {"model": "backup"}}])
            told = await carry_out(settings, wanted)
            figures = await _figures(settings, told, mock)
            mock.reset()
            mock.script([behavior for case in wanted if not case.is_backed for behavior in case.scenario()])
            baseline = await naive_outcomes(mock.origin, [case for case in wanted if not case.is_backed])
            naive = _naive(baseline, mock.verdict())
    return Outcome(
        trial="world.models",
        is_full=is_full,
        sizes={"tasks": len(wanted), "faults": len({case.fault.name for case in wanted})},
        figures=tuple(figures),
        baselines=tuple(naive),
        seconds=round(time.monotonic() - begun, 1),
        at=now(),
        versions=versions("llmock", "openai", "anthropic"),
    )


async def _figures(settings: Settings, told: Sequence[Told], mock: Mock) -> list[Figure]:
    verdict, requests = mock.verdict(), len(mock.requests())
    async with open_ledger(settings.ledger) as ledger:
        attempts = sum(line.calls for line in await ledger.usage(Grouping.AGENT))
    wrong = [one for one in told if one.ending != one.case.ending]
    errors = [one for one in verdict["findings"] if one["severity"] == "error"]
    said = "; ".join(f"{one.case.model}: {one.ending}, not {one.case.ending}" for one in wrong[:5])
    found = "; ".join(sorted({f"{one['code']}" for one in verdict["findings"]}))
    return [
        Figure(
            name="tasks that end as they should: well, or asking",
            measured=f"{len(told) - len(wrong)} of {len(told)}",
            must_be="all",
            holds=not wrong,
            note=said,
        ),
        Figure(
            name="llmock's verdict on the client",
            measured=f"{len(errors)} errors",
            must_be="0 errors",
            holds=not errors,
            note=f"findings, with warnings: {found or 'none'}",
        ),
        Figure(
            name="requests at the provider against attempts in the ledger",
            measured=f"{requests} against {attempts}",
            must_be="equal",
            holds=requests == attempts,
        ),
    ]


def _naive(outcomes: Sequence[str], verdict: dict[str, Json]) -> list[Figure]:
    errors = sorted({one["code"] for one in verdict["findings"] if one["severity"] == "error"})
    planned = sum(one == "planned" for one in outcomes)
    return [
        Figure(name="the SDKs as they come: calls that bring a plan", measured=f"{planned} of {len(outcomes)}"),
        Figure(name="the SDKs as they come: errors in llmock's verdict", measured=", ".join(errors) or "none"),
    ]


def main() -> int:
    """Run what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m trials.world.models", description="Every fault of llmock.")
    parser.add_argument("--full", action="store_true", help="each fault on each API, not on one of them in turn")
    parser.add_argument("--seed", type=int, help="taken as by every trial; nothing is drawn here")
    configure_logs(is_for_people=False, level=logging.CRITICAL)
    is_full = parser.parse_args().full
    outcome = asyncio.run(try_out(cases(is_full=is_full), is_full=is_full))
    for figure in (*outcome.figures, *outcome.baselines):
        mark = "  " if figure.holds is None else "ok" if figure.holds else "NO"
        sys.stdout.write(f"{mark}  {figure.name}: {figure.measured}  {figure.note}\n")
    sys.stdout.write(f"{outcome.seconds:g} s; written to {write(outcome)}\n")
    return 0 if outcome.holds else 1


if __name__ == "__main__":
    sys.exit(main())
