"""Finds out what became of a call that was sent and has no receipt: by the kind of its effect, or by a person.

::

    transactional   the receipt in the tool's own database; not there once the lease is over = send again, or (where it
                    is not wanted any more) leave a tombstone there, which keeps a stopped process from committing it
    idempotent      send again, beyond the tool's attempts too, for an hour; then as probed, or ask
    keyed           the same with the same key, inside half of its window
    probed          ask the provider: found counts at once, absent only after deadline + settle time
    unrepeatable    ask a person (after a probe, where there is one all the same)

A task that is ending begins nothing, but sending these again is how one finds out, so that is done for it too.
"""

from datetime import datetime, timedelta

from activities.faults import NotYet, back_off
from activities.results import cap_of, pack, settle_with, shorten
from activities.sending import Sender, pace
from activities.visit import Visit, finish, within
from core import names
from core.contract import Effect
from core.messages import OutcomeUnknown, Ruling
from core.outlook import is_sent_again, key_known_until
from core.ports import Ledger, Tool, Transactions
from core.receipts import Evidence, Move, Row, RowState, Settlement
from core.record import Json

WRITTEN_OFF, RULED = "written_off", "outcome.ruled"
_PROBING_LASTS = timedelta(hours=1)  # a probe that fails for longer will not decide it: then a person does
SHOWN_BYTES = 64_000


class Doubts:
    """Each method returns the row as it stands afterwards, or OutcomeUnknown; it raises NotYet while waiting helps."""

    def __init__(self, ledger: Ledger, transactions: Transactions, sender: Sender) -> None:
        self._ledger = ledger
        self._transactions = transactions
        self._sender = sender

    async def resolve(self, visit: Visit, row: Row) -> Row | OutcomeUnknown:
        """Take one step towards a known outcome of a row that is IN_FLIGHT, IN_DOUBT or NEEDS_PERSON."""
        if row.state is RowState.NEEDS_PERSON:
            return await self._by_person(visit, row)
        if visit.tool is None or visit.tool.contract.effect is not row.effect:
            self._wait_for_lease(visit, row)
            return await self._ask(visit, row, f"{row.tool} is not there any more as it was when it was sent")
        if row.effect is Effect.TRANSACTIONAL:
            return await self._by_receipt(visit, visit.tool, row)
        if row.effect in (Effect.IDEMPOTENT, Effect.KEYED) and _is_remembered(visit, visit.tool, row):
            return await self._resend_or_ask(visit, visit.tool, row)
        return await self._probe_or_ask(visit, visit.tool, row)

    async def put_aside(self, visit: Visit, row: Row, why: str) -> Row | OutcomeUnknown:
        """Leave a row that was sent to a person, without asking its tool anything."""
        if row.state is RowState.NEEDS_PERSON:
            return unknown(visit, row, why)
        self._wait_for_lease(visit, row)
        return await self._ask(visit, row, why)

    async def _by_receipt(self, visit: Visit, tool: Tool, row: Row) -> Row | OutcomeUnknown:
        database = tool.contract.database or ""
        if (receipt := await self._transactions.receipt(database, row.key)) is not None:
            return await self._sender.succeed_by_receipt(visit, tool, row, receipt)
        self._wait_for_lease(visit, row)
        is_wanted = not visit.is_given_up and not visit.order.settle_only
        if row.sends < tool.contract.attempts and is_wanted and visit.knows(row):
            return await self._resend(visit, tool, row)
        if (receipt := await self._transactions.rule_out(database, row.key, row.sends)) is not None:
            return await self._sender.succeed_by_receipt(visit, tool, row, receipt)
        return await self._absent(visit, row, "no receipt in the tool's database, where it is ruled out from now on")

    async def _resend_or_ask(self, visit: Visit, tool: Tool, row: Row) -> Row | OutcomeUnknown:
        self._wait_for_lease(visit, row)
        if visit.knows(row) and is_sent_again(row, tool.contract, visit.clock()) and not visit.is_given_up:
            return await self._resend(visit, tool, row)
        return await self._probe_or_ask(visit, tool, row)

    async def _probe_or_ask(self, visit: Visit, tool: Tool, row: Row) -> Row | OutcomeUnknown:
        if not tool.contract.has_probe:
            self._wait_for_lease(visit, row)
            return await self._ask(visit, row, _why(visit, tool, row))
        asked_at = visit.clock()  # not when the answer comes: what arrived in between is not in it
        try:
            found = await within(tool.contract.timeout, tool.probe(visit.call(tool, row), row.args))
        except Exception as error:  # noqa: BLE001 - a tool may raise anything
            return await self._probe_failed(visit, row, error)
        if found is not None:
            packed = pack(found, tool.contract.result_cap)
            return await self._sender.succeed(visit, tool, row, packed, Evidence.PROBE)
        if asked_at < _settled_at(row, tool):
            raise NotYet("not there yet; it may still arrive", _settled_at(row, tool) - visit.clock())
        if row.effect is Effect.UNREPEATABLE:
            return await self._ask(visit, row, "the provider does not know it, but it must not be repeated unasked")
        return await self._absent(visit, row, "the provider does not know it")

    async def _probe_failed(self, visit: Visit, row: Row, error: Exception) -> Row | OutcomeUnknown:
        visit.log.warning("probe.failed", error=str(error)[:300])
        since = row.send_deadline or row.opened_at
        if visit.clock() < since + _PROBING_LASTS:
            raise NotYet(f"cannot ask whether it happened: {error}"[:500], back_off(10)) from error
        return await self._ask(visit, row, f"the provider cannot be asked whether it happened: {error}"[:500])

    async def _resend(self, visit: Visit, tool: Tool, row: Row) -> Row:
        if (wait := pace(row) - visit.clock()) > timedelta(0):
            raise NotYet(f"outcome unknown; sent again as {row.effect}", wait)
        if not visit.has_time_for(tool.contract.timeout):
            raise NotYet("too little time is left in this attempt")
        return await finish(self._mark_and_send(visit, tool, row))

    async def _mark_and_send(self, visit: Visit, tool: Tool, row: Row) -> Row:
        marked = visit.clock()
        if not _is_remembered(visit, tool, row):  # the process may have been stopped since it was looked at
            raise NotYet("half the key window has passed meanwhile")
        deadline, lease = visit.deadline_and_lease(tool)
        again = await self._ledger.resend(row.key, row.fence, deadline=deadline, lease_until=lease, run_id=visit.run_id)
        if again is None:
            raise NotYet("somebody else has this call", back_off(1))
        return await self._sender.dispatch(visit, tool, again, marked)

    async def _absent(self, visit: Visit, row: Row, why: str) -> Row:
        row = await self._doubted(visit, row)
        return await self._sender.write(visit, row, lambda: self._ledger.move(row.key, row.fence, Move.ABSENT, why))

    async def _ask(self, visit: Visit, row: Row, why: str) -> Row | OutcomeUnknown:
        asked = await self._sender.ask(visit, await self._doubted(visit, row), why)
        return unknown(visit, asked, why) if asked.state is RowState.NEEDS_PERSON else asked

    async def _doubted(self, visit: Visit, row: Row) -> Row:
        if row.state is not RowState.IN_FLIGHT:
            return row
        doubted = await self._sender.doubt(visit, row, "no receipt was written in time")
        if doubted.state is not RowState.IN_DOUBT:
            raise NotYet("somebody else settled it meanwhile")
        return doubted

    async def _by_person(self, visit: Visit, row: Row) -> Row | OutcomeUnknown:
        ruling = visit.ruling_on(row)
        if ruling is None or await self._is_used(row, ruling):
            return unknown(visit, row, row.message or "only a person can say what became of it")
        await self.record(visit, row, ruling)
        match ruling.choice:
            case "happened":
                packed = pack(ruling.result, cap_of(visit.tool.contract if visit.tool else None))
                return await self._sender.settle(
                    visit, row, settle_with(packed, Evidence.PERSON, message=_said(ruling))
                )
            case "did_not_happen":
                why = _said(ruling)
                return await self._sender.write(
                    visit, row, lambda: self._ledger.move(row.key, row.fence, Move.ABSENT, why)
                )
            case "write_off":
                given_up = Settlement(
                    move=Move.WRITE_OFF, evidence=Evidence.PERSON, code=WRITTEN_OFF, message=_said(ruling)
                )
                return await self._sender.settle(visit, row, given_up)

    async def _is_used(self, row: Row, ruling: Ruling) -> bool:
        """Whether this ruling freed the row before: it spoke of an earlier send, and says nothing of the last one."""
        async for line in self._ledger.lines(row.task_id):
            is_this = line.event == RULED and line.key == row.key and line.fields["request"] == ruling.request_id
            if is_this and line.fields["sends"] != row.sends:
                return True
        return False

    async def record(self, visit: Visit, row: Row, ruling: Ruling) -> None:
        """Write down who said what of which send, before it is acted upon."""
        said = _line_of(ruling, row)
        visit.log.info(RULED, **said)
        await self._ledger.record(visit.line(RULED, said))

    def _wait_for_lease(self, visit: Visit, row: Row) -> None:
        if row.state is RowState.IN_FLIGHT and visit.clock() < row.lease_until:
            raise NotYet("the call is being made by another attempt", row.lease_until - visit.clock())


