import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from temporalio.client import Client

from cli.doubting import Word, rule
from cli.errors import Declined
from core.contract import Effect
from core.receipts import Claimed, Evidence, Move, Reservation, Row, RowState, Settlement, Stop
from ledger import MemoryLedger, SqlLedger, open_ledger
from tests.cli.conftest import CommandLine, Shop
from tests.cli.waiting import until

SMALL = ("--input", "what=tea", "--input", "count=2")


@asynccontextmanager
async def ledger_of(shop: Shop) -> AsyncIterator[SqlLedger]:
    async with open_ledger(f"sqlite:///{shop.folder / 'ledger.db'}") as ledger:
        yield ledger


def call(key: str, task_id: str = "lost-1") -> Reservation:
    return Reservation(
        key=key,
        task_id=task_id,
        step="r1.pay",
        intent=1,
        revision=1,
        agent="shop",
        tool="buy",
        effect=Effect.UNREPEATABLE,
        contract_digest="c",
        fingerprint="f",
        similarity=key,
        args={"what": "tea"},
    )


async def sent(
    ledger: SqlLedger | MemoryLedger, reservation: Reservation, lease: timedelta = -timedelta(minutes=1)
) -> Row:
    """Leave a call behind as a worker does that is killed in mid-send."""
    task = await ledger.task(reservation.task_id)
    run = {"run_id": task.run_id if task else ""}
    claim = await ledger.claim(reservation.model_copy(update=run), timedelta(seconds=5))
    assert isinstance(claim, Claimed)
    end = datetime.now(UTC) + lease
    marked = await ledger.mark(reservation.key, claim.row.fence, deadline=end, lease_until=end)
    assert marked is not None
    return marked


@pytest.fixture
def stopped(cli: CommandLine) -> Iterator[CommandLine]:
    assert cli("stop", "--tool", "buy", "--by", "ana", "--reason", "wrong prices").code == 0
    yield cli
    cli("start", "--tool", "buy")


def test_nothing_is_sent_while_a_tool_is_stopped_and_goes_on_after(stopped: CommandLine, shop: Shop) -> None:
    stopped("run", "shop", "buy tea", "--id", "stop-1", *SMALL)
    assert "STOPPED: buy is stopped by ana since" in stopped("ls").out
    shown = stopped("show", "stop-1")
    assert "wrong prices" in shown.out
    assert shop.bought("stop-1") == []
    assert stopped("start", "--tool", "buy").code == 0
    assert stopped("watch", "stop-1").code == 0
    assert shop.bought("stop-1") == ["tea 2"]


def test_doctor_names_a_stop_and_how_to_lift_it(stopped: CommandLine) -> None:
    ran = stopped("doctor")
    assert "buy is stopped by ana" in ran.out
    assert "python starter.py start --tool buy" in ran.out


def test_misspelt_tool_is_not_believed_to_be_stopped(cli: CommandLine) -> None:
    ran = cli("stop", "--tool", "bye")
    assert ran.code == 2
    assert "nothing is stopped: there is no tool 'bye'; did you mean 'buy'?" in ran.err


def test_misspelt_agent_is_not_believed_to_be_stopped(cli: CommandLine) -> None:
    ran = cli("stop", "--agent", "shopp")
    assert ran.code == 2
    assert "did you mean 'shop'?" in ran.err


def test_start_says_what_is_stopped_when_nothing_fits(stopped: CommandLine) -> None:
    ran = stopped("start", "--agent", "shop")
    assert ran.code == 2
    assert "python starter.py start --tool buy" in ran.err


def test_stop_of_everything_prints_json(cli: CommandLine) -> None:
    try:
        said = cli("stop", "--by", "ana", "--json").json
        assert (said["tool"], said["agent"], said["by"]) == ("", "", "ana")
    finally:
        assert cli("start").code == 0


def test_doubt_of_a_task_that_is_gone_is_listed_with_its_owner_and_settled(cli: CommandLine, shop: Shop) -> None:
    key = "ab" * 16

    async def leave_behind() -> None:
        async with ledger_of(shop) as ledger:
            await sent(ledger, call(key))

    asyncio.run(leave_behind())
    listed = cli("doubts", "--json")
    assert listed.code == 1
    (found,) = [one for one in listed.json if one["key"] == key]
    assert (found["task_id"], found["owner"], found["is_running"]) == ("lost-1", "lead", False)
    assert "(ended)" in cli("doubts").out
    assert cli("settle", key[:8], "happened").code == 2
    declined = cli("settle", key[:8], "happened", "--by", "sam")
    assert (declined.code, "sam may not settle a call of the agent shop; leo may" in declined.err) == (1, True)
    settled = cli("settle", key[:8], "happened", "--by", "Leo", "--evidence", "bank statement", "--json")
    assert (settled.code, settled.json["state"], settled.json["evidence"]) == (0, "SUCCEEDED", "person")
    assert all(one["key"] != key for one in cli("doubts", "--json").json)
    assert "by the word of" not in cli("settle", key[:8], "happened", "--by", "leo").out


def test_doubt_is_settled_by_anybody_while_nobody_holds_the_owners_role(
    cli: CommandLine, shop: Shop, tmp_path: Path
) -> None:
    key = "ef" * 16

    async def leave_behind() -> None:
        async with ledger_of(shop) as ledger:
            await sent(ledger, call(key, "lost-2"))

    asyncio.run(leave_behind())
    ownerless = tmp_path / "lastmile.toml"
    text = shop.config.read_text().replace('"agents"', f'"{shop.folder}/agents"').replace("///", f"///{shop.folder}/")
    ownerless.write_text(text.replace('roles = ["lead"]', "roles = []"))
    ran = CommandLine(ownerless, cli.capture)("settle", key, "happened", "--by", "sam")
    assert (ran.code, "by the word of sam" in ran.out) == (0, True)


