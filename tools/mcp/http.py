"""The transport to a server at an address: the SDK's streamable HTTP over a client that keeps what the ledger needs.

The SDK tells a connection that was refused, an answer that was cut and a 503 by the same words, and one connection
that fails ends all calls of the session. So every failure of a ``tools/call`` becomes an error answer of that one
call here, with what it says about the effect in its data.
"""

import json
from collections.abc import AsyncIterator, Mapping

import httpx2

from core.ports import Certainty, Sorted
from tools.mcp.faults import Mark
from tools.sorting import sort
from tools.sorting.http import sort_status

MOST_BYTES = 16 * 1024 * 1024  # of an answer that is one JSON document; events have a limit of their own in the SDK
_CALL = b'"method":"tools/call"'
_BODY = 2_000  # bytes of an error's body that are read
_NOT_FOUND = 404
_FIRST_ERROR = 400


class Guarded(httpx2.AsyncBaseTransport):
    """Sends requests, and turns what goes wrong with a call into an answer to it."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, mark: Mark) -> None:
        self._inner = inner
        self._mark = mark

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if _CALL not in request.content[:4_000] + request.content[-4_000:]:
            return await self._inner.handle_async_request(request)
        try:
            response = await self._inner.handle_async_request(request)
            if response.status_code >= _FIRST_ERROR:
                return await self._failed(request, response)
            return await self._answered(request, response)
        except httpx2.HTTPError as error:
            return self._instead(request, sort(error))

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _failed(self, request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        body = await _beginning(response, _BODY)
        text = body[:_BODY].decode("utf-8", "replace")
        found = sort_status(response.status_code, httpx2.HTTPError(f"HTTP {response.status_code}"), response.headers, text)
        is_gone = response.status_code == _NOT_FOUND and "mcp-session-id" in request.headers
        return self._instead(request, found, is_session_gone=is_gone)

    async def _answered(self, request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        if not response.headers.get("content-type", "").lower().startswith("application/json"):
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            response.stream = _Quiet(response.stream)
            return response
        body = await _beginning(response, MOST_BYTES)
        if len(body) > MOST_BYTES:
            problem = f"the answer has more than {MOST_BYTES:,} bytes"
            return self._instead(request, Sorted(certainty=Certainty.UNKNOWN, code="too_large", message=problem))
        kept = [(name, value) for name, value in response.headers.items() if name.lower() != "content-encoding"]
        return httpx2.Response(response.status_code, headers=kept, content=body, request=request)

    def _instead(self, request: httpx2.Request, found: Sorted, *, is_session_gone: bool = False) -> httpx2.Response:
        data = self._mark.data(found, is_session_gone=is_session_gone)
        error = {"code": -32603, "message": found.message[:500], "data": data}
        answer = {"jsonrpc": "2.0", "id": _id_of(request), "error": error}
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
    timeout = httpx2.Timeout(30.0, connect=10.0, read=300.0)  # seconds; the door cuts each call off by itself
    return httpx2.AsyncClient(transport=Guarded(inner, mark), headers=dict(headers), timeout=timeout, trust_env=False)


def _id_of(request: httpx2.Request) -> str | int:
    found = json.loads(request.content)["id"]
    assert isinstance(found, (str, int))
    return found


async def _beginning(response: httpx2.Response, most: int) -> bytes:
    """Read a body, decoded, until it has more than `most` bytes."""
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > most:
            break
    await response.aclose()
    return body
