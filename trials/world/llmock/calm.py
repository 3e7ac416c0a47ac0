"""One fault for each task, all of them on one worker, and nothing else that goes wrong."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from shutil import copytree

from trials.results import Figure
from trials.stage import Stage
from trials.world.llmock.attempts import goal
from trials.world.llmock.cases import BEHIND, Case
from trials.world.llmock.judging import Seen, judge
from trials.world.llmock.mocking import Mock, mocking
from trials.world.llmock.route import line
from trials.world.stages import begin, rest, world_stage

AGENT = Path(__file__).with_name("agents") / "looker"
LINE = 'models = ["openai:mock"]'
"""The line of AGENT that each case has another one for."""

_AT_ONCE = 8
_LIMIT_S = 180.0
_QUEUE = f"[providers.{BEHIND}]\ncalls_per_second = 50"


async def one_fault_each(chosen: Sequence[Case]) -> Sequence[Figure]:
    """Carry out a task for each case, and judge them."""
    async with mocking() as mock:
        seen = await suffer(mock, chosen)
        return await judge("one fault each", mock, seen)


async def suffer(mock: Mock, chosen: Sequence[Case]) -> Seen:
    """Carry the tasks out, some at once, and return what became of them."""
    tables = [model.table(mock.url) for case in chosen for model in case.route]
    seen, turn = Seen(), asyncio.Semaphore(_AT_ONCE)
    async with world_stage(AGENT, {}, "\n".join([*tables, _QUEUE]), {}) as stage:
        for case in chosen:
            _engage(stage, case)
        await mock.script(*(behavior for case in chosen for behavior in case.script()))
        async with stage.working():
            await asyncio.gather(*(_carry_out(stage, case, turn, seen) for case in chosen))
        seen.close(stage)
    return seen


def _engage(stage: Stage, case: Case) -> None:
    """Give a case an agent of its own, with its route."""
    folder = stage.folder / "agents" / case.id
    copytree(AGENT, folder)
    file = folder / "agent.toml"
    file.write_text(file.read_text("utf-8").replace(LINE, line(case.route)), encoding="utf-8")


async def _carry_out(stage: Stage, case: Case, turn: asyncio.Semaphore, seen: Seen) -> None:
    async with turn:
        task = await begin(replace(stage, agent=case.id), case.id, goal(case.id))
        seen.note(case.id, await rest(task, _LIMIT_S), [case.ending])
