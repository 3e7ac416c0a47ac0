"""dev: an embedded Temporal server with its UI, persistent under var/, and a worker, until Ctrl-C."""

import asyncio
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from cli.devserver import dev_server
from cli.options import AsJson, ConfigPath
from cli.screen import Screen, grid
from config.settings import FILE_VARIABLE, Settings, connect_options, load
from core.errors import ConfigError

_OF_DEMO = "support_desk"
_DEFAULT = "127.0.0.1:7233"
_ADDRESS_VARIABLE = "LASTMILE_TEMPORAL__ADDRESS"
_HERE = ("127.0.0.1", "localhost")

Port = Annotated[
    int | None,
    typer.Option("--port", min=1, max=65535, help=r"The server's port (default: that of \[temporal] address)."),
]
UiPort = Annotated[
    int | None, typer.Option("--ui-port", min=1, max=65535, help="The UI's port (default: the server's + 1000).")
]


def dev(port: Port = None, ui_port: UiPort = None, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Run a Temporal server with its UI, and a worker, until Ctrl-C. Everything is kept under var/."""
    settings, screen = load(config), Screen(as_json=as_json)
    port = port or _port(settings)
    asyncio.run(_serve(settings, screen, port, ui_port or _beside(port), config))


def _port(settings: Settings) -> int:
    """Take the port that worker and command line look at."""
    address = str(connect_options(settings)["target_host"])
    host, _, port = address.rpartition(":")
    if host not in _HERE or not port.isdecimal():
        raise ConfigError(
            f"`dev` runs a server on this machine, but the configuration looks for one at {address}: "
            f"unset [temporal] address and TEMPORAL_ADDRESS, or set it to 127.0.0.1:7233"
        )
    return int(port)


def _beside(port: int) -> int:
    return port + 1000 if port + 1000 <= 65535 else port - 1000


async def _serve(settings: Settings, screen: Screen, port: int, ui_port: int, config: Path | None) -> None:
    from worker import configure_logs, serve  # noqa: PLC0415 - the worker brings the vendors' SDKs, a second to import

    configure_logs(is_for_people=sys.stderr.isatty())
    async with dev_server(settings.folder / "var", port=port, ui_port=ui_port) as server:
        screen.show(
            grid(
                ("Temporal", server.address),
                ("its UI", Text(server.ui, style="bold cyan")),
                ("data", str(settings.folder / "var")),
            ),
            Text(f"try: {hint(settings, server.address, config)}"),  # never wrapped, so that it can be copied
            Text("Ctrl-C ends both; tasks go on where they were with the next `dev`.\n", style="dim"),
        )
        screen.data({"address": server.address, "ui": server.ui}, on_one_line=True)
        await serve(_pointed(settings, server.address), os.environ)


def hint(settings: Settings, address: str, config: Path | None) -> str:
    """Say what can be typed in another terminal, which knows nothing of this one's variables and options."""
    from config.agents import load_agents  # noqa: PLC0415 - loading agents imports their tools' libraries

    found = load_agents(settings)
    agents = [name for name in (*found.names(), *found.waiting()) if name != _OF_DEMO]
    if not agents:
        return 'python starter.py demo; or an agent of your own: "Write an agent" in README.md'
    named = config or (Path(os.environ[FILE_VARIABLE]) if os.environ.get(FILE_VARIABLE) else None)
    options = f" --config {shlex.quote(str(named.absolute()))}" if named else ""
    return f"{_variable(settings, address)}python starter.py run {agents[0]} 'what you want' --wait{options}"


def _variable(settings: Settings, address: str) -> str:
    """Name the variable that leads to this server; none where the configuration does, or where it is the default."""
    ours = settings.temporal.address
    is_from_file = bool(ours) and _ADDRESS_VARIABLE not in os.environ
    if _port_of(ours if is_from_file else _DEFAULT) == _port_of(address) and (is_from_file or not ours):
        return ""
    return f"{_ADDRESS_VARIABLE if ours else 'TEMPORAL_ADDRESS'}={address} "


def _port_of(address: str | None) -> str:
    return (address or "").rpartition(":")[2]


def _pointed(settings: Settings, address: str) -> Settings:
    """Point the worker at this very server."""
    return settings.model_copy(update={"temporal": settings.temporal.model_copy(update={"address": address})})
