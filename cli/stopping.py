"""stop, start: the kill switch. It stands in the ledger and is read in every dispatch mark, by every worker."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from rich.text import Text

from cli.errors import Exit
from cli.opening import Desk, leave
from cli.options import AsJson, By, ConfigPath, word_option
from cli.screen import Screen
from cli.steering import Reason
from config.settings import Settings, load
from core.card import visible
from core.errors import CallerError, LedgerDown
from core.names import undo_of
from core.receipts import Stop

ToolName = Annotated[str | None, word_option("--tool", "Only calls of this tool.")]
AgentName = Annotated[str | None, word_option("--agent", "Only calls by this agent.")]


def stop(
    *,
    tool: ToolName = None,
    agent: AgentName = None,
    by: By = "",
    reason: Reason = "",
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Send nothing new: through a tool, by an agent, or at all. What waits goes on by itself after `start`."""
    settings, screen = load(config), Screen(as_json=as_json)
    _require_known(settings, tool, agent)
    switch = Stop(tool=tool or "", agent=agent or "", by=by, reason=reason, at=datetime.now(UTC))
    asyncio.run(_turn_on(settings, switch))
    screen.show(Text(visible(str(switch)), style="bold red"))
    screen.show(Text(f"what is on its way ends; lift it with: python starter.py {start_command(switch)}", style="dim"))
    screen.data(switch)
    leave(Exit.DONE)


def start(
    *,
    tool: ToolName = None,
    agent: AgentName = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Lift the stop that was made with the same options; calls that wait go on within seconds."""
    settings, screen = load(config), Screen(as_json=as_json)
    lifted, left = asyncio.run(_turn_off(settings, tool or "", agent or ""))
    if lifted is None:
        on = "; ".join(f"{one} (start it with: python starter.py {start_command(one)})" for one in left)
        raise CallerError(f"nothing was stopped with these options; {on or 'no stop is in force at all'}")
    screen.show(f"lifted: {visible(str(lifted))}")
    screen.show(*stop_lines(left))
    screen.data({"lifted": lifted, "in_force": left})
    leave(Exit.DONE)


def stop_lines(stops: Sequence[Stop]) -> list[Text]:
    """Say which stops are in force, in words that nobody overlooks."""
    return [Text(f"STOPPED: {visible(str(one))}", style="bold red") for one in stops]


async def show_stops(desk: Desk) -> None:
    """Say which stops are in force, where the ledger can be read from here; looking at tasks works without it."""
    from ledger import open_ledger  # noqa: PLC0415 - brings the database library

    if desk.screen.as_json:
        return
    ledger = open_ledger(desk.settings.ledger)
    try:
        desk.screen.show(*stop_lines(await ledger.stops()))
    except LedgerDown:
        return
    finally:
        await ledger.close()


async def _turn_on(settings: Settings, switch: Stop) -> None:
    from ledger import open_ledger  # noqa: PLC0415 - as above

    async with open_ledger(settings.ledger) as ledger:
        await ledger.stop(switch)


async def _turn_off(settings: Settings, tool: str, agent: str) -> tuple[Stop | None, list[Stop]]:
    from ledger import open_ledger  # noqa: PLC0415 - as above

    async with open_ledger(settings.ledger) as ledger:
        return await ledger.start(tool, agent), await ledger.stops()


def start_command(switch: Stop) -> str:
    """Write the verb that lifts a stop."""
    options = [f"--{name} {value}" for name, value in (("tool", switch.tool), ("agent", switch.agent)) if value]
    return " ".join(["start", *options])


def _require_known(settings: Settings, tool: str | None, agent: str | None) -> None:
    """Refuse a misspelt name: whoever stops something must not believe that it is stopped when it is not.

    Only where all agents can be read from here; elsewhere only the workers know them.
    """
    from config.agents import load_agents  # noqa: PLC0415 - loading agents imports their tools' libraries
    from config.document import suggest  # noqa: PLC0415

    agents = load_agents(settings)
    if agents.problems() or not agents.names():
        return
    if agent is not None and agent not in agents.names():
        raise CallerError(f"nothing is stopped: there is no agent {agent!r}{suggest(agent, agents.names())}")
    chosen = [agents.get(name) for name in agents.names() if agent in (None, name)]
    tools = {name: tool.contract for one in chosen for name, tool in one.tools.items()}
    known = sorted([*tools, *(undo_of(name) for name, contract in tools.items() if contract.has_undo)])
    if tool is not None and tool not in known:
        whose = f"the agent {agent} has" if agent else "there is"
        raise CallerError(f"nothing is stopped: {whose} no tool {tool!r}{suggest(tool, known)}")
