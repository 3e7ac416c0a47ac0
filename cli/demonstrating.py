"""demo: what `make demo` runs."""

import asyncio
from typing import Annotated

import typer

from cli.errors import Unreachable
from cli.opening import leave
from cli.options import AsJson
from cli.screen import Screen

Stay = Annotated[bool, typer.Option("--stay", help="Keep everything up afterwards, until Ctrl-C.")]


def demo(*, stay: Stay = False, as_json: AsJson = False) -> None:
    """Tell the story of a refund on real services, with the worker killed at the worst moment."""
    try:
        from cli.performing import perform  # noqa: PLC0415 - what it starts is an extra
    except ModuleNotFoundError as error:
        raise Unreachable(f"the demo needs more packages ({error.name} is missing): pip install '.[demo]'") from None
    leave(asyncio.run(perform(Screen(as_json=as_json), stay=stay)))
