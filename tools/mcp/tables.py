"""What may stand in a ``[[mcp]]`` table of an agent.toml."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from core.durations import Duration
from core.record import Input, Json

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
Pointer = Annotated[str, StringConstraints(pattern=r"^(/.*)?$", max_length=500)]

LONGEST_WAIT = 300.0
"""Seconds that a server at an address may be silent; a tool's own timeout is no longer."""

_SECRET_HEADERS = ("authorization", "cookie", "key", "token", "secret", "password")


def _no_secret(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if any(word in name.lower() for word in _SECRET_HEADERS) and "${" not in value:
            raise ValueError(
                f'{name} carries a secret: name the environment variable that holds it, as "${{VARIABLE}}"'
            )
    return headers


def _an_address(url: str) -> str:
    if not url.startswith(("http://", "https://")) or not url.split("//", 1)[1].strip("/"):
        raise ValueError("expected an address that starts with http:// or https://")
    return url


class Lookup(Input):
    """A question to another tool of the same server: whether an effect is there.

    ``args``: its arguments; texts that start with ``$`` are filled in (lookups.py). ``found``: JSON pointer to what
    is there in its result (default: all of it). ``where``: the effect is the item of the list there whose values (by
    pointer) are these. ``absent_if``: words in the error that the tool answers when it knows no such thing.
    """

    tool: Text
    args: dict[str, Json] = {}
    found: Pointer = ""
    where: dict[Pointer, Json] = {}
    absent_if: Text | None = None


class UndoCall(Input):
    """How an effect is taken back: by another tool of the server; ``args`` as in a question, with ``$result/...``."""

    tool: Text
    args: dict[str, Json] = {}


class ContractTable(Input):
    """``[mcp.contracts.TOOL]``: what the server does not say itself, or is not to be believed about.

    ``key``: the argument that takes the idempotency key. ``fill``: arguments that the runtime fills in; the model
    neither sees nor gives them. The rest as in ``@tool``.
    """

    effect: Text | None = None
    key: Text | None = None
    key_window: Any = None
    settle_time: Any = None
    timeout: Any = None
    attempts: Any = None
    identity: tuple[Text, ...] | None = None
    fresh_for: Any = None
    fallback: Text | None = None
    result_cap: Any = None
    approve_hint: Text | None = None
    fill: dict[str, Json] = {}
    probe: Lookup | None = None
    verify: Lookup | None = None
    undo: UndoCall | None = None


class ServerTable(Input):
    """``[[mcp]]``: one server, by the command that starts it or by its address.

    ``env``, ``headers``: ``${VARIABLE}`` in a value stands for an environment variable of the worker. ``only``,
    ``except``, ``reads``: names or patterns (``get_*``) of the server's tools; ``reads`` are those that its owner
    knows to change nothing. ``pinned``: its tools have to be in tools.lock already, else the agent is refused; without
    it a worker pins what the server says when it uses it first. ``fill``: as in a contract, for every tool that has
    such an argument.
    """

    name: Name
    command: tuple[Text, ...] = ()
    url: Annotated[str, AfterValidator(_an_address)] | None = None
    env: dict[str, str] = {}
    headers: Annotated[dict[str, str], AfterValidator(_no_secret)] = {}
    prefix: Annotated[str, StringConstraints(pattern=r"^([A-Za-z][A-Za-z0-9_]{0,30})?$")] = ""
    only: tuple[Text, ...] = ()
    except_: tuple[Text, ...] = Field(default=(), alias="except")
    reads: tuple[Text, ...] = ()
    pinned: bool = False
    fill: dict[str, Json] = {}
    start_timeout: Duration = Field(default="30s", validate_default=True)
    contracts: dict[str, ContractTable] = {}

    @model_validator(mode="after")
    def _one_way(self) -> "ServerTable":
        if bool(self.command) == bool(self.url):
            raise ValueError('expected either command = ["PROGRAM", ...] or url = "https://..."')
        if self.url and self.env:
            raise ValueError("env is for a server that is started by a command; for a url there are headers")
        if self.command and self.headers:
            raise ValueError("headers are for a server with a url; for a command there is env")
        return self
