"""What the model of the protocol found (trials/model): pauses after a look on which much rests, and stray rulings."""

from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.doubts import Doubts
from core.messages import CallOrder, OutcomeUnknown, Ruling, ToolRefused, ToolSucceeded
from tests.activities.bench import NOT_SENT, Bench


def ruling(choice: Any) -> Ruling:
    return Ruling(choice=choice, request_id="q1", by="cleo")


async def begin(bench: Bench, tool: str, fate: Any) -> CallOrder:
    """Send once, with that fate, in one attempt that comes to no end."""
    bench.provider.script = [fate]
    order = bench.order(tool)
    with pytest.raises(ApplicationError):
        await bench.attempt(tool, order)
    return order


async def test_probe_that_was_begun_before_the_settle_time_was_over_proves_no_absence(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await begin(bench, "refund_probed", "lost")
    knows = bench.provider.knows

    def look_and_be_stopped(key: str) -> bool:
        found = knows(key)
        if bench.provider.probes == 2:  # the answer is under way while the first packet arrives, within its time
            bench.provider.applied.append((order.key, ["1042", 5]))
            bench.clock.advance(seconds=60)
        return found

    monkeypatch.setattr(bench.provider, "knows", look_and_be_stopped)
    assert isinstance(await bench.call("refund_probed", order), ToolSucceeded)
    assert (len(bench.provider.applied), bench.provider.requests) == (1, 1)


async def test_key_is_not_used_again_when_the_process_was_stopped_past_half_its_window(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await begin(bench, "refund_keyed", "answer_lost")
    mark_and_send = Doubts._mark_and_send

    async def stop_and_go_on(doubts: Doubts, *args: Any) -> Any:
        bench.clock.advance(hours=25)
        return await mark_and_send(doubts, *args)

    monkeypatch.setattr(Doubts, "_mark_and_send", stop_and_go_on)
    assert isinstance(await bench.call("refund_keyed", order), OutcomeUnknown)
    assert bench.provider.requests == 1


async def test_word_that_freed_one_send_does_not_free_the_next(bench: Bench) -> None:
    order = await begin(bench, "refund_unrepeatable", NOT_SENT)
    order = order.model_copy(update={"ruling": ruling("did_not_happen")})
    bench.provider.script = ["answer_lost"]
    bench.ledger.faults["move"] = ["crash_after"]  # a person is to be asked, and the worker is killed before it says so
    await bench.crash("refund_unrepeatable", order)
    assert isinstance(await bench.call("refund_unrepeatable", order), OutcomeUnknown)
    assert (len(bench.provider.applied), bench.provider.requests) == (1, 2)


@pytest.mark.parametrize("choice", ["happened", "write_off"])
async def test_call_that_a_person_does_not_want_sent_is_not_sent_again(bench: Bench, choice: str) -> None:
    order = await begin(bench, "refund_unrepeatable", NOT_SENT)
    report = await bench.call("refund_unrepeatable", order.model_copy(update={"ruling": ruling(choice)}))
    assert isinstance(report, ToolRefused)
    assert bench.provider.requests == 1


async def test_keyed_call_that_was_written_off_is_not_sent_again(bench: Bench) -> None:
    order = await begin(bench, "refund_keyed", "lost")
    report = await bench.call("refund_keyed", order.model_copy(update={"ruling": ruling("write_off")}))
    assert isinstance(report, OutcomeUnknown | ToolRefused)
    assert bench.provider.requests == 1


async def test_word_about_one_send_does_not_speak_of_what_a_zombie_sent_meanwhile(bench: Bench) -> None:
    order = await begin(bench, "refund_unrepeatable", NOT_SENT)
    bench.provider.script = ["answer_lost"]
    assert isinstance(await bench.call("refund_unrepeatable", order), OutcomeUnknown)
    said_before = ruling("did_not_happen").model_copy(update={"sends": 1})
    report = await bench.call("refund_unrepeatable", order.model_copy(update={"ruling": said_before}))
    assert isinstance(report, OutcomeUnknown)
    assert report.sends == 2
    assert (len(bench.provider.applied), bench.provider.requests) == (1, 2)
