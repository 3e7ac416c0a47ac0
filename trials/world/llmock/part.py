"""The part llmock: whole tasks whose planner is llmock, with one fault each, then in bad weather; then bare SDKs."""

from collections.abc import Sequence
from importlib.metadata import version

from trials.results import Figure
from trials.running import Run
from trials.world.llmock.calm import one_fault_each
from trials.world.llmock.cases import cases
from trials.world.llmock.naive import naive_ways
from trials.world.llmock.weather import bad_weather


async def llmock(run: Run) -> Sequence[Figure]:
    """Play all three, each at a llmock of its own. Raises NotInstalled."""
    run.versions |= {name: version(name) for name in ("llmock", "openai", "anthropic")}
    chosen = cases(is_full=run.is_full)
    run.sizes["llmock: tasks with one fault each"] = len(chosen)
    run.baselines += await naive_ways([case for case in chosen if not case.is_backed])
    weather = await bad_weather(run.size("llmock: tasks in bad weather, of each interface", 5, 40))
    return [*await one_fault_each(chosen), *weather]