def unknown(visit: Visit, row: Row, why: str) -> OutcomeUnknown:
    """Say that only a person can tell."""
    shown = shorten(row.args, SHOWN_BYTES)
    digest = names.approval_digest(row.key, row.tool, row.args, row.contract_digest)
    return OutcomeUnknown(step=visit.order.step, reason=why[:1_000], args=shown, digest=digest, sends=row.sends)


def _settled_at(row: Row, tool: Tool) -> datetime:
    """Return the moment from which "not there" is believed."""
    deadline = row.send_deadline or row.lease_until
    return max(deadline + tool.contract.settle_time, row.lease_until if row.state is RowState.IN_FLIGHT else deadline)


def _is_remembered(visit: Visit, tool: Tool, row: Row) -> bool:
    until = key_known_until(row, tool.contract)
    return until is None or visit.clock() < until


def _why(visit: Visit, tool: Tool, row: Row) -> str:
    when = f" at {row.marked_at:%H:%M:%S} UTC" if row.marked_at else ""
    times = f", the last of {row.sends} times," if row.sends > 1 else ""
    sent = f"{row.tool} was sent{when}{times} and brought no answer that says what happened"
    sent += f" ({row.message[:300]})" if row.message else ""
    if row.effect is Effect.UNREPEATABLE:
        return f"{sent}; it can neither be repeated nor looked up"
    if not _is_remembered(visit, tool, row):
        return f"{sent}; the provider may have forgotten the key"
    return sent


def _line_of(ruling: Ruling, row: Row) -> dict[str, Json]:
    return {
        "request": ruling.request_id,
        "choice": ruling.choice,
        "by": ruling.by[:200],
        "evidence": ruling.evidence[:2_000],
        "sends": row.sends,
    }


def _said(ruling: Ruling) -> str:
    by = ruling.by[:100] or "somebody"
    evidence = f": {ruling.evidence[:1_000]}" if ruling.evidence else ""
    return f"{by} says {ruling.choice}{evidence}"
