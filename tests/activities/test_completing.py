"""The completer: calls that no task looks after end by themselves, or their owner is told how to settle them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from activities import Completer, Needs, build_completer
from core.messages import OutcomeUnknown
from core.ports import Notice
from core.receipts import RowState, Stop
from tests.activities.bench import TASK, Bench

TOOL = "refund_keyed"


class Mailbox:
    """Keeps notices; `down`: how many it loses first."""

    def __init__(self, down: int = 0) -> None:
        self.notices: list[Notice] = []
        self.down = down

    async def send(self, notice: Notice) -> None:
        if self.down:
            self.down -= 1
            raise ConnectionResetError("the webhook does not answer")
        self.notices.append(notice)


def completer_of(bench: Bench, mailbox: Mailbox) -> Completer:
    planners: Any = None
    return build_completer(
        Needs(bench.staff, planners, bench.ledger, bench.database, [mailbox], bench.runs, bench.clock)
    )


async def abandoned(bench: Bench, tool: str, fate: str = "crash_applied") -> None:
    """Make a call whose worker is killed, and whose workflow was terminated; its lease and the grace are over."""
    bench.provider.script = [fate]
    await bench.crash(tool)
    bench.runs.open_run = None
    bench.clock.advance(minutes=1)


@pytest.mark.parametrize(
    ("effect", "fate", "state", "requests"),
    [
        ("transactional", "crash_applied", RowState.CANCELLED, 1),
        ("idempotent", "crash_applied", RowState.SUCCEEDED, 2),
        ("keyed", "crash_applied", RowState.SUCCEEDED, 2),
        ("keyed", "crash_lost", RowState.SUCCEEDED, 2),
        ("probed", "crash_applied", RowState.SUCCEEDED, 1),
        ("probed", "crash_lost", RowState.CANCELLED, 1),
        ("unrepeatable", "crash_applied", RowState.NEEDS_PERSON, 1),
    ],
)
async def test_call_of_a_task_that_is_gone_is_settled_by_its_kind(
    bench: Bench, effect: str, fate: str, state: RowState, requests: int
) -> None:
    await abandoned(bench, f"refund_{effect}", fate)
    await completer_of(bench, Mailbox()).sweep()
    row = await bench.row(bench.order(f"refund_{effect}"))
    assert (row.state, bench.provider.requests) == (state, requests)


async def test_call_that_may_still_be_looked_after_is_left_alone(bench: Bench) -> None:
    bench.provider.script = ["crash_applied"]
    await bench.crash(TOOL)
    bench.clock.advance(seconds=12 + 9)  # its lease is over, the grace is not
    await completer_of(bench, Mailbox()).sweep()
    assert (await bench.row(bench.order(TOOL))).state is RowState.IN_FLIGHT


async def test_call_of_a_running_task_that_was_not_applied_is_the_tasks_to_send(bench: Bench) -> None:
    await abandoned(bench, "refund_probed", "crash_lost")
    bench.runs.open_run = "run-1"
    await completer_of(bench, Mailbox()).sweep()
    assert (await bench.row(bench.order("refund_probed"))).state is RowState.RESERVED


async def test_owner_is_told_once_how_to_settle_what_only_a_person_can(bench: Bench) -> None:
    await abandoned(bench, "refund_unrepeatable")
    mailbox = Mailbox()
    for _ in range(3):  # a worker that is started again
        completer = completer_of(bench, mailbox)
        await completer.sweep()
        await completer.alarm_orphans()
    [notice] = mailbox.notices
    key = bench.order("refund_unrepeatable").key
    assert (notice.to, notice.rung, notice.task_id) == (("leads",), "outcome", TASK)
    assert f"starter.py settle {key} happened|did_not_happen|write_off --by NAME" in notice.text
    assert (await bench.events()).count("doubt.alarmed") == 1


async def test_nobody_is_alarmed_while_the_task_runs_and_asks_by_itself(bench: Bench) -> None:
    await abandoned(bench, "refund_unrepeatable")
    bench.runs.open_run = "run-1"
    mailbox = Mailbox()
    completer = completer_of(bench, mailbox)
    await completer.sweep()
    await completer.alarm_orphans()
    assert mailbox.notices == []
    bench.runs.open_run = None  # terminated while the person was asked
    await completer.alarm_orphans()
    assert len(mailbox.notices) == 1


async def test_notice_that_cannot_be_sent_is_sent_later(bench: Bench) -> None:
    await abandoned(bench, "refund_unrepeatable")
    mailbox = Mailbox(down=2)
    completer = completer_of(bench, mailbox)
    await completer.sweep()
    for _ in range(4):
        await completer.alarm_orphans()
    assert len(mailbox.notices) == 1
    assert (await bench.events()).count("doubt.alarmed") == 1


@pytest.mark.parametrize(("minutes", "notices"), [(5, 0), (11, 1)])
async def test_call_of_a_tool_that_no_worker_serves_is_told_after_ten_minutes(
    bench: Bench, minutes: int, notices: int
) -> None:
    await abandoned(bench, TOOL)
    del bench.tools[TOOL]
    bench.clock.advance(minutes=minutes)
    mailbox = Mailbox()
    completer = completer_of(bench, mailbox)
    await completer.sweep()
    await completer.alarm_orphans()
    assert len(mailbox.notices) == notices
    assert (await bench.row(bench.order(TOOL))).state is RowState.IN_FLIGHT


async def test_temporal_that_is_away_alarms_nobody(bench: Bench) -> None:
    await abandoned(bench, "refund_unrepeatable")
    bench.runs.away = True
    mailbox = Mailbox()
    completer = completer_of(bench, mailbox)
    await completer.sweep()
    await completer.alarm_orphans()
    assert mailbox.notices == []
    assert (await bench.row(bench.order("refund_unrepeatable"))).state is RowState.NEEDS_PERSON


async def test_stopped_call_is_not_sent_again_by_the_completer(bench: Bench) -> None:
    await abandoned(bench, TOOL)
    await bench.ledger.stop(Stop(tool=TOOL, at=bench.clock()))
    await completer_of(bench, Mailbox()).sweep()
    assert ((await bench.row(bench.order(TOOL))).state, bench.provider.requests) == (RowState.IN_FLIGHT, 1)


async def test_one_call_that_cannot_be_settled_keeps_no_other_from_it(bench: Bench) -> None:
    await abandoned(bench, "refund_probed", "crash_applied")
    await abandoned(bench, TOOL)
    bench.provider.probe_script = [KeyError("a bug")] * 9
    await completer_of(bench, Mailbox()).sweep()
    assert (await bench.row(bench.order(TOOL))).state is RowState.SUCCEEDED


async def test_run_of_the_task_finds_what_the_completer_settled(bench: Bench) -> None:
    await abandoned(bench, "refund_unrepeatable")
    await completer_of(bench, Mailbox()).sweep()
    assert isinstance(await bench.call("refund_unrepeatable"), OutcomeUnknown)


async def until(fact: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await fact():
            await asyncio.sleep(0.01)


async def test_completer_that_is_stopped_hears_out_what_it_sends(bench: Bench) -> None:
    await abandoned(bench, TOOL)
    reached, go, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow() -> dict[str, str]:
        reached.set()
        await go.wait()
        return {"id": "slow"}

    bench.provider.script = [slow]
    running = asyncio.create_task(completer_of(bench, Mailbox()).run(stop))
    await asyncio.wait_for(reached.wait(), 5)
    stop.set()
    go.set()
    await asyncio.wait_for(running, 5)
    assert (await bench.row(bench.order(TOOL))).result == {"id": "slow"}


async def test_completer_lets_answers_that_were_kept_come_first_after_an_outage(bench: Bench) -> None:
    await abandoned(bench, TOOL)
    bench.ledger.faults["overdue"] = ["down"]
    completer, stop = completer_of(bench, Mailbox()), asyncio.Event()
    object.__setattr__(completer, "interval", completer.interval / 500)
    looks = bench.ledger.calls.count("overdue")
    running = asyncio.create_task(completer.run(stop))

    async def has_looked_often() -> bool:
        return bench.ledger.calls.count("overdue") > looks + 10

    async def is_settled() -> bool:
        return (await bench.row(bench.order(TOOL))).state is RowState.SUCCEEDED

    await until(has_looked_often)
    assert not await is_settled()
    bench.clock.advance(seconds=21)
    await until(is_settled)
    stop.set()
    await asyncio.wait_for(running, 5)
