"""Writes notices to the log. It cannot fail, so it comes last among several notifiers."""

import structlog

from core.ports import Notice


class LogNotifier:
    """Implements `core.ports.Notifier`."""

    async def send(self, notice: Notice) -> None:
        structlog.get_logger().info(
            "notice.sent",
            task=notice.task_id,
            agent=notice.agent,
            rung=notice.rung,
            to=list(notice.to),
            request=notice.request_id,
            title=notice.title,
        )
