"""Notices over real HTTP, as Slack's incoming webhooks take them."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from structlog.testing import capture_logs

from core.ports import Notice
from notices import LogNotifier, NoticeRejected, WebhookNotifier

NOTICE = Notice(
    task_id="t-1",
    agent="desk",
    rung="opened",
    to=("ana", "ben"),
    title="Approve a refund",
    text="250.00 <!channel> & more",
)


@dataclass
class Hook:
    """A server that keeps what it is sent and answers with `status`."""

    status: int = 200
    posts: list[Any] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hook.posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(hook.status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hook.url = f"http://127.0.0.1:{server.server_port}/services/T000/secret"
    yield hook
    server.shutdown()
    thread.join()
    server.server_close()


async def test_notice_is_posted_in_slacks_format(hook: Hook) -> None:
    await WebhookNotifier(hook.url).send(NOTICE)
    [post] = hook.posts
    assert post["text"] == "Approve a refund\n250.00 &lt;!channel&gt; &amp; more"
    assert [block["type"] for block in post["blocks"]] == ["header", "section", "context"]
    assert "ana, ben" in post["blocks"][2]["elements"][0]["text"]


async def test_long_notice_fits_slacks_limits(hook: Hook) -> None:
    await WebhookNotifier(hook.url).send(NOTICE.model_copy(update={"title": "t" * 9_000, "text": "<" * 9_000}))
    header, section, _ = hook.posts[0]["blocks"]
    assert (len(header["text"]["text"]), len(section["text"]["text"])) == (150, 3_000)


@pytest.mark.parametrize("status", [400, 404, 500])
async def test_refusal_is_an_error_that_keeps_the_address_secret(hook: Hook, status: int) -> None:
    hook.status = status
    with pytest.raises(NoticeRejected) as raised:
        await WebhookNotifier(hook.url).send(NOTICE)
    assert str(status) in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/secret", "no url at all: secret"])
async def test_webhook_that_is_not_there_is_an_error_that_keeps_the_address_secret(url: str) -> None:
    with pytest.raises(NoticeRejected) as raised:
        await WebhookNotifier(url).send(NOTICE)
    assert "secret" not in str(raised.value)


async def test_log_takes_every_notice() -> None:
    with capture_logs() as lines:
        await LogNotifier().send(NOTICE)
    assert "Approve a refund" in str(lines)
