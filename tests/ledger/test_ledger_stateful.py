"""Whatever is done in whatever order, the ledger in SQLite and the one in memory say the same."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from core.errors import LedgerError
from core.receipts import TRANSITIONS, Approval, Fenced, Move, Row, RowState, Stop, TaskRow, Total
from ledger import MemoryLedger, open_ledger
from tests.exploring import examples
from tests.ledger.calls import LEASE, AnyLedger, Clock, attempt, bring, call, task

KEYS = st.sampled_from(["k1", "k2", "k3"])
RUNS = st.sampled_from(["run-1", "run-2", "run-3", "run-4"])
CHAINS = st.sampled_from(["run-1", "run-1", "run-2"])
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
        self._task: TaskRow | None = None
        self._runs = self._calls = 0

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

    @initialize(is_opened=st.sampled_from([True, True, False]))
    def begin(self, is_opened: bool) -> None:
        if is_opened:
            self.open_task("run-1", "run-1", again=False, goal="refund")

    @rule(state=st.sampled_from(RowState))
    def bring(self, state: RowState) -> None:
        """Bring a new call of the bound run as far as a state, unless a switch stops it."""
        self._calls += 1
        run, key = self._bound(), f"far-{self._calls}"
        self.both(partial(bring, clock=self._clock, state=state, key=key, run_id=run))

    @rule(
        key=KEYS,
        alike=st.booleans(),
        fingerprint=st.sampled_from(["same", "same", "same", "other"]),
        names=st.fixed_dictionaries(
            {"repeat_of": st.sampled_from([None, "k1", "r1.k2"]), "undoes": st.sampled_from([None, None, "k1"])}
        ),
        run=RUNS | st.none(),
    )
    def claim(self, key: str, alike: bool, fingerprint: str, names: dict[str, Any], run: str | None) -> None:
        more = {"fingerprint": fingerprint, "run_id": run or self._bound(), **names}
        wanted = call(key, similarity="alike" if alike else f"like {key}", **more)
        outcome = self.both(lambda ledger: ledger.claim(wanted, LEASE))
        assert isinstance(outcome, Fenced) == (self._task is not None and wanted.run_id != self._task.run_id)

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

    @rule(first=CHAINS, run=RUNS, again=st.booleans(), goal=st.text(max_size=3))
    def open_task(self, first: str, run: str, again: bool, goal: str) -> None:
        wanted = task(first_run_id=first, run_id=run, again=again, goal=goal)
        self.both(lambda ledger: ledger.open_task(wanted))

    @rule(run=RUNS, ancestors=st.lists(RUNS, max_size=2))
    def bind_run(self, run: str, ancestors: list[str]) -> None:
        self.both(lambda ledger: ledger.bind_run("refund-1", run, ancestors))

    @rule(run=RUNS, instead_of=RUNS)
    def open_epoch(self, run: str, instead_of: str) -> None:
        self.both(lambda ledger: ledger.open_epoch("refund-1", run, instead_of))

    @rule(is_reset=st.booleans())
    def run_anew(self, is_reset: bool) -> None:
        """Let a run that was never seen take the place of the bound one: a reset of it, or its successor."""
        self._runs += 1
        bound, run = self._bound(), f"fresh-{self._runs}"
        if is_reset:
            self.both(lambda ledger: ledger.open_epoch("refund-1", run, bound))
        else:
            self.both(lambda ledger: ledger.bind_run("refund-1", run, [bound]))

    @rule(data=st.data(), is_ours=st.booleans())
    def send_again(self, data: st.DataObject, is_ours: bool) -> None:
        """Let a run, its own or another, send again what may be sent again."""
        rows = self.both(lambda ledger: ledger.overdue())
        if rows:
            row, until = data.draw(st.sampled_from(rows)), self._clock.now + LEASE
            run = self._bound() if is_ours else "run-0"
            again = self.both(
                lambda ledger: ledger.resend(row.key, row.fence, deadline=until, lease_until=until, run_id=run)
            )
            assert is_ours or self._task is None or not isinstance(again, Row)

    @rule()
    def mark_all(self) -> None:
        """Mark what is reserved, also what another run gave back."""
        for row in self.both(lambda ledger: ledger.rows("refund-1")):
            self.both(partial(attempt, clock=self._clock, key=row.key, fence=row.fence, move=Move.MARK))

    @rule()
    def sweep(self) -> None:
        """Send again what the completer finds."""
        for row in self.both(lambda ledger: ledger.overdue()):
            self.both(partial(attempt, clock=self._clock, key=row.key, fence=row.fence, move=Move.RESEND))

    @rule(tool=st.sampled_from(["another", "another", "issue_refund", ""]), agent=st.sampled_from(["", "support_desk"]))
    def stop(self, tool: str, agent: str) -> None:
        self.both(lambda ledger: ledger.stop(Stop(tool=tool, agent=agent, at=self._clock.now)))

    @rule()
    def start_all(self) -> None:
        for stop in self.both(lambda ledger: ledger.stops()):
            self.both(partial(_start, stop=stop))

    @rule(key=KEYS, visit=st.sampled_from(["v1", "v2"]), leaves=st.booleans())
    def visit(self, key: str, visit: str, leaves: bool) -> None:
        self.both(lambda ledger: ledger.leave(key, visit) if leaves else ledger.enter(key, visit))

    @rule(number=FENCES, goal=st.text(max_size=3))
    def amend(self, number: int, goal: str) -> None:
        self.both(lambda ledger: ledger.amend_task("refund-1", goal, {"goal": goal}, number))

    @invariant()
    def they_agree_and_keep_to_the_table(self) -> None:
        self.both(lambda ledger: ledger.spent("sum", besides=""))
        self.both(lambda ledger: ledger.twin("refund-1", "alike", "k2"))
        self.both(lambda ledger: ledger.overdue())
        self.both(lambda ledger: ledger.doubts())
        self.both(_lines)
        switches = self.both(lambda ledger: ledger.stops())
        task = self.both(lambda ledger: ledger.task("refund-1"))
        assert self._task is None or self._task.epoch <= task.epoch <= self._task.epoch + 1
        opened = self._task is not None and task.epoch > self._task.epoch
        rows = self.both(lambda ledger: ledger.rows("refund-1"))
        for row in rows:
            before = self._before.get(row.key)
            _check_step(before, row)
            _check_fences(before, row, task, switches)
            assert not (opened and row.state is RowState.RESERVED)
        self._before, self._task = {row.key: row for row in rows}, task

    def _bound(self) -> str:
        return "run-1" if self._task is None else self._task.run_id


def _check_step(before: Row | None, after: Row) -> None:
    if before is None:  # claimed, or brought further
        assert (after.fence, after.sends) in ((1, 0), (1, 1))
        return
    made = {target for (state, _), target in TRANSITIONS.items() if state is before.state}
    assert after.state in made | {before.state}
    assert before.fence <= after.fence <= before.fence + 1
    assert before.sends <= after.sends <= before.sends + 1
    if before.state.is_final:
        assert after == before.model_copy(update={"verified": after.verified})


def _check_fences(before: Row | None, after: Row, task: TaskRow | None, switches: list[Stop]) -> None:
    if before is None or after.sends == before.sends:
        return
    assert not any(stop.covers(after.tool, after.agent) for stop in switches)
    if before.state is RowState.RESERVED and task is not None:
        assert after.run_id == task.run_id


async def _outcome(deed: Awaitable[Any]) -> Any:
    try:
        return await deed
    except (LedgerError, LookupError) as error:
        return type(error), str(error)


async def _start(ledger: AnyLedger, stop: Stop) -> Stop | None:
    return await ledger.start(stop.tool, stop.agent)


async def _lines(ledger: AnyLedger) -> list[Any]:
    return [line async for line in ledger.lines("refund-1")]


TestTwoLedgers = TwoLedgers.TestCase
TestTwoLedgers.settings = settings(
    max_examples=examples(40),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
