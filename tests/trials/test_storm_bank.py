import asyncio
import itertools
import json
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from sqlalchemy.ext.asyncio import create_async_engine

from core.names import effect_key
from core.ports import Call, Certainty
from tools.python_tool import PythonTool
from trials.storm import bank_tools
from trials.storm.bank import Bank, main
from trials.storm.bank_answers import SETTLE_S
from trials.storm.bank_book import Book
from trials.storm.bank_faults import ON_WRITES, Fault, Weather
from trials.storm.truth import TOOLS, Kind, undo_memo

SEED = 5
NOT_APPLIED = (Fault.DROPPED_BEFORE, Fault.ERROR_BEFORE, Fault.BUSY, Fault.CONFLICT)
UNANSWERED = (Fault.DROPPED_BEFORE, Fault.DROPPED_AFTER, Fault.LATE, Fault.SLOW)
STATUS = {Fault.ERROR_BEFORE: 500, Fault.ERROR_AFTER: 500, Fault.BUSY: 429, Fault.CONFLICT: 409}
WRITES = ("/keyed", "/probed", "/plain", "/idempotent/")

Answer = tuple[int, bytes]


class Teller:
    """A client of one bank."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def send(self, path: str, memo: str, *, patience_s: float = 5.0, **more: Any) -> Answer | None:
        """Send a wish; None: no answer came."""
        wish = {"memo": memo, "account": more.get("account", "A-1"), "amount_cents": more.get("amount_cents", 500)}
        headers = {"Idempotency-Key": more.get("key", f"key of {memo}"), "If-Match": f'"{more.get("version", 0)}"'}
        headers["Deadline"] = repr(more.get("deadline", time.time() + patience_s))
        method, path = ("PUT", path + memo) if path == "/idempotent/" else ("POST", path)
        return await self._ask(method, path, patience_s, json=wish, headers=headers)

    async def get(self, path: str, **query: str) -> Any:
        found = await self._ask("GET", path, 5.0, params=query)
        assert found is not None
        assert found[0] == 200
        return json.loads(found[1])

    async def applied(self, memo: str) -> int:
        return len(await self.get("/admin/applications", memo=memo))

    async def _ask(self, method: str, path: str, patience_s: float, **more: Any) -> Answer | None:
        patience = aiohttp.ClientTimeout(total=patience_s)
        try:
            session = aiohttp.ClientSession(self.url, timeout=patience)
            async with session, session.request(method, path, **more) as answer:
                return answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            return None


@asynccontextmanager
async def opened(folder: Path, rate: float = 0.0) -> AsyncIterator[Teller]:
    with Book(folder / "bank.db") as book:
        runner = web.AppRunner(Bank(book, Weather(SEED, rate)).app(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Teller(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        await runner.cleanup()


@pytest.fixture
async def calm(tmp_path: Path) -> AsyncIterator[Teller]:
    async with opened(tmp_path) as teller:
        yield teller


@pytest.fixture
async def stormy(tmp_path: Path) -> AsyncIterator[Teller]:
    async with opened(tmp_path, rate=1.0) as teller:
        yield teller


def struck_by(fault: Fault) -> str:
    """Find a memo whose first write is struck by a fault."""
    memos = (f"M-{number}" for number in itertools.count())
    return next(memo for memo in memos if Weather(SEED, 1.0).on_write(memo).fault is fault)


async def until(is_so: Callable[[], Any], limit_s: float = 10.0) -> None:
    async with asyncio.timeout(limit_s):
        while not await is_so():
            await asyncio.sleep(0.01)


# -------------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize("fault", ON_WRITES)
async def test_fault_strikes_before_or_after_the_application_as_its_name_says(stormy: Teller, fault: Fault) -> None:
    memo = struck_by(fault)
    answer = await stormy.send("/probed", memo, patience_s=0.3)
    if fault in UNANSWERED:
        assert answer is None
    else:
        assert answer is not None
        assert answer[0] == STATUS.get(fault, 200)
    if fault is Fault.LATE:
        assert await stormy.applied(memo) == 0
        await until(lambda: stormy.applied(memo))
    assert await stormy.applied(memo) == (0 if fault in NOT_APPLIED else 1)
    assert await stormy.get("/admin/faults") == {fault: 1}


async def test_garbage_is_no_json_and_huge_is_three_megabytes_of_it(stormy: Teller) -> None:
    garbage = await stormy.send("/plain", struck_by(Fault.GARBAGE))
    huge = await stormy.send("/plain", struck_by(Fault.HUGE))
    assert garbage is not None
    assert huge is not None
    with pytest.raises(UnicodeDecodeError):
        json.loads(garbage[1])
    assert len(huge[1]) > 3_000_000
    assert json.loads(huge[1])["amount_cents"] == 500


async def test_late_application_stays_within_the_settle_time(stormy: Teller) -> None:
    memo, deadline = struck_by(Fault.LATE), time.time() + 0.2
    await stormy.send("/plain", memo, patience_s=0.1, deadline=deadline)
    await until(lambda: stormy.applied(memo))
    (applied,) = await stormy.get("/admin/applications", memo=memo)
    assert deadline < applied["at"] < deadline + SETTLE_S


@pytest.mark.parametrize("path", ["/probed", "/plain"])
async def test_nothing_is_applied_after_the_settle_time(calm: Teller, path: str) -> None:
    answer = await calm.send(path, "M-1", deadline=time.time() - SETTLE_S - 0.01)
    assert answer is not None
    assert answer[0] == 503
    assert await calm.applied("M-1") == 0


async def test_after_three_struck_writes_the_next_one_is_served(stormy: Teller) -> None:
    memo = struck_by(Fault.ERROR_BEFORE)
    answers = [await stormy.send("/plain", memo, patience_s=0.05) for _ in range(4)]
    assert answers[0] is not None
    assert answers[0][0] == 500
    assert answers[3] is not None
    assert answers[3][0] == 200


def test_a_seed_repeats_its_faults() -> None:
    def faults(seed: int) -> list[Fault | None]:
        weather = Weather(seed, 0.3)
        return [weather.on_write(f"M-{number % 40}").fault for number in range(120)]

    assert faults(1) == faults(1)
    assert faults(1) != faults(2)


def test_faults_strike_about_as_often_as_told_and_each_of_them() -> None:
    weather = Weather(1, 0.3)
    struck = [weather.on_write(f"M-{number}").fault for number in range(4_000)]
    assert 0.27 < sum(fault is not None for fault in struck) / len(struck) < 0.33
    assert set(struck) == {None, *Fault}
    assert not any(Weather(1, 0.0).on_write(f"M-{number}").fault for number in range(200))


@pytest.mark.parametrize("fault", ON_WRITES)
@pytest.mark.parametrize("path", WRITES)
async def test_closed_account_never_gets_anything(stormy: Teller, path: str, fault: Fault) -> None:
    memo = struck_by(fault)
    answer = await stormy.send(path, memo, account="CLOSED-1", patience_s=0.05)
    assert answer is None or answer[0] >= 400
    assert await stormy.applied(memo) == 0


# --------------------------------------------------------------------------------------------------------------- kinds


async def test_key_brings_the_same_answer_again_and_applies_once(calm: Teller) -> None:
    first = await calm.send("/keyed", "M-1")
    assert await calm.send("/keyed", "M-1") == first
    assert await calm.applied("M-1") == 1


async def test_key_with_another_body_is_refused(calm: Teller) -> None:
    await calm.send("/keyed", "M-1", key="k")
    answer = await calm.send("/keyed", "M-1", key="k", amount_cents=501)
    assert answer is not None
    assert answer[0] == 422
    assert await calm.applied("M-1") == 1


async def test_key_under_way_is_a_conflict(stormy: Teller) -> None:
    memo = struck_by(Fault.LATE)
    first = asyncio.create_task(stormy.send("/keyed", memo, patience_s=0.5))
    await until(lambda: stormy.get("/admin/faults"))
    second = await stormy.send("/keyed", memo)
    assert second is not None
    assert second[0] == 409
    assert b"key_under_way" in second[1]
    await first
    await until(lambda: stormy.applied(memo))


@pytest.mark.parametrize("path", ["/probed", "/plain"])
async def test_without_keys_sending_twice_applies_twice(calm: Teller, path: str) -> None:
    await calm.send(path, "M-1")
    await calm.send(path, "M-1")
    assert await calm.applied("M-1") == 2


async def test_stale_version_is_refused(calm: Teller) -> None:
    answers = [await calm.send("/idempotent/", "M-1", version=version) for version in (0, 0, 1)]
    assert [answer and answer[0] for answer in answers] == [200, 412, 200]
    assert (await calm.get("/idempotent/M-1"))["version"] == 2
    assert (await calm.get("/idempotent/M-2"))["version"] == 0


async def test_probe_finds_what_was_applied_and_nothing_else(calm: Teller) -> None:
    await calm.send("/probed", "M-1")
    assert (await calm.get("/probed", memo="M-1"))["found"]["amount_cents"] == 500
    assert (await calm.get("/probed", memo="M-2")) == {"found": None}


async def test_wish_that_is_none_is_refused_in_words(calm: Teller) -> None:
    answer = await calm.send("/plain", "M-1", amount_cents="a lot")
    assert answer is not None
    assert answer[0] == 400
    assert b"amount_cents: Input should be a valid integer" in answer[1]


# ----------------------------------------------------------------------------------------------------------- processes


@pytest.fixture
def port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def process(tmp_path: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    arguments = ["--port", str(port), "--db", str(tmp_path / "book.db"), "--seed", "1", "--faults", "0"]
    with subprocess.Popen([sys.executable, "-m", "trials.storm.bank", *arguments]) as running:
        yield running
        running.kill()


async def test_book_outlives_the_bank(process: "subprocess.Popen[bytes]", port: int, tmp_path: Path) -> None:
    teller = Teller(f"http://127.0.0.1:{port}/")

    async def is_open() -> bool:
        return await teller.send("/plain", "M-0", account="CLOSED-0") is not None

    await until(is_open, 60)
    assert await teller.get("/admin/ready") == {"ready": True}
    await teller.send("/keyed", "M-1", key="k-1")
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    with closing(sqlite3.connect(tmp_path / "book.db")) as book:
        assert book.execute("select memo, account, amount_cents, kind, key from applications").fetchall() == [
            ("M-1", "A-1", 500, "keyed", "k-1")
        ]


def test_bank_says_what_is_wrong_with_its_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--port", "1", "--db", "x", "--faults", "1.5"])
    assert left.value.code == 2
    assert "--faults is a probability from 0 to 1, found 1.5" in capsys.readouterr().err
    assert main(["--port", "1", "--db", str(tmp_path / "nowhere" / "x.db")]) == 2
    assert "the bank cannot serve" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------------------------- tools


def call_of(name: str, connection: Any = None) -> Call:
    return Call(
        key=effect_key("default", "T1", 1, 1, name),
        task_id="T1",
        step_id="r1.s1",
        attempt=1,
        deadline=datetime.now(UTC) + timedelta(seconds=1.5),
        connection=connection,
    )


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.TRANSACTIONAL])
async def test_tool_applies_its_wish_under_its_key_and_can_tell(
    calm: Teller, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(bank_tools.BANK, calm.url)
    tool = PythonTool(getattr(bank_tools, TOOLS[kind]))
    call, args = call_of(TOOLS[kind]), tool.check({"memo": "M-1", "account": "A-1", "amount_cents": 700})
    assert await tool.verify(call, args, None) in (False, None)
    result = await tool.send(call, args)
    (applied,) = await calm.get("/admin/applications", memo="M-1")
    assert {**applied, "at": 0} == {
        "memo": "M-1",
        "account": "A-1",
        "amount_cents": 700,
        "kind": kind,
        "key": call.key,
        "at": 0,
    }
    assert result["amount_cents"] == 700
    assert await tool.verify(call, args, None) in (True, None)
    assert tool.contract.effect.value == kind.value


async def test_tool_books_through_the_connection_that_it_is_given(tmp_path: Path) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'tools.db'}")
    tool = PythonTool(bank_tools.transfer_booked)
    async with engine.begin() as connection:
        await connection.exec_driver_sql(
            "create table transfers (id integer primary key, memo, account, amount_cents, at)"
        )
        await tool.send(call_of("transfer_booked", connection), {"memo": "M-1", "account": "A-1", "amount_cents": 7})
        found = await connection.exec_driver_sql("select memo, account, amount_cents from transfers")
        assert [tuple(row) for row in found] == [("M-1", "A-1", 7)]
    await engine.dispose()


async def test_undo_sends_the_amount_back_under_a_memo_of_its_own(
    calm: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(bank_tools.BANK, calm.url)
    await bank_tools.transfer_probed_back(call_of("x"), _Args("M-1", "A-1", 700), None)
    (applied,) = await calm.get("/admin/applications", memo=undo_memo("M-1"))
    assert (applied["amount_cents"], applied["kind"]) == (-700, Kind.UNREPEATABLE)


class _Args:
    def __init__(self, memo: str, account: str, amount_cents: int) -> None:
        self.memo, self.account, self.amount_cents = memo, account, amount_cents


@pytest.mark.parametrize(
    ("fault", "certainty"),
    [
        (Fault.DROPPED_BEFORE, Certainty.UNKNOWN),
        (Fault.DROPPED_AFTER, Certainty.UNKNOWN),
        (Fault.ERROR_BEFORE, Certainty.UNKNOWN),
        (Fault.ERROR_AFTER, Certainty.UNKNOWN),
        (Fault.CONFLICT, Certainty.UNKNOWN),
        (Fault.GARBAGE, Certainty.UNKNOWN),
        (Fault.SLOW, Certainty.UNKNOWN),
        (Fault.BUSY, Certainty.NOT_SENT),
    ],
)
async def test_what_a_tool_raises_never_claims_more_than_the_fault_allows(
    stormy: Teller, fault: Fault, certainty: Certainty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(bank_tools.BANK, stormy.url)
    tool = PythonTool(bank_tools.transfer_plain)
    with pytest.raises(Exception, match=r".*") as raised:
        await tool.send(call_of("p"), {"memo": struck_by(fault), "account": "A-1", "amount_cents": 7})
    assert tool.sort(raised.value).certainty is certainty


async def test_refusal_of_the_bank_is_a_definite_no(calm: Teller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(bank_tools.BANK, calm.url)
    tool = PythonTool(bank_tools.transfer_plain)
    with pytest.raises(aiohttp.ClientResponseError) as raised:
        await tool.send(call_of("p"), {"memo": "M-1", "account": "CLOSED-1", "amount_cents": 7})
    assert tool.sort(raised.value).certainty is Certainty.REFUSED
