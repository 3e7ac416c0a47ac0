"""Where requests may go: the service itself, hosts that are listed, and addresses that are public or listed."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from core.errors import Refused
from core.ports import Certainty
from tests.tools.openapi.serving import loaded, serving
from tests.tools.openapi.test_requests_and_answers import DOCUMENT, failure, saying, send
from tools.openapi.addresses import Reachable
from tools.openapi.faults import SourceFaults
from tools.openapi.loading import LoadedSource


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.5.5", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:db8::1", "nonsense", "",
    ],
)  # fmt: skip
def test_address_that_is_not_public_is_not_reached(address: str) -> None:
    assert not Reachable(()).allows(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "64:ff9b::101:101"])
def test_public_address_is_reached(address: str) -> None:
    assert Reachable(()).allows(address)


def test_listed_networks_are_reached_and_no_others() -> None:
    reachable = Reachable(["10.2.0.0/16", "127.0.0.1"])
    assert [reachable.allows(one) for one in ("10.2.3.4", "127.0.0.1", "::ffff:10.2.3.4")] == [True] * 3
    assert [reachable.allows(one) for one in ("10.3.0.1", "127.0.0.2", "::1")] == [False] * 3


def test_figures_that_are_not_public_are_refused_at_load(tmp_path: Path) -> None:
    (tmp_path / "api.json").write_text(json.dumps(DOCUMENT))
    with pytest.raises(SourceFaults, match=r"169\.254\.169\.254 is not a public address") as caught:
        loaded("https://169.254.169.254/latest", tmp_path, private_addresses=[])
    assert caught.value.faults[0].place == ("base_url",)


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "192.168.7.7", "::1", "fc00::1", "::ffff:127.0.0.1"])
def test_private_figures_in_base_url_are_consent_to_that_address_alone(host: str) -> None:
    reachable = Reachable((), host)
    assert reachable.allows(host, host)
    assert not reachable.allows("127.0.0.2", host)
    assert not reachable.allows(host, "shop.test")


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "::ffff:169.254.169.254", "fe80::1"]
)
def test_figures_where_no_service_of_ones_own_is_have_to_be_listed(host: str) -> None:
    assert not Reachable((), host).allows(host, host)
    assert Reachable([host], host).allows(host, host)


def test_localhost_in_base_url_is_consent_to_loopback() -> None:
    reachable = Reachable((), "localhost")
    assert [reachable.allows(one, "localhost") for one in ("127.0.0.1", "::1")] == [True, True]
    assert [reachable.allows(one, "localhost") for one in ("10.0.0.1", "169.254.169.254")] == [False, False]


@pytest.mark.parametrize("host", ["", "localhost"])
async def test_service_on_this_machine_needs_no_list_of_addresses(tmp_path: Path, host: str) -> None:
    async with service(tmp_path, NAMED, host, private_addresses=[]) as (source, seen):
        assert await send(source.tools["name"]) == {"name": "x"}
        assert "Authorization" in seen[0].headers


async def test_name_in_base_url_that_leads_to_a_private_address_is_no_consent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with service(tmp_path, NAMED, "shop.test", private_addresses=[], auth=None) as (source, seen):
        Resolver(monkeypatch, "127.0.0.1")
        assert (await failure(source.tools["rename"]))[:2] == (Certainty.REFUSED, "address_not_allowed")
        assert seen == []


async def test_redirect_to_a_listed_name_does_not_inherit_the_consent_of_base_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[web.Request] = []
    async with serving_at(there) as address:
        other = address.removeprefix("http://").replace("127.0.0.1", "files.test")
        table: dict[str, Any] = {"private_addresses": [], "hosts": [other]}
        async with service(tmp_path, saying(302, Location=f"http://{other}/x"), **table) as (source, seen):
            Resolver(monkeypatch, "127.0.0.1", "127.0.0.1")
            assert (await failure(source.tools["name"]))[:2] == (Certainty.REFUSED, "address_not_allowed")
            assert (len(seen), there) == (1, [])


def test_secret_over_http_to_a_public_address_is_refused_in_figures_too(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected https:// in base_url"):
        loaded("http://93.184.216.34/v1", tmp_path, private_addresses=[])


async def test_servers_of_the_document_are_not_believed(tmp_path: Path) -> None:
    there: list[web.Request] = []
    async with serving_at(there) as elsewhere:
        document = DOCUMENT | {"servers": [{"url": elsewhere}]}
        async with service(tmp_path, NAMED, document=document, private_addresses=[]) as (source, seen):
            await send(source.tools["name"])
        assert (len(seen), there) == (1, [])


class Resolver:
    """Answers for every name with the next of its addresses, and counts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked: list[str] = []
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self)

    async def __call__(self, host: str, port: int, **_: Any) -> list[Any]:
        self.asked.append(host)
        address = self.addresses.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]


