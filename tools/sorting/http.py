"""Errors of HTTP clients: httpx and httpx2, requests, aiohttp, urllib, the stripe SDK, and SDKs made in their image."""

import math
import urllib.error
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import FrameType
from typing import Any

from core.ports import Sorted
from tools.sorting.network import sort_network
from tools.sorting.words import lineage, not_sent, refused, unknown

_UNDECIDED = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY})
_FOLLOWING = frozenset({"_send_handling_redirects", "_request"})
_LONGEST_BODY = 300  # characters of a refusal's body that the planner is told


def sort_http(error: BaseException) -> Sorted | None:
    """Sort an error of an HTTP client; None for another kind."""
    for name in lineage(error):
        if name in _BY_CLASS:
            return _BY_CLASS[name](error)
    return _by_response(error)


def sort_status(status: int, error: BaseException, headers: Mapping[str, str], body: str = "") -> Sorted:
    """Sort an answer by its status: 429 = not processed; 4xx = no; 408, 409, 425 and all others = unknown."""
    wait = retry_after(headers)
    code = f"http_{status}"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return not_sent("rate_limited", error, wait)
    if status in _UNDECIDED or not HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return unknown(code, error, wait)
    text = " ".join(body.split())[:_LONGEST_BODY]
    return refused(code, error, f"HTTP {status}: {text}" if text else None)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After (RFC 9110, 10.2.3), a number or a date, as seconds from now; None without a usable one."""
    text = next((str(value) for name, value in headers.items() if str(name).lower() == "retry-after"), "").strip()
    try:
        seconds = float(text)
    except ValueError:
        return _until(text)
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, TypeError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _by_response(error: BaseException) -> Sorted | None:
    """Sort an error that carries its response (`error.response.status_code`), whatever library made it."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if not isinstance(status, int):
        return None
    return sort_status(status, error, _headers(response), _body(response))


def _by_response_or_unknown(error: BaseException) -> Sorted:
    return _by_response(error) or unknown("http_error", error)


def _headers(holder: object) -> Mapping[str, str]:
    headers = getattr(holder, "headers", None)
    return headers if isinstance(headers, Mapping) else {}


def _body(response: object) -> str:
    try:
        return str(getattr(response, "text", ""))
    except Exception:  # noqa: BLE001 - a streamed response that was never read
        return ""


def _connect_failed(error: BaseException) -> Sorted:
    return _redirected(error) or not_sent("connect_failed", error)


def _no_connection_free(error: BaseException) -> Sorted:
    return _redirected(error) or not_sent("no_connection_free", error)


def _bad_url(error: BaseException) -> Sorted:
    return _redirected(error) or refused("bad_url", error)


def _redirected(error: BaseException) -> Sorted | None:
    """Say unknown when an answer came before and only its redirect failed: the request itself was received.

    Only the traceback shows it: the responses so far are `history` in httpx and aiohttp, and requests (which follows
    redirects unless told otherwise) has a function for it.
    """
    for frame in _frames(error):
        follows = frame.f_code.co_name in _FOLLOWING and bool(frame.f_locals.get("history"))
        if follows or frame.f_code.co_name == "resolve_redirects":
            return unknown("redirect_failed", error)
    return None


def _frames(error: BaseException) -> Iterator[FrameType]:
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def _timeout(error: BaseException) -> Sorted:
    return unknown("timeout", error)


def _connection_lost(error: BaseException) -> Sorted:
    return unknown("connection_lost", error)


def _requests_connection(error: BaseException) -> Sorted:
    """Look at what urllib3 gave as its reason: only a connection that was never opened proves anything."""
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    opened = {"urllib3.NewConnectionError", "urllib3.ConnectTimeoutError"}.isdisjoint(
        lineage(reason) if isinstance(reason, BaseException) else ()
    )
    return _connection_lost(error) if opened else _connect_failed(error)


def _aiohttp_response(error: Any) -> Sorted:
    return sort_status(int(error.status), error, error.headers or {})


def _urllib(error: Any) -> Sorted:
    if isinstance(error, urllib.error.HTTPError):
        return sort_status(error.code, error, dict(error.headers or {}))
    reason = error.reason
    return (sort_network(reason) if isinstance(reason, OSError) else None) or _connection_lost(error)


def _stripe_connection(error: BaseException) -> Sorted:
    """Trust the cause only when the SDK sent once: after its own retry, the last failure says nothing of the first."""
    cause = error.__cause__
    found = sort_http(cause) or sort_network(cause) if cause is not None and _sent_once(error) else None
    return found or _connection_lost(error)


def _sent_once(error: BaseException) -> bool:
    """Read the SDK's count of retries off the traceback, the only place that has it (stripe 16.1)."""
    counts = {
        frame.f_locals.get("num_retries")
        for frame in _frames(error)
        if frame.f_code.co_name.startswith("_request_with_retries_internal")
    }
    return counts == {0}


def _stripe(error: Any) -> Sorted:
    status, code = error.http_status, error.code
    if status is None:
        return unknown("stripe_error", error)
    found = sort_status(status, error, error.headers or {})
    named = isinstance(code, str) and code and found.code == f"http_{status}"
    return found.model_copy(update={"code": code}) if named else found


def _stripe_local(error: Any) -> Sorted:
    """Sort an error that the SDK also raises by itself, before it sends: then it has no status."""
    return refused("bad_request", error) if error.http_status is None else _stripe(error)


def _httpx_rules(package: str) -> dict[str, Callable[[Any], Sorted]]:
    return {
        f"{package}.ConnectError": _connect_failed,
        f"{package}.ConnectTimeout": _connect_failed,
        f"{package}.ProxyError": _connect_failed,
        f"{package}.PoolTimeout": _no_connection_free,
        f"{package}.UnsupportedProtocol": _bad_url,
        f"{package}.InvalidURL": _bad_url,
        f"{package}.TimeoutException": _timeout,
        f"{package}.TransportError": _connection_lost,
        f"{package}.HTTPStatusError": _by_response_or_unknown,
        f"{package}.HTTPError": _by_response_or_unknown,
    }


_BY_CLASS: dict[str, Callable[[Any], Sorted]] = {
    **_httpx_rules("httpx"),
    **_httpx_rules("httpx2"),
    "requests.ConnectTimeout": _connect_failed,
    "requests.Timeout": _timeout,
    "requests.ConnectionError": _requests_connection,
    "requests.InvalidURL": _bad_url,
    "requests.MissingSchema": _bad_url,
    "requests.InvalidSchema": _bad_url,
    "requests.RequestException": _by_response_or_unknown,
    "aiohttp.ClientConnectorError": _connect_failed,
    "aiohttp.ConnectionTimeoutError": _connect_failed,
    "aiohttp.ClientHttpProxyError": _connect_failed,
    "aiohttp.InvalidURL": _bad_url,
    "aiohttp.NonHttpUrlClientError": _bad_url,
    "aiohttp.ClientResponseError": _aiohttp_response,
    "aiohttp.ServerTimeoutError": _timeout,
    "aiohttp.ClientError": _connection_lost,
    "urllib.URLError": _urllib,
    "stripe.APIConnectionError": _stripe_connection,
    "stripe.InvalidRequestError": _stripe_local,
    "stripe.AuthenticationError": _stripe_local,
    "stripe.StripeError": _stripe,
}
"""Class names (``package.Class``) to rules; the nearest base class wins."""
