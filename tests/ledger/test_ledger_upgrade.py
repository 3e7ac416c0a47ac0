"""A ledger that an earlier release made is brought up to date where it stands, once, whole or not at all.

In the ledger of layout 1: refund-1 has reserved a call; refund-2 went on in a second run, run-2b; refund-3 ran again.
"""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect, text

from core.errors import LedgerDown, Superseded
from core.receipts import Fenced, RowState
from ledger import SqlLedger, open_ledger
from ledger.tables import VERSION, metadata
from tests.ledger.calls import LEASE, LONG, Clock, call, claimed, line, sent, task
from tests.ledger.test_ledger_processes import run
from tests.postgres import PostgresProcess

_FOLDER = Path(__file__).parent


@pytest.fixture
def old_url(url: str, request: pytest.FixtureRequest) -> str:
    """The address of a ledger that an earlier release made."""
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        path.parent.mkdir()
        connection = sqlite3.connect(path)
        connection.executescript((_FOLDER / "layout_1.sqlite.sql").read_text())
        connection.close()
    else:
        server = request.getfixturevalue("postgres")
        assert isinstance(server, PostgresProcess)
        server.execute("ledger", (_FOLDER / "layout_1.postgres.sql").read_text())
    return url


def layout(db: Connection) -> object:
    found = inspect(db)
    return {
        table: (
            {(column["name"], str(column["type"]), column["nullable"]) for column in found.get_columns(table)},
            {str(index["name"]) for index in found.get_indexes(table)},
            found.get_pk_constraint(table)["constrained_columns"],
        )
        for table in sorted(found.get_table_names())
    }


def version(db: Connection) -> int:
    return int(db.execute(text("SELECT version FROM lastmile_schema")).scalar_one())


async def test_an_upgraded_ledger_is_laid_out_as_a_new_one(old_url: str) -> None:
    async with open_ledger(old_url) as ledger:
        upgraded = await ledger._store.read(layout)
        assert await ledger._store.read(version) == VERSION
        await ledger._store.write(_empty)
        await ledger.create()
        assert await ledger._store.read(layout) == upgraded


def _empty(db: Connection) -> None:
    metadata.drop_all(db)


async def test_what_was_in_it_is_still_there(old_url: str, clock: Clock) -> None:
    clock.pass_by(LONG)
    async with open_ledger(old_url, clock=clock) as ledger:
        states = [row.state for row in await ledger.rows("refund-2")]
        assert states == [RowState.SUCCEEDED, RowState.IN_DOUBT]
        assert [row.key for row in await ledger.doubts()] == ["k3", "k4"]
        assert [row.key for row in await ledger.overdue()] == ["k3"]
        assert [each async for each in ledger.lines("refund-1")] == [line(1, clock.now)]
        assert (await sent(ledger, clock, await claimed(ledger))).sends == 1


@pytest.mark.parametrize(
    ("task_id", "first", "bound"),
    [("refund-1", "run-1", "run-1"), ("refund-2", "run-2a", "run-2b"), ("refund-3", "run-3c", "run-3c")],
)
async def test_a_task_is_bound_to_the_latest_run_that_is_known_of_it(
    old_url: str, task_id: str, first: str, bound: str
) -> None:
    async with open_ledger(old_url) as ledger:
        known = await ledger.task(task_id)
        assert known is not None
        assert (known.first_run_id, known.run_id, known.epoch) == (first, bound, 0)
        assert await ledger.bind_run(task_id, bound, []) == known
        assert await ledger.open_task(task(task_id=task_id, first_run_id=first, run_id=bound)) == known


async def test_runs_before_it_are_fenced_off(old_url: str) -> None:
    async with open_ledger(old_url) as ledger:
        with pytest.raises(Superseded):
            await ledger.bind_run("refund-2", "run-2a", [])
        assert isinstance(await ledger.claim(call("k5", task_id="refund-3", run_id="run-3a"), LEASE), Fenced)


async def test_a_run_that_goes_on_after_it_is_bound(old_url: str) -> None:
    async with open_ledger(old_url) as ledger:
        found = await ledger.bind_run("refund-1", "run-1b", ["run-1"])
        assert found is not None
        assert (found.run_id, found.epoch) == ("run-1b", 0)


async def test_two_processes_upgrade_at_once(old_url: str) -> None:
    ended = await asyncio.gather(run("claim", old_url), run("claim", old_url))
    assert [code for code, _ in ended] == [0, 0]
    async with open_ledger(old_url) as ledger:
        assert await ledger._store.read(version) == VERSION
        row = await ledger.find("k1")
        assert row is not None
        assert row.fence == 2, "one claim of all took it over"


async def test_an_upgrade_that_fails_has_changed_nothing(old_url: str) -> None:
    ledger = open_ledger(old_url)
    # the last step but two cannot be made
    await ledger._store.write(lambda db: db.execute(text("DROP INDEX lastmile_effects_in_flight")) and None)
    before = await ledger._store.read(layout)
    with pytest.raises(LedgerDown, match="lastmile_effects_in_flight"):
        await ledger.create()
    assert await ledger._store.read(layout) == before
    assert await ledger._store.read(version) == 1
    await _mend(ledger)
    await ledger.create()
    assert await ledger._store.read(version) == VERSION
    await ledger.close()


async def _mend(ledger: SqlLedger) -> None:
    index = "CREATE INDEX lastmile_effects_in_flight ON lastmile_effects (lease_until) WHERE state = 'IN_FLIGHT'"
    await ledger._store.write(lambda db: db.execute(text(index)) and None)
