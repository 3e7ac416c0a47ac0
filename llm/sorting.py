"""Sorts what a provider's HTTP answer, or the lack of one, means for whoever called it.

::

    429, 503, 529                        PlannerBusy, with what Retry-After says
    408, 409, 425, other 5xx, no answer,
    a cut or malformed answer            PlannerBusy
    out of credit (429 insufficient_quota), 501, other 4xx, 3xx
                                         PlannerDown, with the way out
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Self

import httpx2

from core.errors import PlannerBusy, PlannerDown
from core.record import Record
from llm.prompt import plain

MAX_RETRY_AFTER = timedelta(days=1)
"""What a provider asks for beyond this is cut to it: a timer of weeks is a mistake, not a wish."""

_BUSY = frozenset({408, 409, 425, 429, *range(500, 600)}) - {501}
_MAX_QUOTE = 300


class Endpoint(Record):
    """What a sentence about a model needs: its full name, where it is asked, and the variable that holds the key."""

    model: str
    url: str
    key_variable: str


class Trouble(Record):
    """An answer that is not 200. ``code``: the provider's short name of the error; ``message``: what it says."""

    status: int
    code: str = ""
    message: str = ""

    @classmethod
    def of(cls, status: int, code: object, message: object) -> Self:
        """Take over what an SDK found in a body, which may be anything."""
        return cls(
            status=status,
            code=code if isinstance(code, str) else "",
            message=message if isinstance(message, str) else "",
        )


def sort_status(endpoint: Endpoint, trouble: Trouble, headers: Mapping[str, str]) -> PlannerBusy | PlannerDown:
    """Sort an answer with an error status."""
    if trouble.code == "insufficient_quota":
        return PlannerDown(f"{endpoint.model}: the account is out of credit; top it up or use another model")
    if trouble.status in _BUSY:
        return PlannerBusy(
            f"{endpoint.model}: {endpoint.url} answered {trouble.status}{_said(trouble)}",
            retry_after(headers),
            is_outage=trouble.status >= 500,
        )
    return PlannerDown(f"{endpoint.model}: {_way_out(endpoint, trouble)}")


def no_answer(endpoint: Endpoint, error: BaseException) -> PlannerBusy:
    """Describe an answer that did not come, was cut, or is not what the protocol says.

    Only where no connection was made is it certain that there is nothing to pay.
    """
    was_sent = not isinstance(error.__cause__ or error, (httpx2.ConnectError, httpx2.ConnectTimeout))
    what = type(error).__name__ if was_sent else "no connection"
    text = f"{endpoint.model}: no usable answer from {endpoint.url} ({what})"
    return PlannerBusy(text, is_outage=True, may_have_cost=was_sent)


def no_time(endpoint: Endpoint, limit: timedelta) -> PlannerBusy:
    """Describe an answer that did not come in time."""
    text = f"{endpoint.model}: no answer from {endpoint.url} within {limit.total_seconds():g} s"
    return PlannerBusy(text, is_outage=True, may_have_cost=True)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read how many seconds to wait, from 0 to a day; None when the provider does not say (or not legibly).

    ``retry-after-ms`` (OpenAI) is finer and comes first; ``retry-after`` is seconds or an HTTP date (RFC 9110, 10.2.3).
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return _within_a_day(milliseconds / 1000)
    value = headers.get("retry-after", "")
    seconds = _number(value)
    return _within_a_day(_until(value) if seconds is None else seconds)


def quote(text: str) -> str:
    """Take over the beginning of a foreign text, on one line and with nothing hidden in it."""
    line = plain(" ".join(text.split()))
    return line if len(line) <= _MAX_QUOTE else f"{line[:_MAX_QUOTE]}..."


def _way_out(endpoint: Endpoint, trouble: Trouble) -> str:
    match trouble.status:
        case 401 | 403:
            # what the provider says here may hold a part of the key
            return f"{endpoint.url} refused the key ({trouble.status}); check {endpoint.key_variable}"
        case 402:
            return f"the account is out of credit (402){_said(trouble)}; top it up or use another model"
        case 404:
            return (
                f"{endpoint.url} does not know this model or this address (404){_said(trouble)}; check the name of the"
                f' model, and base_url and api under [models."{endpoint.model}"]'
            )
        case status:
            return f"{endpoint.url} refused the request ({status}){_said(trouble)}"


def _said(trouble: Trouble) -> str:
    return f": {quote(trouble.message)}" if trouble.message.strip() else ""


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _until(http_date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(http_date)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - datetime.now(UTC)).total_seconds()


def _within_a_day(seconds: float | None) -> float | None:
    return None if seconds is None else min(max(seconds, 0.0), MAX_RETRY_AFTER.total_seconds())
