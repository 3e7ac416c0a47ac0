"""What an author says about one OpenAPI document: ``[[openapi]]`` and its contracts. Secrets are only named here."""

import ipaddress
import re
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, PositiveInt, StringConstraints, model_validator

from core.record import Input, Json
from tools.openapi.addresses import meant_by

Word = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "content-type", "accept-encoding"})


def _header_name(name: str) -> str:
    if not _TOKEN.fullmatch(name) or name.lower() in _OURS:
        raise ValueError("expected the name of a header that the client does not set itself, such as X-Api-Key")
    return name


def _header_value(value: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise ValueError("expected printable ASCII")
    return value


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_right = parts.scheme in ("https", "http") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_right = False
    if not is_right or parts.username is not None or parts.query or parts.fragment or not url.isascii():
        raise ValueError("expected an address such as https://api.example.com/v1, without user, query or fragment")
    return url.rstrip("/")


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise ValueError("expected an address or a network, such as 127.0.0.1 or 10.2.0.0/16") from None


def _host(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?", name):
        raise ValueError("expected a host, such as files.example.com or files.example.com:8443, without a scheme")
    return name.lower()


def _pointer(text: str) -> str:
    if text and not text.startswith("/"):
        raise ValueError("expected a place in an answer, such as /data or /refund/id")
    return text


HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]
Address = Annotated[str, AfterValidator(_address)]
Network = Annotated[str, AfterValidator(_network)]
Host = Annotated[str, AfterValidator(_host)]
Pointer = Annotated[str, AfterValidator(_pointer)]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]


class Auth(Input):
    """How requests are authenticated; every ``env`` names a variable of the worker's environment.

    One of: ``bearer_env``; ``header`` and ``env``; ``query`` and ``env``; ``username_env`` and ``password_env``.
    """

    bearer_env: Variable | None = None
    header: HeaderName | None = None
    query: Word | None = None
    env: Variable | None = None
    username_env: Variable | None = None
    password_env: Variable | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        chosen = frozenset(self.model_dump(exclude_none=True))
        kinds = ({"bearer_env"}, {"header", "env"}, {"query", "env"}, {"username_env", "password_env"})
        if chosen not in kinds:
            raise ValueError(
                'expected {bearer_env = "NAME"}, {header = "X-Api-Key", env = "NAME"}, '
                '{query = "api_key", env = "NAME"} or {username_env = "NAME", password_env = "NAME"}'
            )
        return self


class Lookup(Input):
    """Another operation that is asked whether an effect is there.

    ``args``: its arguments; texts that start with ``$`` are filled in (lookups.py). ``found``: JSON pointer to what is
    there in its answer (default: all of it). ``where``: the effect is the item of the list there (or the object there)
    whose values, by pointer, are these. ``absent_if``: statuses that say "not there"; default 404 and 410, and none
    where there is a ``where``. ``more``: a place that is true, or not empty, when the list goes on elsewhere, so that
    "not in it" proves nothing.
    """

    operation: Word
    args: dict[str, Json] = {}
    found: Pointer = ""
    where: dict[Pointer, Json] = {}
    absent_if: tuple[Annotated[int, Field(ge=400, le=499)], ...] | None = None
    more: Pointer | None = None

    @property
    def absent(self) -> tuple[int, ...]:
        """The statuses that say that it is not there."""
        return self.absent_if if self.absent_if is not None else () if self.where else (404, 410)


class UndoCall(Input):
    """How an effect is taken back: by another operation; ``args`` as in a look-up, with ``$result/...``."""

    operation: Word
    args: dict[str, Json] = {}


class ContractTable(Input):
    """``[openapi.contracts.OPERATION]``: what the document cannot say. Words as in `@tool`, read where they are.

    ``name``: of the tool, instead of the operation's. ``key``: the argument that carries the effect's key, for
    providers that want it in the body or the path. ``fill``: arguments that the runtime fills in; the model neither
    sees nor gives these two. ``omit``: parameters or body fields that are never sent. ``headers``: of the answer that
    become part of the result, which then is ``{"body": ..., "headers": {...}}``.
    """

    name: Word | None = None
    description: Word | None = None
    effect: Word | None = None
    timeout: Any = None
    attempts: Any = None
    key_window: Any = None
    settle_time: Any = None
    fresh_for: Any = None
    result_cap: Any = None
    identity: tuple[Word, ...] | None = None
    approve_hint: Word | None = None
    key: Word | None = None
    fill: dict[str, Json] = {}
    omit: tuple[Word, ...] = ()
    headers: tuple[HeaderName, ...] = ()
    verify: Lookup | None = None
    probe: Lookup | None = None
    undo: UndoCall | None = None


class Source(Input):
    """``[[openapi]]``. ``base_url``: where requests go; the document's own servers are not believed. Figures of a
    private address, or ``localhost``, may be connected to because they stand here (addresses.py); a name says less.

    ``hosts``: further hosts that an answer to a read may redirect to. ``private_addresses``: addresses or networks that
    are not public (loopback too) and may be connected to all the same. ``request_bytes``, ``response_bytes``: the most
    that is sent and read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=False, validate_by_alias=True)

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
    spec: Word
    base_url: Address
    only: tuple[Word, ...] = ()
    leave_out: tuple[Word, ...] = Field(default=(), alias="except")
    prefix: Annotated[str, StringConstraints(pattern=r"^([A-Za-z][A-Za-z0-9_]{0,39})?$")] = ""
    auth: Auth | None = None
    headers: dict[HeaderName, HeaderValue] = {}
    idempotency_header: HeaderName | None = None
    hosts: tuple[Host, ...] = ()
    private_addresses: tuple[Network, ...] = ()
    request_bytes: PositiveInt = 1024 * 1024
    response_bytes: PositiveInt = 4 * 1024 * 1024
    contracts: dict[str, ContractTable] = {}

    @property
    def host(self) -> str:
        """The host of `base_url`, in lower case and without brackets."""
        return urlsplit(self.base_url).hostname or ""

    @model_validator(mode="after")
    def _secrets_travel_safely(self) -> Self:
        is_near = bool(self.private_addresses or meant_by(self.host))
        if self.auth is not None and self.base_url.startswith("http://") and not is_near:
            raise ValueError("expected https:// in base_url: over http:// the secret of `auth` can be read on the way")
        return self
