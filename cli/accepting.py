"""tools --accept, --compare: what MCP servers say about their tools, against what was accepted in tools.lock."""

import asyncio
import json
import os
from collections.abc import Iterator
from difflib import unified_diff
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from cli.errors import Exit
from cli.screen import Screen
from config.settings import Settings
from core.card import visible
from core.record import Json

if TYPE_CHECKING:
    from config.mcp_servers import Said


def ask_servers(settings: Settings, agent: str, screen: Screen, *, is_accepted: bool) -> None:
    """Ask the servers, show what is new, and pin it when it `is_accepted`; else a difference ends with exit code 1."""
    import structlog  # noqa: PLC0415 - only this verb of the command line runs what logs

    from config import mcp_servers  # noqa: PLC0415 - loads what speaks with servers

    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # else it is between the lines of the result
    said = asyncio.run(mcp_servers.ask_servers(settings, agent, os.environ))
    screen.show(*(line for one in said for line in _lines(one)))
    screen.data([_plain(one) for one in said])
    if is_accepted:
        path = mcp_servers.accept(settings, agent, said)
        screen.show(Text(f"accepted: {path}; keep it under version control, and start the workers anew"))
    elif any(one.difference for one in said):
        raise typer.Exit(Exit.NO)


def _plain(said: "Said") -> dict[str, Json]:
    one = said.difference
    lists = {"new": list(one.new), "changed": list(one.changed), "gone": list(one.gone)}
    changes = {name: {"was": said.accepted[name].contract, "now": said.pins[name].contract} for name in one.changed}
    return {
        "server": said.server,
        "tools": len(said.pins),
        **lists,
        "changes": changes,
        "unusable": dict(one.unusable),
    }


def _lines(said: "Said") -> Iterator[Text]:
    one = said.difference
    usable = len(said.pins) - len(one.unusable)
    state = "as accepted" if not one else f"{len(one.new)} new, {len(one.changed)} changed, {len(one.gone)} gone"
    yield Text.assemble((said.server, "bold"), f"  {usable} tools, {state}")
    for name in one.new:
        yield Text.assemble("  new     ", (visible(name), "green"))
        yield Text(f"           {visible(said.pins[name].description)}", style="dim")
    for name in one.changed:
        yield Text.assemble("  changed ", (visible(name), "yellow"))
        yield from _changes(said.accepted[name].contract, said.pins[name].contract)
    for name in one.gone:
        yield Text.assemble("  gone    ", (visible(name), "red"))
    for name, problem in one.unusable.items():
        yield Text.assemble("  unusable ", (visible(name[:128]), "red"), f": {visible(problem)}")


def _changes(was: dict[str, Json], now: dict[str, Json]) -> Iterator[Text]:
    """Show the lines that differ: what was accepted with a minus, what the server says now with a plus."""
    before, after = (json.dumps(one, indent=1, ensure_ascii=False).splitlines() for one in (was, now))
    for line in list(unified_diff(before, after, n=1, lineterm=""))[2:]:
        if not line.startswith("@@"):
            style = {"-": "red", "+": "green"}.get(line[0], "dim")
            yield Text(f"           {visible(line)}", style=style)
