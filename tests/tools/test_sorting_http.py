"""Errors of HTTP clients, as they really come from a server that refuses, fails, hangs up or is silent."""

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import quote
from urllib.request import Request, urlopen

import aiohttp
import httpx
import httpx2
import pytest
import requests
import stripe

from core.ports import Certainty, Sorted
from tests.tools.web import refusing, serving
from tools.sorting import sort
from tools.sorting.http import retry_after

PATIENCE = 0.3  # seconds; only the silent server is waited for as long
NOT_SENT, REFUSED, UNKNOWN = Certainty.NOT_SENT, Certainty.REFUSED, Certainty.UNKNOWN


async def by_httpx(url: str) -> None:
    async with httpx.AsyncClient(timeout=PATIENCE, follow_redirects=True) as client:
        (await client.post(url)).raise_for_status()


async def by_httpx2(url: str) -> None:
    async with httpx2.AsyncClient(timeout=PATIENCE, follow_redirects=True) as client:
        (await client.post(url)).raise_for_status()


def by_requests(url: str) -> None:
    with requests.Session() as session:
        session.post(url, timeout=PATIENCE).raise_for_status()


async def by_aiohttp(url: str) -> None:
    patience = aiohttp.ClientTimeout(sock_read=PATIENCE, sock_connect=PATIENCE)
    async with aiohttp.ClientSession(timeout=patience, raise_for_status=True) as session, session.post(url):
        pass


def by_urllib(url: str) -> None:
    try:
        with urlopen(Request(url, data=b"x"), timeout=PATIENCE):
            pass
    except OSError as error:
        getattr(error, "close", lambda: None)()  # an HTTPError holds the connection open
        raise


async def by_stripe(url: str) -> None:
    http = stripe.HTTPXClient(timeout=PATIENCE)
    base = url.partition("?")[0]
    try:
        client = stripe.StripeClient("sk", base_addresses={"api": base}, max_network_retries=0, http_client=http)
        await client.v1.refunds.create_async({"payment_intent": "pi"}, {"idempotency_key": "k"})
    finally:
        await http.close_async()  # type: ignore[no-untyped-call]


def by_stripe_over_requests(url: str) -> None:
    http = stripe.RequestsClient(timeout=PATIENCE)
    base = url.partition("?")[0]
    try:
        client = stripe.StripeClient("sk", base_addresses={"api": base}, max_network_retries=0, http_client=http)
        client.v1.refunds.create({"payment_intent": "pi"}, {"idempotency_key": "k"})
    finally:
        http.close()  # type: ignore[no-untyped-call]


Client = Callable[[str], Awaitable[None] | None]
CLIENTS: tuple[Client, ...] = (
    by_httpx,
    by_httpx2,
    by_requests,
    by_aiohttp,
    by_urllib,
    by_stripe,
    by_stripe_over_requests,
)
each_client = pytest.mark.parametrize("client", CLIENTS)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving() as url:
        yield url


async def sorted_error(client: Client, url: str) -> Sorted:
    try:
        if (answer := client(url)) is not None:
            await answer
    except Exception as error:  # noqa: BLE001 - what it is, is the question
        return sort(error)
    raise AssertionError("nothing was raised")


@each_client
async def test_refused_connection_was_not_sent(client: Client) -> None:
    with refusing() as port:
        found = await sorted_error(client, f"http://127.0.0.1:{port}/200")
    assert (found.certainty, found.code) == (NOT_SENT, "connect_failed")


@pytest.mark.parametrize("client", [by_httpx, by_httpx2, by_requests, by_aiohttp])
@pytest.mark.parametrize("target", ["http://127.0.0.1:PORT/", "ftp://127.0.0.1/"])
async def test_redirect_that_cannot_be_followed_is_unknown(client: Client, server: str, target: str) -> None:
    """The server had the request, and may have acted on it, before it sent us elsewhere."""
    with refusing() as port:
        url = f"{server}/303?Location={quote(target.replace('PORT', str(port)))}"
        assert (await sorted_error(client, url)).certainty is UNKNOWN


@each_client
async def test_answer_that_was_lost_is_unknown(client: Client, server: str) -> None:
    assert (await sorted_error(client, f"{server}/lost")).certainty is UNKNOWN


