"""A trial can cut the database off before a transaction and after its commit."""

from collections.abc import Iterator

import pytest

from core import failpoints
from core.errors import LedgerDown
from ledger import open_ledger
from tests.ledger.calls import Clock, claimed


class Cut:
    """Notes the places that were reached; is down at one of them."""

    def __init__(self) -> None:
        self.at = ""
        self.reached: list[str] = []

    def __call__(self, place: str, key: str) -> None:
        self.reached.append(place)
        assert key == ""
        if place == self.at:
            raise LedgerDown(f"cut off at {place}")


@pytest.fixture
def cut() -> Iterator[Cut]:
    found = Cut()
    failpoints.arm(found)
    yield found
    failpoints.arm(None)


async def test_every_transaction_says_where_it_is(url: str, clock: Clock, cut: Cut) -> None:
    async with open_ledger(url, clock=clock) as ledger:
        cut.reached.clear()
        row = await claimed(ledger)
        assert await ledger.find("k1") == row
    assert cut.reached == ["ledger.write", "ledger.wrote", "ledger.read"]


@pytest.mark.parametrize(("place", "is_written"), [("ledger.write", False), ("ledger.wrote", True)])
async def test_a_trial_stops_a_write_before_it_or_after_its_commit(
    url: str, clock: Clock, cut: Cut, place: str, is_written: bool
) -> None:
    async with open_ledger(url, clock=clock) as ledger:
        cut.at = place
        with pytest.raises(LedgerDown, match=place):
            await claimed(ledger)
        assert (await ledger.find("k1") is not None) is is_written
