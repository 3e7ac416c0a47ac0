"""What a client of the bank gets to see: an answer, something in its place, or nothing."""

import asyncio
import time
from typing import assert_never

from aiohttp import web
from pydantic import ValidationError

from trials.storm.bank_book import Wish
from trials.storm.bank_faults import Fault, Strike

SETTLE_S = 1.0
"""Seconds after a client's deadline from which nothing is applied any more: the tools declare it as settle_time."""

PATIENCE_S = 1.5
"""Seconds that the tools wait for an answer; what is slow takes longer."""

_HUGE = 3_000_000
_GARBAGE = b'{"id": \xff\xfe\x00 not json'
_LONGEST_WAIT_S = 10.0


async def wish_of(request: web.Request) -> Wish:
    """Read what a client wants. Raises web.HTTPBadRequest saying what is wrong."""
    try:
        return Wish.model_validate_json(await request.read())
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors()[:5])
        raise web.HTTPBadRequest(text=f"the body is not {{memo, account, amount_cents}}: {problems}") from error


def deadline_of(request: web.Request) -> float:
    """Return when the client stops waiting (seconds since 1970); infinity when it does not say."""
    try:
        return float(request.headers.get("Deadline", "inf"))
    except ValueError:
        return float("inf")


def no(status: int, code: str, message: str) -> web.Response:
    """Refuse."""
    return web.json_response({"error": code, "message": message}, status=status)


def drop(request: web.Request) -> web.Response:
    """Cut the connection; what is returned reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def instead(request: web.Request, strike: Strike) -> web.Response | None:
    """Return what is answered to a request that is not even looked at; None: it is served."""
    match strike.fault:
        case Fault.DROPPED_BEFORE:
            return drop(request)
        case Fault.ERROR_BEFORE:
            return no(500, "internal", "something broke")
        case Fault.BUSY:
            answer = no(429, "busy", "too many requests")
            answer.headers["Retry-After"] = "1" if strike.fraction > 0.5 else "0"
            return answer
        case Fault.CONFLICT:
            return no(409, "account_held", "another transaction holds the account")
        case _:
            return None


async def afterwards(request: web.Request, strike: Strike, answer: web.Response) -> web.Response:
    """Return what the client of a request gets that was served. A refusal is never turned into a success."""
    is_done = answer.status == web.HTTPOk.status_code
    match strike.fault:
        case Fault.DROPPED_AFTER | Fault.LATE:
            return drop(request)
        case Fault.ERROR_AFTER:
            return no(500, "internal", "something broke")
        case Fault.SLOW:
            await asyncio.sleep(min(_wait_until(request, PATIENCE_S) + 0.2, _LONGEST_WAIT_S))
            return answer
        case Fault.GARBAGE if is_done:
            return web.Response(body=_GARBAGE, content_type="application/json")
        case Fault.HUGE if is_done:
            padded = f'{str(answer.text)[:-1]}, "padding": "{"x" * _HUGE}"}}'
            return web.Response(text=padded, content_type="application/json")
        case Fault.GARBAGE | Fault.HUGE | None:
            return answer
        case Fault.DROPPED_BEFORE | Fault.ERROR_BEFORE | Fault.BUSY | Fault.CONFLICT:
            raise AssertionError("answered without being served")
    assert_never(strike.fault)


def lateness_s(request: web.Request, strike: Strike) -> float:
    """Return how long a late application waits, in seconds: beyond the client's deadline, within the settle time."""
    past = SETTLE_S * (0.1 + 0.6 * strike.fraction)
    return min(_wait_until(request, PATIENCE_S) + past, _LONGEST_WAIT_S)


def _wait_until(request: web.Request, otherwise_s: float) -> float:
    left = deadline_of(request) - time.time()
    return max(left, 0.0) if left != float("inf") else otherwise_s
