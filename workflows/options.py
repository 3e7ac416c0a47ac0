"""The only table of time-outs and retries. Everything in it derives from records that are in history."""

from datetime import timedelta

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType, ActivityConfig, LocalActivityConfig

from core.contract import Terms

HEARTBEAT = timedelta(seconds=3)
"""A worker killed in mid-effect is noticed after this; without heartbeats it cost 25.4 s, with them
4.1 s (measured)."""

DOOR_RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=10)
)
"""Unlimited: the door itself counts sends and gives up; waiting counts for nothing."""

LOCAL = LocalActivityConfig(
    start_to_close_timeout=timedelta(seconds=30),
    retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10)),
)
"""`open_task` and `conclude`: small, usually a few milliseconds; retried while the ledger is down."""

DRAIN = timedelta(seconds=30)
"""How long calls that are under way are waited for before continuing as new."""

_MAX_SUMMARY = 200


QUEUE_PATIENCE = timedelta(seconds=30)
"""How long a planning call may wait on the queue of its provider: for a worker, or for its rate limit."""


def planning(summary: str, queue: str = "") -> ActivityConfig:
    """One model call; the activity answers "unavailable" by itself after the attempts that its order allows.

    ``queue``: the task queue of its provider, "" = that of the task. Nobody may be polling that one, so a call that is
    not taken is given up, and the next model asked.
    """
    return ActivityConfig(
        **({"task_queue": queue, "schedule_to_start_timeout": QUEUE_PATIENCE} if queue else {}),
        start_to_close_timeout=timedelta(minutes=5),
        heartbeat_timeout=timedelta(seconds=10),
        retry_policy=RetryPolicy(
            initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=30)
        ),
        summary=summary[:_MAX_SUMMARY],
    )


def notice(summary: str) -> ActivityConfig:
    """A notice that cannot be delivered is given up and recorded; it never holds a task for long."""
    return ActivityConfig(
        start_to_close_timeout=timedelta(seconds=15),
        schedule_to_close_timeout=timedelta(seconds=60),
        retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=4),
        summary=summary[:_MAX_SUMMARY],
    )


def door(terms: Terms, summary: str) -> ActivityConfig:
    """A step's visit to the door: its budget is such that our own classification wins over Temporal's time-out."""
    return ActivityConfig(
        start_to_close_timeout=terms.budget,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=DOOR_RETRY,
        cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=summary[:_MAX_SUMMARY],
    )
