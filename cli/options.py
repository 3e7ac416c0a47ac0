"""Arguments and options that several verbs share, each checked where it enters."""

import json
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from core.errors import CallerError
from core.record import Json

LONGEST_ID = 200
"""Characters. Temporal itself refuses ids above 1,000 bytes."""


def _checked_id(value: str | None) -> str | None:
    if value is None:
        return None
    if not value.strip():
        raise typer.BadParameter("it is empty")
    if len(value) > LONGEST_ID or not value.isprintable():
        raise typer.BadParameter(f"an id has at most {LONGEST_ID} printable characters")
    return value


def _checked_word(value: str | None) -> str | None:
    if value is not None and (not value.isprintable() or any(char in "'\"\\`" for char in value)):
        raise typer.BadParameter("quotes, backslashes and control characters are not allowed here")
    return value


TaskId = Annotated[str, typer.Argument(metavar="ID", help="The task's id.", callback=_checked_id)]
NewId = Annotated[
    str | None, typer.Option("--id", help="The task's id, your business key (default: made up).", callback=_checked_id)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
ConfigPath = Annotated[
    Path | None, typer.Option("--config", help="lastmile.toml (default: LASTMILE_CONFIG, else ./lastmile.toml).")
]
By = Annotated[str, typer.Option("--by", envvar="LASTMILE_BY", help="Your name.")]
RequestId = Annotated[
    str | None, typer.Option("--request", help="Which request, such as q1 (may be left out when just one is open).")
]
Comment = Annotated[str, typer.Option("--comment", help="Goes into the record.")]
Pairs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="NAME=VALUE",
        help="An input: JSON where VALUE is JSON, else text. work=503 gives a number, 'work=\"503\"' the text.",
    ),
]
Word = Annotated[str | None, typer.Option(callback=_checked_word)]


def word_option(name: str, help_text: str) -> typer.models.OptionInfo:
    """Declare an option whose value goes into a query of the server."""
    option: typer.models.OptionInfo = typer.Option(name, help=help_text, callback=_checked_word)
    return option


def parse_object(text: str, option: str) -> dict[str, Json]:
    """Read a JSON object. Raises CallerError."""
    value = parse_json(text, option)
    if not isinstance(value, dict):
        raise CallerError(f"{option} takes a JSON object such as '{{\"amount_cents\": 500}}'")
    return value


def parse_json(text: str, option: str) -> Json:
    """Read JSON as the standard has it: no NaN. Raises CallerError."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise CallerError(f"{option} is no JSON: {_where(error)}") from None


def parse_pairs(pairs: list[str], option: str) -> dict[str, Json]:
    """Read ``k=v`` pairs: a value that is valid JSON is taken as JSON, any other as text."""
    found: dict[str, Json] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise CallerError(f"{option} takes NAME=VALUE, not {pair[:60]!r}")
        if name in found:
            raise CallerError(f"{option} {name[:60]!r} is given twice")
        found[name] = _json_or_text(value)
    return found


def _json_or_text(value: str) -> Json:
    try:
        return json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return value


def read_file(path: Path, what: str) -> str:
    """Read a text file that the caller named. Raises CallerError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CallerError(f"{what} {str(path)!r} cannot be read: {error.strerror}") from None
    except ValueError:
        raise CallerError(f"{what} {str(path)!r} is no text in UTF-8") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _where(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} (line {error.lineno}, column {error.colno})"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
