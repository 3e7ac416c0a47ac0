"""Sends what is marked, and writes down what became of it: an answer, a definite no, certainly nothing, or a doubt."""

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from activities.faults import NotYet, asked_delay, back_off
from activities.results import Packed, keep, pack, settle_with
from activities.visit import DeadlineOver, Visit, within
from core.contract import Effect
from core.errors import LedgerDown, NotSent, Refused
from core.failpoints import reach
from core.messages import Kept
from core.ports import Call, Certainty, Ledger, Sorted, Tool, TransactionReceipt, Transactions
from core.receipts import Evidence, Move, Row, RowState, Settlement
from core.record import Json

Sleep = Callable[[float], Awaitable[None]]

MARK_LASTS = timedelta(seconds=2)
_ONE_TRY = timedelta(seconds=0.5)  # of a write that begins when the attempt is nearly over
_LOST_WITH_THE_ATTEMPT = (Evidence.ANSWER, Evidence.PROBE)  # a transaction's receipt and a person's word are not
_READ_BACKS = (0.0, 0.2, 1.0)  # seconds before each try of a tool's verify
_SAYS_NOTHING = re.compile(r"http_40[137]$|auth|credential|permission|forbidden", re.IGNORECASE)
_CONFLICT = re.compile(
    r"http_(404|409|410|412)$|conflict|exist|found|gone|precondition|version|stale|duplicate|already|integrity",
    re.IGNORECASE,
)


class Unwritten(Exception):
    """The tool answered, and the ledger was down until this attempt ended; `receipt` is to be written later."""

    def __init__(self, receipt: Kept) -> None:
        super().__init__("the ledger is down, and the answer is kept")
        self.receipt = receipt


