"""What every performance of `demo` has in common: a folder of its own, an end within bounds, an afterwards."""

import asyncio
import secrets
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from rich.text import Text

from cli.errors import Exit, Unreachable
from cli.outcomes import Outcome
from cli.screen import Screen
from cli.telling import Teller

ROOT = Path(__file__).resolve().parent.parent

_ALONE = timedelta(minutes=3)
"""How long it may take when nobody is asked anything; it takes about 15 s."""

Play = Callable[[Teller, Path], Awaitable[Exit]]


async def perform_in_folder(screen: Screen, play: Play) -> Exit:
    """Play in a new folder, which is kept only when it went wrong; SIGTERM ends it as Ctrl-C does."""
    if (me := asyncio.current_task()) is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
    folder = ROOT / "var" / "demo" / secrets.token_hex(4)
    teller = Teller(screen)
    try:
        code = await play(teller, folder)
    except TimeoutError:
        raise Unreachable(f"it did not come to its end within {_ALONE}; its logs are in {folder}") from None
    finally:
        teller.rest()
    if code is Exit.DONE:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        screen.say(f"logs and data are kept in {folder}")
    return code


def is_somebody_there(teller: Teller) -> bool:
    """Whether there is a person at the terminal to be asked."""
    return sys.stdin.isatty() and teller.screen.is_live


def bounds(*, is_present: bool) -> asyncio.Timeout:
    """Bound what may take as long as it likes only while a person thinks about it."""
    return asyncio.timeout(None if is_present else _ALONE.total_seconds())


def tell_end(teller: Teller, outcome: Outcome) -> None:
    """Say how the task ended."""
    mark, style = ("✓", "bold green") if outcome.is_completed else ("✗", "bold red")
    said = outcome.result.answer if outcome.result else ""
    teller.tell(outcome.status, said if outcome.is_completed else outcome.reason, mark, style)


async def stay_up(teller: Teller, *commands: str) -> None:
    """Keep everything up until Ctrl-C. `commands`: what can be tried meanwhile."""
    heading = Text("\nEverything stays up until Ctrl-C. In another terminal:", style="bold")
    teller.screen.show(heading, *(f"  {command}" for command in commands))
    with suppress(asyncio.CancelledError):  # both Ctrl-C and SIGTERM end it well
        await asyncio.Event().wait()
