"""From a configured server to a session of the SDK that is ready, with the list of its tools."""

import asyncio
import importlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from core.errors import NotSent
from core.names import NotCanonical
from core.record import Json
from tools.mcp.faults import Mark
from tools.mcp.pins import Pin
from tools.mcp.server import Server
from tools.mcp.stdio import Pipes, start, streams

if TYPE_CHECKING:
    import mcp_types
    from mcp.client.session import ClientSession

_MOST_PAGES, _MOST_TOOLS = 100, 2_000
_METHOD_NOT_FOUND, _UNSUPPORTED_VERSION = -32601, -32022


@dataclass(slots=True)
class Connected:
    """A session that is ready. `said`: its tools as it describes them, by name; `digests`: the same, hashed.

    ``is_stale``: the server said that its tools changed, and nobody looked yet.
    """

    server: Server
    client: "ClientSession"
    mark: Mark
    pipes: Pipes | None
    ended: asyncio.Event
    said: Mapping[str, Pin] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    is_stale: bool = False
    raw: TypeAdapter[dict[str, Any]] = field(default_factory=lambda: TypeAdapter(dict[str, Any]))

    @property
    def has_ended(self) -> bool:
        """Whether nothing can be sent or heard any more."""
        return self.ended.is_set()

    @property
    def why_ended(self) -> str:
        """Say why it ended, with the last words of its process."""
        if self.pipes is None:
            return "the server forgot the session"
        last = f"; its last words: {self.pipes.last_words}" if self.pipes.last_words else ""
        return f"{self.pipes.cause or 'it was stopped'}{last}"

    async def call(self, name: str, args: Mapping[str, Json]) -> dict[str, Json]:
        """Call a tool; return the result as it came. Raises MCPError, or ValidationError for what is no result."""
        import mcp_types  # noqa: PLC0415 - the SDK is loaded with the first session

        params = mcp_types.CallToolRequestParams(name=name, arguments=dict(args))
        request = mcp_types.CallToolRequest(params=params)
        return await self.client.send_request(request, self.raw)  # type: ignore[type-var]  # no need of a model


async def connect(server: Server, environ: Mapping[str, str], stack: AsyncExitStack) -> Connected:
    """Start or call a server, agree on a version, and read what it offers. Raises whatever goes wrong."""
    await asyncio.to_thread(_load_sdk)  # 0.7 s, in which everything else would stand still
    from mcp.client.session import ClientSession  # noqa: PLC0415 - as above

    mark = Mark()
    found: list[Connected] = []

    async def heard(message: object) -> None:
        import mcp_types  # noqa: PLC0415 - as above

        if isinstance(message, mcp_types.ToolListChangedNotification):
            for one in found:
                one.is_stale = True

    pipes, (incoming, outgoing) = await stack.enter_async_context(_open(server, environ, mark))
    session = ClientSession(incoming, outgoing, client_info=_who(), message_handler=heard)
    client = await stack.enter_async_context(session)
    ended = pipes.ended if pipes else asyncio.Event()
    connected = Connected(server, client, mark, pipes, ended)
    found.append(connected)
    try:
        await _shake_hands(client)
        await list_tools(connected)
    except Exception as error:
        raise NotSent(_why(connected, error)) from error
    return connected


def _load_sdk() -> None:
    importlib.import_module("mcp.client.session")
    importlib.import_module("mcp.client.streamable_http")


async def list_tools(connected: Connected) -> None:
    """Read all pages of what a server offers. Raises NotSent for a list that cannot be used."""
    import mcp_types  # noqa: PLC0415 - as above

    connected.is_stale = False
    said: dict[str, Pin] = {}
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        params = mcp_types.PaginatedRequestParams(cursor=cursor) if cursor else None
        page = await connected.client.list_tools(params=params)
        for pin in map(_pin, page.tools):
            if pin.name in said:
                raise NotSent(f"it offers two tools called {pin.name[:128]!r}")
            said[pin.name] = pin
        cursor = page.next_cursor
        if len(said) > _MOST_TOOLS:
            raise NotSent(f"it offers more than {_MOST_TOOLS:,} tools")
        if cursor is None:
            connected.said = said
            connected.digests = {name: _digest(pin) for name, pin in said.items()}
            return
    raise NotSent(f"its list of tools has more than {_MOST_PAGES} pages")


def _pin(tool: "mcp_types.Tool") -> Pin:
    annotations = tool.annotations.model_dump(mode="json", by_alias=True, exclude_none=True) if tool.annotations else {}
    return Pin(
        name=tool.name,
        description=tool.description or "",
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        annotations=annotations,
    )


def _digest(pin: Pin) -> str:
    try:
        return pin.digest
    except NotCanonical:  # it equals nothing that anybody accepted
        return "none"


@asynccontextmanager
async def _open(server: Server, environ: Mapping[str, str], mark: Mark) -> AsyncIterator[tuple[Pipes | None, Any]]:
    if server.table.url is None:
        program = server.program(environ)
        async with start(program) as pipes, streams(pipes) as ends:
            yield pipes, ends
        return
    from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415 - as above

    from tools.mcp.http import MOST_BYTES, client  # noqa: PLC0415 - httpx2 is loaded with the first session, too

    async with (
        client(server.headers(environ), mark) as http,
        streamable_http_client(server.table.url, http_client=http, max_sse_event_size=MOST_BYTES) as ends,
    ):
        yield None, ends


async def _shake_hands(client: "ClientSession") -> None:
    """Agree on a version: by `initialize`, which all servers up to 2025-11-25 know; later ones may only `discover`."""
    from mcp.shared.exceptions import MCPError  # noqa: PLC0415 - as above

    try:
        await client.initialize()
    except MCPError as error:
        if error.code not in (_METHOD_NOT_FOUND, _UNSUPPORTED_VERSION):
            raise
        await client.discover()


def _who() -> "mcp_types.Implementation":
    import mcp_types  # noqa: PLC0415 - as above

    return mcp_types.Implementation(name="lastmile", version="1")


def _why(connected: Connected, error: Exception) -> str:
    if connected.pipes is not None and connected.has_ended:
        return connected.why_ended
    if isinstance(error, ValidationError):
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"]))[:200]
        return f"it does not speak MCP as it is written: {where}: {fault['msg'][:200]}"
    known = connected.mark.error(getattr(getattr(error, "error", None), "data", None))
    text = " ".join(str(known or error).split())[:500] or type(error).__name__
    return f"it cannot be talked to: {text}"