def test_running_task_is_told_by_answer_not_by_settle(cli: CommandLine, shop: Shop) -> None:
    key = "cd" * 16
    assert cli("run", "asker", "colour it", "--id", "asks-1").code == 0
    until(cli, "asks-1", "AWAITING_PERSON")

    async def leave_behind() -> None:
        async with ledger_of(shop) as ledger:
            await sent(ledger, call(key, "asks-1"))

    asyncio.run(leave_behind())
    ran = cli("settle", key, "write_off", "--by", "sam")
    assert ran.code == 1
    assert "use `answer`" in ran.err
    cli("cancel", "asks-1")
    cli("watch", "asks-1")
    assert cli("settle", key, "write_off", "--by", "leo").code == 0


def test_show_tells_how_often_a_call_in_doubt_was_sent_and_what_happens_next(cli: CommandLine, shop: Shop) -> None:
    key = "0d" * 16
    assert cli("run", "asker", "colour it", "--id", "asks-2").code == 0
    until(cli, "asks-2", "AWAITING_PERSON")
    assert cli("show", "asks-2", "--json").json["in_doubt"] == []

    async def send_twice() -> int:
        async with ledger_of(shop) as ledger:
            reservation = call(key, "asks-2").model_copy(update={"effect": Effect.IDEMPOTENT})
            long = timedelta(minutes=10)  # so that no worker looks after it meanwhile
            first = await sent(ledger, reservation, long)
            doubted = await ledger.doubt(key, first.fence, "no answer")
            assert doubted is not None
            end = datetime.now(UTC) + long
            second = await ledger.resend(key, doubted.fence, deadline=end, lease_until=end)
            assert second is not None
            return second.fence

    async def settle(fence: int) -> None:
        async with ledger_of(shop) as ledger:
            await ledger.settle(key, fence, Settlement(move=Move.SUCCEED, evidence=Evidence.ANSWER))

    fence = asyncio.run(send_twice())
    shown = cli("show", "asks-2").out
    (told,) = cli("show", "asks-2", "--json").json["in_doubt"]
    asyncio.run(settle(fence))
    assert "r1.pay buy was sent 2 times, last " in shown
    assert "its outcome is not known: it is sent again until" in shown
    assert (told["key"], told["sends"]) == (key, 2)
    assert "if no answer comes, a person is asked after that" in told["next"]
    assert "its outcome is not known" not in cli("show", "asks-2").out
    cli("cancel", "asks-2")


@pytest.mark.parametrize(
    ("word", "state"),
    [
        (Word.HAPPENED, RowState.SUCCEEDED),
        (Word.DID_NOT_HAPPEN, RowState.CANCELLED),
        (Word.WRITE_OFF, RowState.FAILED),
    ],
)
async def test_word_of_a_person_ends_a_doubt_and_is_on_record(word: Word, state: RowState) -> None:
    ledger = MemoryLedger()
    row = await sent(ledger, call("k1"))
    settled = await rule(ledger, row, word, by="sam", evidence="ticket 7")
    assert settled.state is state
    lines = [line async for line in ledger.lines("lost-1")]
    assert [(line.event, line.fields["by"], line.fields["choice"]) for line in lines] == [
        ("outcome.ruled", "sam", word.value)
    ]


async def test_word_that_comes_after_the_receipt_changes_nothing() -> None:
    ledger = MemoryLedger()
    row = await sent(ledger, call("k2"))
    receipt = Settlement(move=Move.SUCCEED, evidence=Evidence.ANSWER, result=1)
    await ledger.settle("k2", row.fence, receipt)
    with pytest.raises(Declined, match="settled by somebody else"):
        await rule(ledger, row, Word.WRITE_OFF, by="sam", evidence="")
    settled = await ledger.find("k2")
    assert settled is not None
    assert (settled.state, settled.evidence) == (RowState.SUCCEEDED, Evidence.ANSWER)


async def test_stop_reads_as_a_sentence() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert str(Stop(at=at)) == "every tool is stopped since 2026-01-02 03:04:05 UTC"
    told = str(Stop(tool="buy", agent="shop", by="ana", reason="bad", at=at))
    assert told == "buy of agent shop is stopped by ana since 2026-01-02 03:04:05 UTC: bad"


async def end_from_outside(shop: Shop, task_id: str) -> None:
    """Terminate a task that has left a call in doubt."""
    client = await Client.connect(shop.address)
    await client.get_workflow_handle(task_id).terminate("by hand")
    async with ledger_of(shop) as ledger:
        await sent(ledger, call("de" * 16, task_id))


def test_task_that_was_ended_from_outside_shows_what_it_left_in_doubt(cli: CommandLine, shop: Shop) -> None:
    assert cli("run", "asker", "colour it", "--id", "ended-1").code == 0
    asyncio.run(end_from_outside(shop, "ended-1"))
    shown = cli("show", "ended-1").out
    assert "python starter.py audit ended-1" in shown
    assert "buy was sent once" in shown
    assert "starter.py settle KEY" in shown
    assert [one["key"] for one in cli("show", "ended-1", "--json").json["in_doubt"]] == ["de" * 16]
