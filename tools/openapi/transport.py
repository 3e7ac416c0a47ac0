"""httpx over connections whose address was checked: a name is resolved once, and what was checked is connected to.

So a name that answers differently the second time (DNS rebinding) leads nowhere. No proxy, no cookie, no redirect, no
retry and no logging of addresses happen at this level.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterable, Sequence
from typing import Any

import httpcore
import httpx

from core.errors import Refused
from tools.openapi.addresses import Reachable

_CONNECTIONS = 20
_IDLE = 2.0
"""Seconds that an unused connection is kept: shorter than servers do (5 s and up), so that none is found closed only
after a write was sent over it, which would leave a doubt."""


class CheckedTransport(httpx.AsyncHTTPTransport):
    """The transport of one source."""

    def __init__(self, reachable: Reachable) -> None:
        certificates = ssl.create_default_context()
        super().__init__(verify=certificates, trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=certificates,
            max_connections=_CONNECTIONS,
            keepalive_expiry=_IDLE,
            network_backend=CheckedNetwork(reachable),
        )


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Opens connections for httpcore, to addresses that are allowed and to no others."""

    def __init__(self, reachable: Reachable) -> None:
        self._reachable = reachable
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the base class's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers. Raises Refused, httpcore.ConnectError or ConnectTimeout."""
        try:
            async with asyncio.timeout(timeout):
                addresses = self._allowed(host, await _resolve(host, port))
                return await self._first(addresses, port, local_address, socket_options)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"no connection to {host} within {timeout} s") from error

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def _allowed(self, host: str, found: Sequence[str]) -> Sequence[str]:
        """One address that is not allowed spoils the name: a public service has none."""
        if barred := [one for one in found if not self._reachable.allows(one, host)]:
            raise Refused(
                "address_not_allowed",
                f"{host} is at {barred[0]}, which is not public; list it in private_addresses if it is meant",
            )
        return found

    async def _first(
        self, addresses: Sequence[str], port: int, local: str | None, options: Iterable[Any] | None
    ) -> httpcore.AsyncNetworkStream:
        failure = httpcore.ConnectError("the name has no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, None, local, options)
            except httpcore.ConnectError as error:
                failure = error
        raise failure


async def _resolve(host: str, port: int) -> Sequence[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(f"the name {host} leads to no address") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
