"""The verbs, put together; and the guard round them: whatever goes wrong ends as a sentence and an exit code."""

import asyncio
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import (
    agents,
    auditing,
    deciding,
    demonstrating,
    developing,
    diagnosing,
    doubting,
    histories,
    looking,
    running,
    spending,
    steering,
    stopping,
)
from cli.connection import silence_sdk
from cli.errors import Exit, explain
from cli.screen import Screen

_EPILOG = (
    "Exit codes: 0 done; 1 the task ended otherwise than completed, or the answer is no; 2 wrong usage; 3 out of reach."
)
_VERBS: dict[str, Sequence[Callable[..., None]]] = {
    "Tasks": (running.run, looking.ls, looking.show, looking.watch),
    "Answers": (deciding.approve, deciding.reject, deciding.answer),
    "Steering": (steering.pause, steering.resume, steering.cancel, steering.amend),
    "Emergencies": (stopping.stop, stopping.start, doubting.doubts, doubting.settle),
    "Records": (auditing.audit, spending.usage, histories.history, histories.replay),
    "Set-up": (agents.tools, diagnosing.doctor, developing.dev, demonstrating.demo),
}


def build_app() -> typer.Typer:
    """Put the verbs together."""
    app = typer.Typer(
        name="starter.py",
        help="Lastmile: tasks of AI agents that are provably done.",
        epilog=_EPILOG,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for panel, verbs in _VERBS.items():
        for verb in verbs:
            app.command(rich_help_panel=panel)(verb)
    app.callback()(_before)
    return app


def _before(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option("--config", help="lastmile.toml; may also follow the verb.")] = None,
) -> None:
    if config is not None:
        names = [verb.__name__ for verbs in _VERBS.values() for verb in verbs]
        context.default_map = {name: {"config": str(config)} for name in names}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return its exit code. No traceback leaves this function, unless LASTMILE_DEBUG is set."""
    try:
        _quiet()
        build_app()(args=list(sys.argv[1:] if argv is None else argv), prog_name="starter.py")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else Exit.DONE if end.code is None else Exit.USAGE
    except (KeyboardInterrupt, asyncio.CancelledError):  # Ctrl-C, and SIGTERM where a verb takes it as that
        return Exit.INTERRUPTED
    except BrokenPipeError:
        sys.stdout = None  # whoever read it has gone; there is nobody to tell
        return Exit.DONE
    except BaseException as error:  # noqa: BLE001 - a panic of a native library is no Exception
        return _explained(error)
    return Exit.DONE


def _explained(error: BaseException) -> int:
    sentence, code = explain(_root(error))
    Screen().complain(sentence)
    if os.environ.get("LASTMILE_DEBUG"):
        traceback.print_exception(error)
    return code


def _root(error: BaseException) -> BaseException:
    """Look into groups, which task groups wrap errors in."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _quiet() -> None:
    """Keep libraries from writing on the screen, and any text from being one that the screen cannot show."""
    if not os.environ.get("LASTMILE_DEBUG"):
        logging.basicConfig(handlers=[logging.NullHandler()], force=True)
        silence_sdk()
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