class Sender:
    """Every method that returns a row returns it as it stands after the last thing that was written."""

    def __init__(self, ledger: Ledger, transactions: Transactions, sleep: Sleep) -> None:
        self._ledger = ledger
        self._transactions = transactions
        self._sleep = sleep

    async def dispatch(self, visit: Visit, tool: Tool, row: Row, marked: datetime) -> Row:
        """Send a row that was marked at `marked`. Raises NotYet when it is to be sent again later.

        A mark older than 2 s is not used: the process was stopped in between, and somebody else may have the row.
        """
        await reach("door.marked", row.key)
        if visit.clock() - marked > MARK_LASTS:
            await self.write(
                visit, row, lambda: self._ledger.release(row.key, row.fence, "the mark was too old to send")
            )
            raise NotYet("the dispatch mark was too old to send")
        call = visit.sending(tool, row)
        try:
            packed = await within(call.deadline - visit.clock(), self._apply(visit, tool, call, row))
        except Exception as error:  # noqa: BLE001 - a tool may raise anything; its own rules sort it
            visit.log.info("tool.failed", send=row.sends, error=type(error).__name__)
            await reach("door.answered", row.key)
            return await self._failed(visit, tool, row, _sorted(tool, error))
        await reach("door.answered", row.key)
        evidence = Evidence.TRANSACTION if row.effect is Effect.TRANSACTIONAL else Evidence.ANSWER
        return await self.succeed(visit, tool, row, packed, evidence)

    async def succeed(self, visit: Visit, tool: Tool, row: Row, packed: Packed, evidence: Evidence) -> Row:
        """Write the receipt first, then read back where the tool can."""
        known = True if evidence is Evidence.PROBE else None
        settled = await self.settle(visit, row, settle_with(packed, evidence, verified=known))
        if settled.state is RowState.SUCCEEDED and settled.verified is None:
            return await self.read_back(visit, tool, settled, packed.value)
        return settled

    async def succeed_by_receipt(self, visit: Visit, tool: Tool, row: Row, receipt: TransactionReceipt) -> Row:
        """Write what the database of a transactional tool says of a call."""
        packed = pack(receipt.result, tool.contract.result_cap)
        return await self.succeed(visit, tool, row, packed, Evidence.TRANSACTION)

    async def settle(self, visit: Visit, row: Row, settlement: Settlement) -> Row:
        """Write how a call ended. Raises Unwritten when that cannot be done, and the answer would be lost."""
        try:
            settled = await self.write(visit, row, lambda: self._ledger.settle(row.key, row.fence, settlement))
        except LedgerDown as error:
            if settlement.evidence not in _LOST_WITH_THE_ATTEMPT:
                raise
            raise Unwritten(keep(row, settlement)) from error
        await reach("door.settled", row.key)
        visit.log.info("tool.settled", state=settled.state, code=settled.code, evidence=settlement.evidence)
        return settled

    async def doubt(self, visit: Visit, row: Row, why: str) -> Row:
        """Write that nobody knows what became of a send."""
        return await self.write(visit, row, lambda: self._ledger.doubt(row.key, row.fence, why[:500]))

    async def ask(self, visit: Visit, row: Row, why: str) -> Row:
        """Leave a row that is in doubt to a person."""
        return await self.write(visit, row, lambda: self._ledger.move(row.key, row.fence, Move.ASK, why[:1_000]))

    async def write(self, visit: Visit, row: Row, write: Callable[[], Awaitable[Row | None]]) -> Row:
        """Write until the ledger takes it, as long as this attempt lasts; then LedgerDown, and the row speaks.

        When somebody else has the row meanwhile, what they made of it counts and is returned.
        """

        async def tried() -> Row:
            return await write() or await self.standing(row.key)

        pause = 0.05
        while True:
            try:
                return await within(max(visit.time_left, _ONE_TRY), tried())
            except (LedgerDown, DeadlineOver) as error:
                if not visit.has_time_for(timedelta(seconds=pause)):
                    visit.log.warning("receipt.not_written", state=row.state)
                    raise LedgerDown(str(error)) from error
            await self._sleep(pause)
            pause = min(pause * 2, 1.0)

    async def standing(self, key: str) -> Row:
        """Return a row as it stands. Raises NotYet when there is none."""
        if (row := await self._ledger.find(key)) is None:
            raise NotYet("the row of this call is gone")
        return row

    async def read_back(self, visit: Visit, tool: Tool, row: Row, result: Json) -> Row:
        """Ask the tool whether the effect is there, a few times within its timeout; then "done, not confirmed"."""
        if not tool.contract.has_verify:
            return row
        until = min(visit.clock() + tool.contract.timeout, visit.ends_at - timedelta(seconds=1))
        verified: bool | None = False
        for pause in _READ_BACKS:
            await self._sleep(pause)
            if visit.clock() >= until:
                break
            try:
                verified = await within(until - visit.clock(), tool.verify(visit.call(tool, row), row.args, result))
            except Exception as error:  # noqa: BLE001 - a read-back that fails confirms nothing; the receipt stands
                visit.log.warning("tool.not_read_back", error=str(error)[:300])
            if verified is not False:
                break
        await self._keep_verified(visit, row, verified)
        return row.model_copy(update={"verified": verified})

    async def _keep_verified(self, visit: Visit, row: Row, verified: bool | None) -> None:
        try:
            if verified is not None:
                await self._ledger.verified(row.key, verified)
        except LedgerDown:  # the receipt stands; `conclude` reads back what is not marked as verified
            visit.log.warning("verification.not_written", verified=verified)

    async def _apply(self, visit: Visit, tool: Tool, call: Call, row: Row) -> Packed:
        if row.effect is Effect.TRANSACTIONAL:
            return await self._in_transaction(visit, tool, call, row)
        return pack(await tool.send(call, row.args), tool.contract.result_cap)

    async def _in_transaction(self, visit: Visit, tool: Tool, call: Call, row: Row) -> Packed:
        """Apply effect and receipt in one transaction of the tool's database.

        An error before the commit began rolls both back, hence nothing was applied; one in the commit leaves a doubt.
        So does a process that is stopped until the deadline is over. One that is stopped between that last look and the
        commit may commit later: by then whoever wanted to know has waited for it, or has ruled it out.
        """
        is_committing = False
        opening = self._transactions.open(tool.contract.database or "", row.key, row.fingerprint, row.sends)
        try:
            async with opening as transaction:
                if transaction.existing is not None:
                    return pack(_same(transaction.existing, row).result, tool.contract.result_cap)
                result = await tool.send(replace(call, connection=transaction.connection), row.args)
                packed = pack(result, tool.contract.result_cap)
                await transaction.keep(packed.value)
                _look_at_deadline(visit, call)
                is_committing = True
        except Exception as error:
            found = _sorted(tool, error)
            if is_committing or found.certainty is not Certainty.UNKNOWN:
                raise
            raise NotSent(f"rolled back: {found.message}", found.retry_after) from error
        return packed

    async def _failed(self, visit: Visit, tool: Tool, row: Row, found: Sorted) -> Row:
        try:
            match found.certainty:
                case Certainty.NOT_SENT:
                    return await self._not_sent(visit, tool, row, found)
                case Certainty.REFUSED:
                    return await self._refused(visit, tool, row, found)
                case Certainty.UNKNOWN:
                    return await self._unknown(visit, row, found)
        finally:
            with suppress(LedgerDown):  # the row says what counts; the line tells people why
                fields = {"send": row.sends, **found.model_dump(mode="json", exclude={"retry_after"})}
                await self._ledger.record(visit.line("send.failed", fields))

    async def _not_sent(self, visit: Visit, tool: Tool, row: Row, found: Sorted) -> Row:
        why = f"{found.code}: {found.message}"[:500]
        released = await self.write(visit, row, lambda: self._ledger.release(row.key, row.fence, why))
        if released.state is RowState.IN_DOUBT or (row.sends < tool.contract.attempts and not released.state.is_final):
            raise NotYet(why, asked_delay(found.retry_after, row.sends))
        if released.state is RowState.RESERVED:
            return await self.cancel(visit, released, f"not sent in {row.sends} attempts; last: {why}")
        return released

    async def cancel(self, visit: Visit, row: Row, why: str) -> Row:
        """Give a row up that was certainly not applied."""
        return await self.write(visit, row, lambda: self._ledger.move(row.key, row.fence, Move.CANCEL, why[:500]))

    async def _refused(self, visit: Visit, tool: Tool, row: Row, found: Sorted) -> Row:
        no = Settlement(
            move=Move.REFUSE, evidence=Evidence.ANSWER, code=found.code[:100], message=found.message[:2_000]
        )
        if row.doubtful and row.effect is Effect.TRANSACTIONAL:
            return await self._refused_again(visit, tool, row, no)
        if not row.doubtful or not _may_follow_success(found):
            return await self.settle(visit, row, no)
        visit.log.info("refusal.not_believed", code=found.code)
        if (applied := await self._look_for(visit, tool, row)) is not None:
            return await self.succeed(visit, tool, row, applied, Evidence.PROBE)
        doubted = await self._unknown(visit, row, found)
        if row.sends < tool.contract.attempts or _SAYS_NOTHING.search(found.code):
            return doubted
        why = f"sent {row.sends} times; the last answer may come of the first send: {found.code}: {found.message}"
        return await self.ask(visit, doubted, why)  # it would say so again

    async def _refused_again(self, visit: Visit, tool: Tool, row: Row, no: Settlement) -> Row:
        """Believe the no of a transactional tool once no earlier send can commit any more."""
        try:
            receipt = await self._transactions.rule_out(tool.contract.database or "", row.key, row.sends)
        except LedgerDown as error:
            await self.doubt(visit, row, f"{no.code}: {no.message}; an earlier send may still commit")
            raise NotYet(str(error), back_off(row.sends)) from error
        if receipt is not None:
            return await self.succeed_by_receipt(visit, tool, row, receipt)
        return await self.settle(visit, row, no)

    async def _look_for(self, visit: Visit, tool: Tool, row: Row) -> Packed | None:
        """Ask the tool, where it can, whether the earlier, doubtful send was applied; None = not that we know."""
        call, limit = visit.call(tool, row), tool.contract.timeout
        try:
            if tool.contract.has_probe:
                found = await within(limit, tool.probe(call, row.args))
                return None if found is None else pack(found, tool.contract.result_cap)
            if await within(limit, tool.verify(call, row.args, None)):
                return pack(None, tool.contract.result_cap)
        except Exception as error:  # noqa: BLE001 - not confirmed; the doubt stays
            visit.log.warning("tool.not_read_back", error=str(error)[:300])
        return None

    async def _unknown(self, visit: Visit, row: Row, found: Sorted) -> Row:
        doubted = await self.doubt(visit, row, f"{found.code}: {found.message}")
        if found.retry_after is not None and row.effect in (Effect.IDEMPOTENT, Effect.KEYED):
            raise NotYet(found.message, asked_delay(found.retry_after, row.sends))
        return doubted


