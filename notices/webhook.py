"""Posts notices to a webhook in Slack's incoming format: ``{"text": ..., "blocks": [...]}``.

Limits of a block are Slack's (150 characters in a header, 3,000 in a section; api.slack.com/reference/block-kit).
"""

import httpx

from core.ports import Notice
from core.record import Json

_HEADER, _SECTION = 150, 3_000
_TIMEOUT = 10.0  # seconds


class NoticeRejected(Exception):
    """The webhook answered, and not with success. The text never holds the address: it is a secret."""


class WebhookNotifier:
    """Implements `core.ports.Notifier`. `transport` replaces the network in tests of other parts."""

    def __init__(self, url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._url = url
        self._transport = transport

    async def send(self, notice: Notice) -> None:
        """Post once. Raises NoticeRejected, also when nobody answers."""
        try:
            async with httpx.AsyncClient(transport=self._transport, timeout=_TIMEOUT) as client:
                answer = await client.post(self._url, json=payload(notice))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NoticeRejected(f"the webhook cannot be reached: {type(error).__name__}") from None
        if not answer.is_success:
            raise NoticeRejected(f"the webhook answered HTTP {answer.status_code}: {answer.text[:200]}")


def payload(notice: Notice) -> dict[str, Json]:
    """Write a notice as Slack's incoming webhooks want it; `text` is what notifications and older clients show."""
    to = ", ".join(notice.to) or "anybody"
    about = f"{notice.agent} · {notice.task_id} · for {to}"
    return {
        "text": _escape(f"{notice.title}\n{notice.text}")[:_SECTION],
        "blocks": [
            {
                "type": "header",
                "text": {"type": "plain_text", "text": notice.title[:_HEADER] or notice.task_id[:_HEADER]},
            },
            {"type": "section", "text": {"type": "mrkdwn", "text": _escape(notice.text)[:_SECTION] or "-"}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": _escape(about)[:_SECTION]}]},
        ],
    }


def _escape(text: str) -> str:
    """Keep text that came out of tools from becoming a link or a mention (Slack: escape & < >)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