@asynccontextmanager
async def service(
    tmp_path: Path, answer: Any, host: str = "", document: Any = DOCUMENT, **table: Any
) -> AsyncIterator[tuple[LoadedSource, Any]]:
    """Serve `answer` on loopback; `host`: the name that base_url has, instead of the figures."""
    seen: list[web.Request] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        response: web.StreamResponse = await answer(request)
        return response

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    (tmp_path / "api.json").write_text(json.dumps(document))
    async with serving(app) as address:
        source = loaded(address.replace("127.0.0.1", host) if host else address, tmp_path, **table)
        try:
            yield source, seen
        finally:
            await source.aclose()


NAMED = saying(body='{"name": "x"}')


async def test_name_that_leads_to_a_private_address_is_refused_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with service(tmp_path, NAMED, "shop.test", private_addresses=["10.0.0.0/8"]) as (source, seen):
        Resolver(monkeypatch, "127.0.0.1")
        assert (await failure(source.tools["rename"]))[:2] == (Certainty.REFUSED, "address_not_allowed")
        assert seen == []


async def test_what_was_checked_is_connected_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hang_up = saying(body='{"name": "x"}', Connection="close")
    async with service(tmp_path, hang_up, "shop.test") as (source, seen):
        resolver = Resolver(monkeypatch, "127.0.0.1", "192.168.7.7")
        assert await send(source.tools["name"]) == {"name": "x"}
        assert resolver.asked == ["shop.test"]
        assert seen[0].headers["Host"].startswith("shop.test:")
        with pytest.raises(Refused, match=r"192\.168\.7\.7"):  # the name has changed its mind
            await send(source.tools["name"])
        assert len(seen) == 1


async def test_name_that_is_not_known_is_certainly_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    async with service(tmp_path, NAMED, "shop.test") as (source, _):
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
        assert (await failure(source.tools["rename"]))[:2] == (Certainty.NOT_SENT, "connect_failed")


# ----------------------------------------------------------------------------------------------------------- redirects


async def test_read_follows_a_redirect_within_the_service(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/named":
            return web.Response(status=302, headers={"Location": "/elsewhere?x=1"})
        return web.json_response({"name": request.path_qs})

    async with service(tmp_path, answer) as (source, seen):
        assert await send(source.tools["name"]) == {"name": "/elsewhere?x=1"}
        assert all("Authorization" in request.headers for request in seen)


async def test_read_is_not_redirected_to_a_host_that_is_not_listed(tmp_path: Path) -> None:
    there: list[web.Request] = []
    async with serving_at(there) as address, service(tmp_path, saying(302, Location=f"{address}/x")) as (source, seen):
        assert (await failure(source.tools["name"]))[:2] == (Certainty.REFUSED, "redirect_not_allowed")
        assert (len(seen), there) == (1, [])


async def test_read_is_redirected_to_a_listed_host_without_our_secrets(tmp_path: Path) -> None:
    there: list[web.Request] = []
    async with serving_at(there) as address:
        more: dict[str, Any] = {"hosts": [address.removeprefix("http://")], "headers": {"X-Ours": "1"}}
        async with service(tmp_path, saying(307, Location=f"{address}/x"), **more) as (source, seen):
            assert await send(source.tools["name"]) == {"name": "there"}
            assert "Authorization" in seen[0].headers
            assert not {"Authorization", "X-Ours"} & set(there[0].headers)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_of_a_write_is_not_followed_and_leaves_a_doubt(tmp_path: Path, status: int) -> None:
    async with service(tmp_path, saying(status, Location="/elsewhere")) as (source, seen):
        assert (await failure(source.tools["rename"]))[0] is Certainty.UNKNOWN
        assert len(seen) == 1


async def test_redirects_without_end_are_a_definite_no(tmp_path: Path) -> None:
    async with service(tmp_path, saying(302, Location="/named")) as (source, seen):
        assert (await failure(source.tools["name"]))[:2] == (Certainty.REFUSED, "too_many_redirects")
        assert len(seen) == 6


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "http://[::1", "//evil.example/x", "http://u:p@127.0.0.1/", "gopher://x", "http://:80"],
)
async def test_redirect_to_nonsense_is_a_definite_no(tmp_path: Path, location: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/named":
            return web.Response(status=302, headers={"Location": location})
        return web.Response(status=404)

    async with service(tmp_path, answer) as (source, _):
        assert (await failure(source.tools["name"]))[0] is Certainty.REFUSED


@asynccontextmanager
async def serving_at(seen: list[web.Request]) -> AsyncIterator[str]:
    """Serve another host (another port is one), that says so."""

    async def handle(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response({"name": "there"})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    async with serving(app) as address:
        yield address


async def test_proxy_of_the_environment_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with service(tmp_path, NAMED) as (source, _):
        assert await send(source.tools["name"]) == {"name": "x"}
