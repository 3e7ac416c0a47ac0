"""Whatever is done in whatever order, the ledger in SQLite and the one in memory say the same."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from core.errors import LedgerError
from core.receipts import TRANSITIONS, Approval, Move, Row, RowState, Total
from ledger import MemoryLedger, open_ledger
from tests.ledger.calls import LEASE, AnyLedger, Clock, attempt, call, task

KEYS = st.sampled_from(["k1", "k2", "k3"])
FENCES = st.integers(min_value=1, max_value=4)
AMOUNTS = st.integers(min_value=1, max_value=60)


class TwoLedgers(RuleBasedStateMachine):
    """Each rule does one thing to both; then they are compared with each other and with the table of moves."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        self._folder = tempfile.TemporaryDirectory()
        self._clock = Clock()
        self._memory = MemoryLedger(self._clock)
        self._sql = open_ledger(f"sqlite:///{Path(self._folder.name)}/ledger.db", clock=self._clock)
        self._loop.run_until_complete(self._sql.create())
        self._before: dict[str, Row] = {}

    def teardown(self) -> None:
        self._loop.run_until_complete(self._sql.close())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        self._folder.cleanup()

    def both(self, deed: Callable[[AnyLedger], Awaitable[Any]]) -> Any:
        """Do one thing to both ledgers, and return what they agree upon."""
        outcomes = [self._loop.run_until_complete(_outcome(deed(ledger))) for ledger in (self._memory, self._sql)]
        assert outcomes[0] == outcomes[1]
        return outcomes[0]

    @rule(seconds=st.sampled_from([1, 10, 30]))
    def time_passes(self, seconds: int) -> None:
        self._clock.pass_by(timedelta(seconds=seconds))

    @rule(
        key=KEYS,
        alike=st.booleans(),
        fingerprint=st.sampled_from(["same", "same", "same", "other"]),
        repeat_of=st.sampled_from([None, "k1", "r1.k2"]),
        undoes=st.sampled_from([None, None, "k1"]),
    )
    def claim(self, key: str, alike: bool, fingerprint: str, repeat_of: str | None, undoes: str | None) -> None:
        similarity = "alike" if alike else f"like {key}"
        wanted = call(key, similarity=similarity, fingerprint=fingerprint, repeat_of=repeat_of, undoes=undoes)
        self.both(lambda ledger: ledger.claim(wanted, LEASE))

    @rule(key=KEYS, fence=FENCES, request=st.sampled_from(["q1", "q2", None]), amount=AMOUNTS | st.none())
    def mark(self, key: str, fence: int, request: str | None, amount: int | None) -> None:
        until = self._clock.now + LEASE
        approvals = [Approval(request_id=request, digest="d", by="ana")] if request else []
        totals = [Total(bucket="sum", amount=amount, maximum=100)] if amount else []
        self.both(
            lambda ledger: ledger.mark(
                key, fence, deadline=until, lease_until=until, approvals=approvals, totals=totals
            )
        )

    @rule(key=KEYS, fence=FENCES, move=st.sampled_from([move for move in Move if move is not Move.TAKE_OVER]))
    def move(self, key: str, fence: int, move: Move) -> None:
        self.both(lambda ledger: attempt(ledger, self._clock, key, fence, move))

    @rule(data=st.data())
    def move_on(self, data: st.DataObject) -> None:
        """Make a move that the table allows, so that rows get far."""
        rows = self.both(lambda ledger: ledger.rows("refund-1"))
        ways = [(row, move) for row in rows for state, move in TRANSITIONS if state is row.state]
        if ways:
            row, move = data.draw(st.sampled_from(ways))
            self.both(lambda ledger: attempt(ledger, self._clock, row.key, row.fence, move))

    @rule(key=KEYS, verified=st.booleans())
    def read_back(self, key: str, verified: bool) -> None:
        self.both(lambda ledger: ledger.verified(key, verified))

    @rule(run=st.sampled_from(["run-1", "run-2"]), again=st.booleans(), goal=st.text(max_size=3))
    def open_task(self, run: str, again: bool, goal: str) -> None:
        self.both(lambda ledger: ledger.open_task(task(first_run_id=run, run_id=run, again=again, goal=goal)))

    @rule(number=FENCES, goal=st.text(max_size=3))
    def amend(self, number: int, goal: str) -> None:
        self.both(lambda ledger: ledger.amend_task("refund-1", goal, {"goal": goal}, number))

    @invariant()
    def they_agree_and_keep_to_the_table(self) -> None:
        self.both(lambda ledger: ledger.spent("sum", besides=""))
        self.both(lambda ledger: ledger.twin("refund-1", "alike", "k2"))
        self.both(lambda ledger: ledger.overdue())
        self.both(lambda ledger: ledger.task("refund-1"))
        self.both(_lines)
        rows = self.both(lambda ledger: ledger.rows("refund-1"))
        for row in rows:
            _check_step(self._before.get(row.key), row)
        self._before = {row.key: row for row in rows}


def _check_step(before: Row | None, after: Row) -> None:
    if before is None:
        assert (after.state, after.fence, after.sends) == (RowState.RESERVED, 1, 0)
        return
    made = {target for (state, _), target in TRANSITIONS.items() if state is before.state}
    assert after.state in made | {before.state}
    assert before.fence <= after.fence <= before.fence + 1
    assert before.sends <= after.sends <= before.sends + 1
    if before.state.is_final:
        assert after == before.model_copy(update={"verified": after.verified})


async def _outcome(deed: Awaitable[Any]) -> Any:
    try:
        return await deed
    except LedgerError as error:
        return type(error), str(error)


async def _lines(ledger: AnyLedger) -> list[Any]:
    return [line async for line in ledger.lines("refund-1")]


TestTwoLedgers = TwoLedgers.TestCase
TestTwoLedgers.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
