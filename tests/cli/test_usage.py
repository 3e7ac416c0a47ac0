from datetime import UTC, datetime, timedelta

import pytest

from cli.spending import moment
from core.errors import CallerError
from core.spending import CallEnd, CallState
from ledger import open_ledger
from tests.cli.conftest import CommandLine, Shop
from tests.ledger.spent import model_call, said, took

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
SMALL = ("--input", "what=tea", "--input", "count=2")


@pytest.fixture
async def spender(nowhere: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """A command line whose ledger knows three calls, and whose Temporal server is not there."""
    monkeypatch.setenv("COLUMNS", "140")
    async with open_ledger(f"sqlite:///{nowhere.config.parent / 'ledger.db'}") as ledger:
        for number, end in enumerate((took(1_200, 30, cached=1_000), took(), CallEnd(state=CallState.LOST))):
            call = model_call(f"c{number}", task_id=f"refund-{number}", model=("openai:a", "openai:b")[number > 0])
            await ledger.reserve_call(call, [])
            await ledger.settle_call(call.id, end, said())
    return nowhere


def test_usage_needs_no_server_and_sums_up_by_model(spender: CommandLine) -> None:
    shown = spender("usage")
    assert shown.code == 0
    rows = {line.split()[0]: line.split()[1:] for line in shown.out.splitlines() if line}
    assert rows["openai:a"] == ["1", "1", "1", "1,200", "1,000", "30", "$0.0007"]
    assert rows["openai:b"] == ["2", "1", "0", "60", "0", "10", "$0.0007", "100", "($0.0010)"]
    assert rows["in"][:2] == ["all", "3"]
    assert "whose answer was lost" in shown.out


@pytest.mark.parametrize(("by", "groups"), [("task", 3), ("agent", 1), ("tenant", 1), ("model", 2), ("day", 1)])
def test_usage_is_printed_as_json_by_any_group(spender: CommandLine, by: str, groups: int) -> None:
    lines = spender("usage", "--by", by, "--json").json
    assert len(lines) == groups
    assert sum(line["input_tokens"] for line in lines) == 1_260
    assert set(lines[0]) >= {"group", "calls", "cache_hits", "cached_tokens", "cost_usd", "unsettled_usd"}


def test_only_calls_since_a_moment_are_counted(spender: CommandLine) -> None:
    assert spender("usage", "--since", "1h", "--json").json != []
    assert spender("usage", "--since", "2999-01-01").out.strip() == "no model calls"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("24h", NOW - timedelta(hours=24)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T09:00+02:00", datetime(2026, 3, 1, 7, tzinfo=UTC)),
    ],
)
def test_moment_is_read_as_people_write_it(text: str, at: datetime) -> None:
    assert moment(text, NOW) == at


@pytest.mark.parametrize("text", ["soon", "0d", "-1h", "99999999d", ""])
def test_no_moment_is_a_sentence(text: str, nowhere: CommandLine) -> None:
    with pytest.raises(CallerError, match="is no moment"):
        moment(text, NOW)
    assert nowhere("usage", "--since", text or " ").code == 2


def test_task_that_ran_is_in_the_usage(cli: CommandLine, shop: Shop) -> None:
    assert cli("run", "shop", "buy tea", "--id", "usage-1", *SMALL, "--wait").code == 0
    [line] = [one for one in cli("usage", "--by", "task", "--json").json if one["group"] == "usage-1"]
    assert (line["calls"], line["answered"]) == (1, 1)
