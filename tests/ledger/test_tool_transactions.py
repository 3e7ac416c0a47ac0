"""Effects of transactional tools: applied together with their receipt, or not at all."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import ConfigError, LedgerDown, NotSent, Refused
from core.ports import TransactionReceipt, Transactions
from ledger import ToolDatabases
from tests.postgres import PostgresProcess

_IMPATIENT = timedelta(seconds=0.3)


@pytest.fixture
async def databases(url: str) -> AsyncIterator[ToolDatabases]:
    found = ToolDatabases({"SHOP_DB": url}, patience=_IMPATIENT)
    async with found.open("SHOP_DB", "setup", "f", 1) as transaction:
        await transaction.connection.execute(text("CREATE TABLE notes (body TEXT)"))
    yield found
    await found.close()


async def write(connection: AsyncConnection, body: str = "hello") -> None:
    await connection.execute(text("INSERT INTO notes VALUES (:body)"), {"body": body})


async def notes(databases: ToolDatabases) -> list[str]:
    async with databases.open("SHOP_DB", "reading", "f", 1) as transaction:
        return list((await transaction.connection.execute(text("SELECT body FROM notes"))).scalars())


async def apply(databases: Transactions, error: Exception | None = None, send: int = 1) -> None:
    """Write a note and its receipt, and end as told."""
    async with databases.open("SHOP_DB", "k1", "f1", send) as transaction:
        await write(transaction.connection)
        await transaction.keep({"id": 1})
        if error is not None:
            raise error


async def test_effect_and_receipt_commit_together(databases: ToolDatabases) -> None:
    async with databases.open("SHOP_DB", "k1", "f1", 1) as transaction:
        assert transaction.existing is None
        await write(transaction.connection)
        await transaction.keep({"id": 1, "text": "\x00"})
    kept = TransactionReceipt(key="k1", fingerprint="f1", result={"id": 1, "text": "\x00"})
    assert await databases.receipt("SHOP_DB", "k1") == kept
    async with databases.open("SHOP_DB", "k1", "f2", 1) as transaction:
        assert transaction.existing == kept


async def test_an_error_rolls_back_effect_and_receipt(databases: ToolDatabases) -> None:
    with pytest.raises(Refused, match="sold out"):
        await apply(databases, Refused("sold_out", "sold out"))
    assert await databases.receipt("SHOP_DB", "k1") is None
    assert await notes(databases) == []
    await apply(databases)
    assert await notes(databases) == ["hello"]


async def test_a_cancelled_tool_rolls_back(databases: ToolDatabases) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async with databases.open("SHOP_DB", "k1", "f1", 1) as transaction:
            await write(transaction.connection)
            begun.set()
            await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await begun.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert await databases.receipt("SHOP_DB", "k1") is None
    assert await notes(databases) == []


async def test_no_clean_exit_commits_an_effect_without_a_receipt(databases: ToolDatabases) -> None:
    async with databases.open("SHOP_DB", "k1", "f1", 1) as transaction:
        await write(transaction.connection)
    assert await databases.receipt("SHOP_DB", "k1") == TransactionReceipt(key="k1", fingerprint="f1")


async def test_a_second_attempt_waits_for_the_first_and_finds_its_receipt(url: str) -> None:
    databases = ToolDatabases({"SHOP_DB": url})
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with databases.open("SHOP_DB", "k1", "f1", 1) as transaction:
            await transaction.keep("from the first")
            begun.set()
            await go_on.wait()

    async def second() -> TransactionReceipt | None:
        async with databases.open("SHOP_DB", "k1", "f1", 1) as transaction:
            return transaction.existing

    attempt = asyncio.create_task(first())
    await begun.wait()
    other = asyncio.create_task(second())
    done, _ = await asyncio.wait([other], timeout=0.1)
    assert not done
    go_on.set()
    await attempt
    assert await other == TransactionReceipt(key="k1", fingerprint="f1", result="from the first")
    await databases.close()


async def test_a_database_held_for_too_long_is_down_before_anything_is_done(databases: ToolDatabases) -> None:
    async with databases.open("SHOP_DB", "k1", "f1", 1):
        with pytest.raises(LedgerDown, match="SHOP_DB"):
            async with databases.open("SHOP_DB", "k1", "f1", 1):
                pytest.fail("two attempts at once")
    async with databases.open("SHOP_DB", "k1", "f1", 1) as transaction:
        assert transaction.existing is not None


async def test_an_error_of_the_tools_own_sql_is_the_tools(databases: ToolDatabases) -> None:
    with pytest.raises(DBAPIError, match="no_such_table"):
        async with databases.open("SHOP_DB", "k1", "f1", 1) as transaction:
            await transaction.connection.execute(text("SELECT * FROM no_such_table"))
    assert await databases.receipt("SHOP_DB", "k1") is None


async def test_many_first_uses_at_once_make_one_table(url: str) -> None:
    databases = [ToolDatabases({"SHOP_DB": url}) for _ in range(4)]
    found = await asyncio.gather(*(each.receipt("SHOP_DB", "k1") for each in databases for _ in range(3)))
    assert found == [None] * 12
    for each in databases:
        await each.close()


async def test_a_send_that_was_ruled_out_applies_nothing(databases: ToolDatabases) -> None:
    assert await databases.rule_out("SHOP_DB", "k1", 2) is None
    for late in (1, 2):
        with pytest.raises(NotSent, match=f"send {late} comes too late"):
            await apply(databases, send=late)
    assert await databases.receipt("SHOP_DB", "k1") is None
    assert await notes(databases) == []


async def test_a_later_send_takes_the_place_of_a_tombstone(databases: ToolDatabases) -> None:
    await databases.rule_out("SHOP_DB", "k1", 1)
    async with databases.open("SHOP_DB", "k1", "f1", 2) as transaction:
        assert transaction.existing is None
        await transaction.keep("done")
    kept = TransactionReceipt(key="k1", fingerprint="f1", result="done")
    assert await databases.receipt("SHOP_DB", "k1") == kept
    async with databases.open("SHOP_DB", "k1", "f1", 1) as transaction:
        assert transaction.existing == kept


async def test_a_later_send_that_fails_leaves_the_tombstone(databases: ToolDatabases) -> None:
    await databases.rule_out("SHOP_DB", "k1", 1)
    with pytest.raises(Refused):
        await apply(databases, Refused("sold_out", "sold out"), send=2)
    assert await databases.receipt("SHOP_DB", "k1") is None
    with pytest.raises(NotSent):
        await apply(databases, send=1)
    assert await notes(databases) == []


@pytest.mark.parametrize("send", [1, 2])
async def test_nothing_takes_the_place_of_a_receipt(databases: ToolDatabases, send: int) -> None:
    await apply(databases)
    kept = TransactionReceipt(key="k1", fingerprint="f1", result={"id": 1})
    assert await databases.rule_out("SHOP_DB", "k1", send) == kept
    assert await databases.receipt("SHOP_DB", "k1") == kept
    assert await notes(databases) == ["hello"]


async def test_a_tombstone_only_ever_counts_for_more_sends(databases: ToolDatabases) -> None:
    for send in (1, 3, 2):
        assert await databases.rule_out("SHOP_DB", "k1", send) is None
    with pytest.raises(NotSent, match="up to send 3"):
        await apply(databases, send=3)
    async with databases.open("SHOP_DB", "k1", "f1", 4) as transaction:
        assert transaction.existing is None


async def test_an_open_transaction_is_not_ruled_out(databases: ToolDatabases) -> None:
    async with databases.open("SHOP_DB", "k1", "f1", 1) as transaction:
        with pytest.raises(LedgerDown, match="SHOP_DB"):
            await databases.rule_out("SHOP_DB", "k1", 1)
        await transaction.keep("late")
    found = await databases.rule_out("SHOP_DB", "k1", 1)
    assert found is not None
    assert found.result == "late"


@pytest.mark.parametrize("ends", ["commits", "rolls back"])
@pytest.mark.parametrize("send", [1, 2], ids=["first send", "past a tombstone"])
async def test_ruling_out_waits_for_an_open_transaction(url: str, send: int, ends: str) -> None:
    databases = ToolDatabases({"SHOP_DB": url})
    begun, go_on = asyncio.Event(), asyncio.Event()
    if send > 1:
        await databases.rule_out("SHOP_DB", "k1", send - 1)

    async def apply() -> None:
        async with databases.open("SHOP_DB", "k1", "f1", send) as transaction:
            begun.set()
            await go_on.wait()
            await transaction.keep("late")
            if ends == "rolls back":
                raise Refused("sold_out")

    sending = asyncio.create_task(apply())
    await begun.wait()
    ruling = asyncio.create_task(databases.rule_out("SHOP_DB", "k1", send))
    done, _ = await asyncio.wait([ruling], timeout=0.1)
    assert not done
    go_on.set()
    await asyncio.gather(sending, return_exceptions=True)
    found = await ruling
    assert (found and found.result) == ("late" if ends == "commits" else None)
    if ends == "rolls back":
        with pytest.raises(NotSent):
            await apply()
    await databases.close()


async def test_sends_and_rulings_that_race_agree_on_what_was_applied(url: str) -> None:
    """Each side has connections of its own, as two workers have."""
    sender, settler = ToolDatabases({"SHOP_DB": url}), ToolDatabases({"SHOP_DB": url})
    async with sender.open("SHOP_DB", "setup", "f", 1) as transaction:
        await transaction.connection.execute(text("CREATE TABLE notes (body TEXT)"))

    applied: dict[str, bool] = {}
    found: dict[str, TransactionReceipt | None] = {}

    async def send(key: str) -> None:
        try:
            async with sender.open("SHOP_DB", key, "f1", 1) as transaction:
                await write(transaction.connection, key)
                await asyncio.sleep(0)
            applied[key] = True
        except NotSent:
            applied[key] = False

    async def rule_out(key: str) -> None:
        found[key] = await settler.rule_out("SHOP_DB", key, 1)

    first, second = [f"k{number}" for number in range(10)], [f"k{number}" for number in range(10, 20)]
    early = [*map(send, first), *map(rule_out, second)]
    await asyncio.gather(*early, *map(rule_out, first), *map(send, second))
    written = await notes(sender)
    for key in (*first, *second):
        assert applied[key] == (key in written) == (found[key] is not None), key
    await sender.close()
    await settler.close()


async def test_a_table_that_was_there_before_tombstones_is_used_as_it_is(url: str) -> None:
    databases = ToolDatabases({"SHOP_DB": url})
    async with databases.open("SHOP_DB", "setup", "f", 1) as transaction:
        await transaction.connection.execute(text("DROP TABLE lastmile_receipts"))
        await transaction.connection.execute(
            text(
                "CREATE TABLE lastmile_receipts (effect_key VARCHAR(64) NOT NULL PRIMARY KEY,"
                " fingerprint VARCHAR(64) NOT NULL, result TEXT)"
            )
        )
        await transaction.connection.execute(text("INSERT INTO lastmile_receipts VALUES ('old', 'f0', '7')"))
    await databases.close()
    later = ToolDatabases({"SHOP_DB": url})
    assert await later.rule_out("SHOP_DB", "old", 1) == TransactionReceipt(key="old", fingerprint="f0", result=7)
    assert await later.rule_out("SHOP_DB", "k1", 1) is None
    with pytest.raises(NotSent):
        async with later.open("SHOP_DB", "k1", "f1", 1):
            pytest.fail("a send that was ruled out")
    await later.close()


@pytest.mark.parametrize(
    ("environ", "problem"),
    [({}, "set the environment variable SHOP_DB"), ({"SHOP_DB": "redis://x"}, "'redis' is not supported")],
)
async def test_a_database_that_is_not_set_up_says_so(environ: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        await ToolDatabases(environ).receipt("SHOP_DB", "k1")


async def test_a_file_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot write the database file"):
        await ToolDatabases({"SHOP_DB": f"sqlite:///{tmp_path}/file/shop.db"}).receipt("SHOP_DB", "k1")


@pytest.mark.postgres
async def test_a_connection_lost_inside_is_no_promise_that_nothing_happened(postgres_url: str) -> None:
    databases = ToolDatabases({"SHOP_DB": postgres_url})
    with pytest.raises(DBAPIError):
        await _lose_connection(databases)
    assert await databases.receipt("SHOP_DB", "k1") is None
    assert await databases.receipt("SHOP_DB", "k2") is not None
    await databases.close()


async def _lose_connection(databases: ToolDatabases) -> None:
    opened = databases.open("SHOP_DB", "k1", "f1", 1), databases.open("SHOP_DB", "k2", "f2", 1)
    async with opened[0] as transaction, opened[1] as other:
        mine = await transaction.connection.execute(text("SELECT pg_backend_pid()"))
        await other.connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": mine.scalar_one()})


@pytest.mark.postgres
async def test_a_server_that_stops_is_down_until_it_starts_again(postgres: PostgresProcess, postgres_url: str) -> None:
    databases = ToolDatabases({"SHOP_DB": postgres_url})
    async with databases.open("SHOP_DB", "k1", "f1", 1) as transaction:
        await transaction.keep(1)
    postgres.stop()
    try:
        for _ in range(2):
            with pytest.raises(LedgerDown):
                async with databases.open("SHOP_DB", "k2", "f2", 1):
                    pytest.fail("no server, no transaction")
    finally:
        postgres.start()
    assert await databases.receipt("SHOP_DB", "k1") == TransactionReceipt(key="k1", fingerprint="f1", result=1)
    await databases.close()
