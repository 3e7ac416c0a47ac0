"""Tells people something, by every way that the worker is set up with."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from temporalio import activity

from activities.faults import NotYet, back_off, translated
from core import names
from core.messages import NoticeSent
from core.ports import Notice, Notifier


@dataclass(frozen=True, slots=True)
class People:
    """The activity `notify`. `notifiers` are used in this order; the ones after a failure wait for the next attempt.

    ``attempts``: how often it is tried where the activity's retry policy does not say.
    """

    notifiers: Sequence[Notifier]
    attempts: int = 5

    @activity.defn(name=names.NOTIFY)
    async def notify(self, notice: Notice) -> NoticeSent:
        """Send one notice. One that cannot be sent never holds a task up: the last attempt reports it as failed."""
        with translated():
            failed = ""
            for notifier in self.notifiers:
                try:
                    await notifier.send(notice)
                except Exception as error:
                    failed = f"{type(error).__name__}: {error}"[:500]
                    structlog.get_logger().warning("notice.failed", task=notice.task_id, problem=failed)
                    if activity.info().attempt < self._most():
                        raise NotYet(failed, back_off(activity.info().attempt)) from error
            return NoticeSent(request=notice.request_id, rung=notice.rung, failed=failed)

    def _most(self) -> int:
        policy = activity.info().retry_policy
        return policy.maximum_attempts if policy and policy.maximum_attempts else self.attempts
