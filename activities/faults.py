"""The only translation of errors to Temporal: what is tried again, and when. Nobody else names ApplicationError.

::

    NotYet       nothing to report yet: tried again after `after`; waiting counts for nothing
    LedgerDown   the same, with growing intervals
    Stopped      the same, every 5 s: the kill switch is on
    Superseded   not retryable: a later run does what is left to do
    anything     a bug: not retryable, logged with its traceback
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from core.errors import LedgerDown, Stopped, Superseded
from core.visible import writable

_SHORTEST = timedelta(milliseconds=50)  # zero would mean "not set", and Temporal would take its own interval
_LONGEST = timedelta(hours=1)
_STOPPED = timedelta(seconds=5)
_MOST_TEXT = 2_000


class NotYet(Exception):
    """This attempt ends without an outcome; the next one may look again `after`."""

    def __init__(self, why: str, after: timedelta = _SHORTEST) -> None:
        super().__init__(why)
        self.after = after


def back_off(count: int) -> timedelta:
    """Return how long to pause after the `count`-th failure (from 1): 0.2 s, doubling, at most 10 s."""
    return timedelta(seconds=min(0.2 * 2 ** min(count - 1, 10), 10.0))


def asked_delay(retry_after: float | None, count: int) -> timedelta:
    """Return the pause that the other side asked for (0 to 3600 s; NaN and the like do not count), else our own."""
    if retry_after is None or not 0 <= retry_after < float("inf"):
        return back_off(count)
    return timedelta(seconds=min(retry_after, _LONGEST.total_seconds()))


@contextmanager
def translated() -> Iterator[None]:
    """Run an activity's body; everything that escapes from it becomes an error that Temporal understands.

    No cause is attached: a failure beyond 2 MB wedges the task for ever, so the traceback goes to the log.
    """
    try:
        yield
    except NotYet as error:
        raise _again(error, error.after) from None
    except LedgerDown as error:
        structlog.get_logger().warning("ledger.not_reached", problem=str(error)[:_MOST_TEXT])
        raise _again(error, back_off(activity.info().attempt)) from None
    except Stopped as error:
        structlog.get_logger().info("call.stopped", switch=str(error)[:_MOST_TEXT])
        raise _again(error, _STOPPED) from None
    except Superseded as error:
        structlog.get_logger().info("run.superseded", problem=str(error)[:_MOST_TEXT])
        raise _never(error) from None
    except Exception as error:  # noqa: BLE001 - it is passed on, in a form that cannot wedge the task
        structlog.get_logger().exception("activity.broken", activity=activity.info().activity_type)
        raise _never(error) from None


def _again(error: Exception, after: timedelta) -> ApplicationError:
    return ApplicationError(
        _text(error),
        type=type(error).__name__,
        next_retry_delay=min(max(after, _SHORTEST), _LONGEST),
        category=ApplicationErrorCategory.BENIGN,
    )


def _never(error: Exception) -> ApplicationError:
    return ApplicationError(_text(error), type=type(error).__name__, non_retryable=True)


def _text(error: Exception) -> str:
    return writable(f"{error}"[:_MOST_TEXT]) or type(error).__name__
