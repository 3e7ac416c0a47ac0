"""Ways to reach people: the log, and a webhook in Slack's incoming format."""

from notices.log import LogNotifier
from notices.webhook import NoticeRejected, WebhookNotifier

__all__ = ["LogNotifier", "NoticeRejected", "WebhookNotifier"]
