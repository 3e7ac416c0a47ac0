"""demo: what `make demo` runs."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import Exit, Unreachable
from cli.opening import leave
from cli.options import AsJson, ConfigPath
from cli.screen import Screen
from config.settings import load

OF_STORY = "support_desk"
"""The agent whose demonstration is a story with a crash in it, on services of its own."""

Which = Annotated[str, typer.Argument(metavar="[AGENT]", help="Whose: any agent with an example.toml beside it.")]
Stay = Annotated[bool, typer.Option("--stay", help="Keep everything up afterwards, until Ctrl-C.")]


def demo(agent: Which = OF_STORY, *, stay: Stay = False, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Tell the story of a refund, with the worker killed at the worst moment; or play AGENT's example.toml."""
    try:
        leave(asyncio.run(_perform(agent, config, Screen(as_json=as_json), stay=stay)))
    except ModuleNotFoundError as error:
        raise Unreachable(f"the demo needs more packages ({error.name} is missing): pip install '.[demo]'") from None


async def _perform(agent: str, config: Path | None, screen: Screen, *, stay: bool) -> Exit:
    """What they start is an extra, so that it is imported only here."""
    if agent == OF_STORY:
        from cli.performing import perform  # noqa: PLC0415

        return await perform(screen, stay=stay)
    from cli.trying import try_agent  # noqa: PLC0415

    return await try_agent(screen, load(config), agent, stay=stay)