def pace(row: Row) -> datetime:
    """Return the moment from which a row in doubt may be sent again."""
    return (row.marked_at or row.opened_at) + back_off(row.sends)


def _sorted(tool: Tool, error: Exception) -> Sorted:
    if isinstance(error, DeadlineOver):
        return Sorted(certainty=Certainty.UNKNOWN, code="deadline", message=str(error))
    if isinstance(error, LedgerDown):  # the database of a transactional tool, before anything was done
        return Sorted(certainty=Certainty.NOT_SENT, code="database_down", message=str(error))
    return tool.sort(error)


def _look_at_deadline(visit: Visit, call: Call) -> None:
    if visit.clock() >= call.deadline:
        raise DeadlineOver("the process was stopped until the deadline was over")


def _same(receipt: TransactionReceipt, row: Row) -> TransactionReceipt:
    if receipt.fingerprint != row.fingerprint:
        raise Refused("key_conflict", "the tool's database has the receipt of another call under this key")
    return receipt


def _may_follow_success(found: Sorted) -> bool:
    """Whether an earlier send may have been applied although this one was refused.

    A conflict may be with our own first send, where the provider does not know the key; and who may call at all is
    looked at before the provider looks for an earlier answer.
    """
    if _SAYS_NOTHING.search(found.code):
        return True
    return _CONFLICT.search(found.code) is not None
