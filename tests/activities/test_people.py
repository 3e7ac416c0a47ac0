"""Notices go out, and never hold a task up."""

from dataclasses import dataclass, field, replace

import pytest
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities import People
from core.messages import NoticeSent
from core.ports import Notice

NOTICE = Notice(task_id="t", agent="a", rung="opened", to=("ana",), title="Approve", text="a refund", request_id="q1")


@dataclass
class Way:
    """A notifier that fails as often as a test says."""

    fails: int = 0
    sent: list[Notice] = field(default_factory=list)

    async def send(self, notice: Notice) -> None:
        if self.fails:
            self.fails -= 1
            raise ConnectionResetError("nobody there")
        self.sent.append(notice)


async def notify(*ways: Way, attempt: int = 1, most: int = 4) -> NoticeSent:
    env = ActivityEnvironment()
    env.info = replace(env.info, attempt=attempt, retry_policy=RetryPolicy(maximum_attempts=most))
    return await env.run(People(ways).notify, NOTICE)


async def test_notice_goes_out_by_every_way() -> None:
    ways = Way(), Way()
    assert await notify(*ways) == NoticeSent(request="q1", rung="opened")
    assert [way.sent for way in ways] == [[NOTICE], [NOTICE]]


async def test_failed_notice_is_tried_again_and_later_ways_wait() -> None:
    broken, log = Way(fails=1), Way()
    with pytest.raises(ApplicationError) as raised:
        await notify(broken, log)
    assert (raised.value.non_retryable, log.sent) == (False, [])
    await notify(broken, log, attempt=2)
    assert (len(broken.sent), len(log.sent)) == (1, 1)


async def test_notice_that_cannot_be_sent_is_reported_and_still_logged() -> None:
    broken, log = Way(fails=9), Way()
    report = await notify(broken, log, attempt=4)
    assert "nobody there" in report.failed
    assert len(log.sent) == 1
