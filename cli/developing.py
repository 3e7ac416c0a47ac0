"""dev: an embedded Temporal server with its UI, persistent under var/, and a worker, until Ctrl-C."""

import asyncio
import os
import sys
from typing import Annotated

import typer
from rich.text import Text

from cli.devserver import dev_server
from cli.options import AsJson, ConfigPath
from cli.screen import Screen, grid
from config.settings import Settings, connect_options, load
from core.errors import ConfigError

_HERE = ("127.0.0.1", "localhost")

Port = Annotated[
    int | None,
    typer.Option("--port", min=1, max=65535, help="The server's port (default: that of [temporal] address)."),
]
UiPort = Annotated[
    int | None, typer.Option("--ui-port", min=1, max=65535, help="The UI's port (default: the server's + 1000).")
]


def dev(port: Port = None, ui_port: UiPort = None, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Run a Temporal server with its UI, and a worker, until Ctrl-C. Everything is kept under var/."""
    settings, screen = load(config), Screen(as_json=as_json)
    port = port or _port(settings)
    asyncio.run(_serve(settings, screen, port, ui_port or _beside(port)))


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


async def _serve(settings: Settings, screen: Screen, port: int, ui_port: int) -> None:
    from worker import configure_logs, serve  # noqa: PLC0415 - the worker brings the vendors' SDKs, a second to import

    configure_logs(is_for_people=sys.stderr.isatty())
    async with dev_server(settings.folder / "var", port=port, ui_port=ui_port) as server:
        screen.show(
            grid(
                ("Temporal", server.address),
                ("its UI", Text(server.ui, style="bold cyan")),
                ("data", str(settings.folder / "var")),
                ("try", "python starter.py run AGENT 'what you want' --wait"),
            ),
            Text("Ctrl-C ends both; tasks go on where they were with the next `dev`.\n", style="dim"),
        )
        screen.data({"address": server.address, "ui": server.ui}, on_one_line=True)
        await serve(_pointed(settings, server.address), os.environ)


def _pointed(settings: Settings, address: str) -> Settings:
    """Point the worker at this very server."""
    return settings.model_copy(update={"temporal": settings.temporal.model_copy(update={"address": address})})
