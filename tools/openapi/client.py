"""One client per source and worker. It makes one request at a time of a call, and follows redirects of reads alone."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import httpx

from core.errors import Refused
from tools.openapi.addresses import Reachable
from tools.openapi.secrets import Secrets
from tools.openapi.tables import Source
from tools.openapi.transport import CheckedTransport

_CONNECT = 10.0  # seconds at most, and never more than half the time of the call: then it is certain that nothing went
_BODY_BY = 0.9  # of the call's time; a body that is not there by then is let go, and its status kept
_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = {"https": 443, "http": 80}

Origin = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Request:
    """One request, rendered. `url` is whole, without what authenticates."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes = b""

    @property
    def is_read(self) -> bool:
        """Whether a server may be asked the same elsewhere."""
        return self.method in ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered. Names of headers are in lower case; `cut`: why `body` is not all of it, or nothing."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: str = ""

    @property
    def text(self) -> str:
        """The body as text, whatever it is."""
        return self.body.decode("utf-8", "replace")


class Client:
    """Sends the requests of one source. Connections are opened when they are needed first."""

    def __init__(self, source: Source, secrets: Secrets) -> None:
        self._source = source
        self._secrets = secrets
        self._transport: CheckedTransport | None = None
        self._home = _origin(httpx.URL(source.base_url))

    async def aclose(self) -> None:
        """Close all connections."""
        if self._transport is not None:
            await self._transport.aclose()
            self._transport = None

    async def send(self, request: Request, timeout: timedelta) -> Answer:  # noqa: ASYNC109 - of the whole call
        """Send, and read the answer. Raises what httpx raises, NotSent, or Refused for a host that is not allowed."""
        until = asyncio.get_running_loop().time() + timeout.total_seconds() * _BODY_BY
        for _ in range(_MOST_REDIRECTS + 1):
            answer = await self._once(request, timeout.total_seconds(), until)
            if answer.status not in _REDIRECTS or not request.is_read or "location" not in answer.headers:
                return answer
            request = self._elsewhere(request, answer)
        raise Refused("too_many_redirects", f"was sent elsewhere more than {_MOST_REDIRECTS} times")

    async def _once(self, request: Request, seconds: float, until: float) -> Answer:
        signed = self._signed(request, seconds)
        response = await self._connected().handle_async_request(signed)
        try:
            headers = {name.lower(): value for name, value in response.headers.items()}
            body, cut = await self._body(request, response, until)
        finally:
            await response.aclose()
        hidden = {name: self._secrets.hide(value) for name, value in headers.items()}
        return Answer(response.status_code, hidden, self._secrets.hide_in(body), cut)

    def _connected(self) -> CheckedTransport:
        """Open the pool when it is needed first: reading certificates takes its time."""
        if self._transport is None:
            self._transport = CheckedTransport(Reachable(self._source.private_addresses, self._home[1]))
        return self._transport

    def _signed(self, request: Request, seconds: float) -> httpx.Request:
        """Add what authenticates, for the service itself and for nobody it sends us to."""
        url = httpx.URL(request.url)
        headers = {"Accept-Encoding": "identity", **request.headers}
        if _origin(url) == self._home:
            headers |= self._secrets.headers()
            url = url.copy_merge_params(self._secrets.query()) if self._secrets.query() else url
        connect = min(_CONNECT, seconds / 2)
        limits = {"connect": connect, "pool": connect, "read": seconds, "write": seconds}
        content = request.content or None
        return httpx.Request(request.method, url, headers=headers, content=content, extensions={"timeout": limits})

    async def _body(self, request: Request, response: httpx.Response, until: float) -> tuple[bytes, str]:
        """Read at most what is allowed. After a status, a body that breaks off is a note; for a read it is an error."""
        body, most = bytearray(), self._source.response_bytes
        try:
            async with asyncio.timeout_at(until):
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > most:
                        return bytes(body[:most]), f"it has more than {most:,} bytes (response_bytes)"
        except (httpx.HTTPError, TimeoutError) as error:
            if request.is_read:
                raise
            return bytes(body), f"it broke off after {len(body):,} bytes ({type(error).__name__})"
        return bytes(body), ""

    def _elsewhere(self, request: Request, answer: Answer) -> Request:
        """Follow a redirect of a read, to hosts that are allowed, and never from https to http."""
        here = httpx.URL(request.url)
        try:
            url = here.join(answer.headers["location"])
        except (httpx.InvalidURL, ValueError) as error:
            raise Refused("redirect_not_allowed", "was sent to an address that is none") from error
        if not self._may_go(here, url):
            where = _written(_origin(url))[:200]
            raise Refused("redirect_not_allowed", f"was sent to {where!r}, which `hosts` does not list")
        return Request(request.method, str(url), self._public(request.headers))

    def _may_go(self, here: httpx.URL, url: httpx.URL) -> bool:
        origin = _origin(url)
        if url.scheme not in _PORTS or url.userinfo or (here.scheme == "https" and url.scheme != "https"):
            return False
        return origin == self._home or _written(origin) in self._source.hosts or self._is_upgrade(origin)

    def _is_upgrade(self, origin: Origin) -> bool:
        scheme, host, _ = self._home
        return scheme == "http" and origin == ("https", host, _PORTS["https"])

    def _public(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Leave out the table's own headers: they are for the service."""
        ours = {name.lower() for name in self._source.headers}
        return {name: value for name, value in headers.items() if name.lower() not in ours}


def _origin(url: httpx.URL) -> Origin:
    """Return scheme, host and port as the client itself will read them: two parsers may disagree on a hostile one."""
    return url.scheme, url.raw_host.decode("ascii", "replace").lower(), url.port or _PORTS.get(url.scheme, 0)


def _written(origin: Origin) -> str:
    scheme, host, port = origin
    return host if port == _PORTS.get(scheme, 0) else f"{host}:{port}"
