"""The transport to a server at an address: the SDK's streamable HTTP over a client that keeps what the ledger needs.

The SDK tells a connection that was refused, an answer that was cut and a 503 by the same words, and one connection
that fails ends all calls of the session. So every failure of a request becomes an error answer of that one request
here, with what it says about the effect in its data.
"""

import json
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

import httpx2

from core.ports import Certainty, Sorted
from tools.mcp.faults import Mark
from tools.mcp.tables import LONGEST_WAIT
from tools.sorting import sort
from tools.sorting.http import sort_status

MOST_BYTES = 16 * 1024 * 1024  # of an answer: of one JSON document, or of one event
_TOOL_CALL = "tools/call"
_NOTIFICATION = 5.0  # seconds
_BODY = 2_000  # bytes of an error's body that are read
_FIRST_ERROR, _BAD_REQUEST, _NOT_FOUND = 400, 400, 404


class _Sent(NamedTuple):
    """The message in a request; a notification has no id."""

    method: str
    id: str | int | None


class Guarded(httpx2.AsyncBaseTransport):
    """Sends requests, and turns what goes wrong with one into an answer to it."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, mark: Mark) -> None:
        self._inner = inner
        self._mark = mark

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method != "POST":
            return await self._inner.handle_async_request(request)
        sent = _read(request)
        if sent.id is None:  # the SDK sends nothing else meanwhile
            request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), _NOTIFICATION)
        try:
            response = await self._inner.handle_async_request(request)
            is_error = response.status_code >= _FIRST_ERROR
            if is_error and (sent.method == _TOOL_CALL or not _is_json(response)):
                return await self._failed(request, response, sent)
            if sent.method != _TOOL_CALL:
                return response
            return await self._answered(request, response, sent)
        except httpx2.HTTPError as error:
            return self._instead(request, sent, sort(error))

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _failed(self, request: httpx2.Request, response: httpx2.Response, sent: _Sent) -> httpx2.Response:
        body = await _beginning(response, _BODY)
        text = body[:_BODY].decode("utf-8", "replace")
        found = sort_status(
            response.status_code, httpx2.HTTPError(f"HTTP {response.status_code}"), response.headers, text
        )
        return self._instead(request, sent, found, is_session_gone=_is_session_gone(request, response, text))

    async def _answered(self, request: httpx2.Request, response: httpx2.Response, sent: _Sent) -> httpx2.Response:
        if not _is_json(response):
            if isinstance(response.stream, httpx2.AsyncByteStream):
                response.stream = _Quiet(response.stream)
            return response
        body = await _beginning(response, MOST_BYTES)
        if len(body) > MOST_BYTES:
            problem = f"the answer has more than {MOST_BYTES:,} bytes"
            return self._instead(request, sent, Sorted(certainty=Certainty.UNKNOWN, code="too_large", message=problem))
        kept = {"content-type": "application/json"}
        return httpx2.Response(response.status_code, headers=kept, content=body, request=request)

    def _instead(
        self, request: httpx2.Request, sent: _Sent, found: Sorted, *, is_session_gone: bool = False
    ) -> httpx2.Response:
        if sent.id is None:  # nobody waits for what becomes of a notification
            return httpx2.Response(202, request=request)
        data = self._mark.data(found, is_session_gone=is_session_gone)
        error = {"code": -32603, "message": found.message[:500], "data": data}
        answer = {"jsonrpc": "2.0", "id": sent.id, "error": error}
        return httpx2.Response(200, headers={"content-type": "application/json"}, json=answer, request=request)


class _Quiet(httpx2.AsyncByteStream):
    """Ends where it is cut, instead of raising: the SDK then ends the one request, and not the session."""

    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._inner:
                yield chunk
        except httpx2.HTTPError:
            return

    async def aclose(self) -> None:
        await self._inner.aclose()


def client(headers: Mapping[str, str], mark: Mark) -> httpx2.AsyncClient:
    """Make the client of one session. Proxies of the environment are not used, redirects not followed by itself."""
    inner = httpx2.AsyncHTTPTransport(retries=0)
    timeout = httpx2.Timeout(30.0, connect=10.0, read=LONGEST_WAIT)  # seconds
    return httpx2.AsyncClient(transport=Guarded(inner, mark), headers=dict(headers), timeout=timeout, trust_env=False)


def _read(request: httpx2.Request) -> _Sent:
    message = json.loads(request.content)
    return _Sent(message.get("method", ""), message.get("id"))


def _is_json(response: httpx2.Response) -> bool:
    kind: str = response.headers.get("content-type", "")
    return kind.lower().startswith("application/json")


def _is_session_gone(request: httpx2.Request, response: httpx2.Response, text: str) -> bool:
    """Whether the server forgot the session: 404 (MCP 2025-11-25, transports); many say 400 and name it."""
    if "mcp-session-id" not in request.headers:
        return False
    names_it = response.status_code == _BAD_REQUEST and "session" in text.lower()
    return response.status_code == _NOT_FOUND or names_it


async def _beginning(response: httpx2.Response, most: int) -> bytes:
    """Read a body, decoded, until it has more than `most` bytes."""
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > most:
            break
    await response.aclose()
    return body
