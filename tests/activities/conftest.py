"""A bench on a real SQLite ledger."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ledger.opening import open_ledger
from tests.activities.bench import Bench, Clock, FragileLedger, Provider


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    clock = Clock()
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock=clock) as ledger:
        bench = Bench(FragileLedger(ledger), clock, Provider())
        await bench.open_task()
        yield bench