@each_client
async def test_answer_that_does_not_come_in_time_is_unknown(client: Client, server: str) -> None:
    assert (await sorted_error(client, f"{server}/slow")).certainty is UNKNOWN


@each_client
@pytest.mark.parametrize(
    ("status", "certainty"),
    [
        (400, REFUSED),
        (401, REFUSED),
        (402, REFUSED),
        (403, REFUSED),
        (404, REFUSED),
        (408, UNKNOWN),
        (409, UNKNOWN),
        (422, REFUSED),
        (425, UNKNOWN),
        (429, NOT_SENT),
        (500, UNKNOWN),
        (503, UNKNOWN),
    ],
)
async def test_status_decides(client: Client, server: str, status: int, certainty: Certainty) -> None:
    assert (await sorted_error(client, f"{server}/{status}")).certainty is certainty


@pytest.mark.parametrize("client", [by_httpx, by_httpx2, by_requests, by_aiohttp, by_urllib])
@pytest.mark.parametrize("status", [429, 503])
async def test_wait_that_the_server_asks_for_is_kept(client: Client, server: str, status: int) -> None:
    assert (await sorted_error(client, f"{server}/{status}?Retry-After=7")).retry_after == 7


@pytest.mark.parametrize("client", [by_httpx, by_requests])
async def test_refusal_carries_what_the_server_said(client: Client, server: str) -> None:
    found = await sorted_error(client, f"{server}/404")
    assert found.code == "http_404"
    assert "no such thing" in found.message


async def test_refusal_by_stripe_carries_its_code(server: str) -> None:
    found = await sorted_error(by_stripe, f"{server}/402")
    assert (found.code, "no such thing" in found.message) == ("card_declined", True)


async def test_stripe_without_a_key_refuses_before_it_sends() -> None:
    with pytest.raises(stripe.AuthenticationError) as caught:
        stripe.Refund.create(payment_intent="pi")
    assert sort(caught.value).certainty is REFUSED


async def test_refused_connection_after_the_sdks_own_retry_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last attempt was refused; what became of the first nobody knows."""
    monkeypatch.setattr(stripe.HTTPClient, "MAX_DELAY", 0)
    http = stripe.RequestsClient(timeout=PATIENCE)
    with refusing() as port:
        base = f"http://127.0.0.1:{port}"
        client = stripe.StripeClient("sk", base_addresses={"api": base}, max_network_retries=1, http_client=http)
        with pytest.raises(stripe.APIConnectionError) as caught:
            client.v1.refunds.create({"payment_intent": "pi"})
    http.close()  # type: ignore[no-untyped-call]
    assert sort(caught.value).certainty is UNKNOWN


@pytest.mark.parametrize("client", [by_httpx, by_httpx2, by_requests, by_aiohttp])
@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "nonsense"])
async def test_address_that_is_none_was_refused(client: Client, url: str) -> None:
    found = await sorted_error(client, url)
    assert (found.certainty, found.code) == (REFUSED, "bad_url")


async def test_pool_without_a_free_connection_was_not_sent(server: str) -> None:
    limits = httpx.Limits(max_connections=1)
    client = httpx.AsyncClient(limits=limits, timeout=httpx.Timeout(5, pool=0.01))
    async with client, client.stream("POST", f"{server}/200"):
        with pytest.raises(httpx.PoolTimeout) as caught:
            await client.post(f"{server}/200")
    assert sort(caught.value).code == "no_connection_free"


async def test_error_of_an_sdk_that_carries_its_response_is_sorted_by_status() -> None:
    class VendorError(Exception):
        response = httpx.Response(422, text="amount too large")

    assert sort(VendorError("no")).model_dump() == {
        "certainty": REFUSED,
        "code": "http_422",
        "message": "HTTP 422: amount too large",
        "retry_after": None,
    }


async def test_response_that_was_not_read_is_no_obstacle(server: str) -> None:
    async with httpx.AsyncClient() as client, client.stream("POST", f"{server}/404") as response:
        with pytest.raises(httpx.HTTPStatusError) as caught:
            response.raise_for_status()
        assert sort(caught.value).code == "http_404"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 1.5 ", 1.5),
        ("0", 0.0),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds(text: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": text}) == seconds


def test_retry_after_as_a_date_is_counted_from_now() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 55 < (retry_after({"Retry-After": date}) or 0) <= 60
    assert retry_after({"Retry-After": quote(date)}) is None
