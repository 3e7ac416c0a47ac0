"""Takes a call of a tool from where its row stands to a report.

::

    row of this key?  final -> its receipt | sent, no receipt -> doubts.py | none, RESERVED -> go on
    check -> similar call? -> preflight -> policy -> approvals -> claim -> MARK -> send -> receipt -> read back
             nothing has happened up to here; all of this may run again ->|

A pass either ends in one report, or moves the row and looks again, or raises NotYet and a later attempt looks.
"""

import asyncio
from datetime import timedelta
from typing import assert_never

from temporalio import activity

from activities.admission import Admission, Admitted
from activities.binding import superseded
from activities.doubts import SHOWN_BYTES, Doubts
from activities.faults import NotYet, back_off
from activities.poison import MOST
from activities.reading import Reading
from activities.results import report_of, shorten
from activities.sending import Sender
from activities.visit import Visit, finish
from core.errors import ApprovalUsed, LedgerDown, Stopped, TotalExceeded
from core.failpoints import reach
from core.messages import GrownOld, OutcomeUnknown, ToolRefused, ToolReport, ToolSucceeded, ToolUnavailable
from core.ports import Ledger
from core.receipts import Busy, Claimed, Conflict, Fenced, Move, Row, RowState, Standing, Twin

_MOST_STEPS = 20  # moves of one row in one pass; a call that goes well takes two
_CLAIM_LASTS = timedelta(seconds=5)
_GROWN_OLD = "what it rests on grew old before it was sent"


class Calling:
    """Makes calls, each as far as it gets in one attempt."""

    def __init__(self, ledger: Ledger, sender: Sender, doubts: Doubts) -> None:
        self._ledger = ledger
        self._sender = sender
        self._doubts = doubts
        self._admission = Admission(ledger)
        self._reading = Reading(ledger)

    async def make(self, visit: Visit) -> ToolReport:
        """Make one call. Raises NotYet where a later attempt has to go on."""
        if visit.tool and visit.is_unchanged and not visit.tool.contract.writes:
            return await self._reading.read(visit, await self._admission.admit(visit, None))
        row = await self._ledger.find(visit.order.key)
        is_sent = row is not None and row.state is not RowState.RESERVED
        is_to_settle = visit.order.settle_only  # by what was sent; the order may show the arguments cut
        if row is not None and is_sent and not is_to_settle and await self._admission.is_another_call(visit, row):
            return self._conflict(visit)
        for _ in range(_MOST_STEPS):
            found = await self._look(visit, row)
            if not isinstance(found, Row):
                return found
            row = found
        raise NotYet("the call does not come to rest", back_off(10))

    async def put_aside(self, visit: Visit) -> ToolReport:
        """End a call without touching its tool: it ended its worker again and again. Its row says what is known."""
        row = await self._ledger.find(visit.order.key)
        why = f"{visit.name} ended its worker {MOST} times in a row; it is put aside"
        visit.log.error("call.put_aside", row=row.state if row else "none")
        if visit.tool is not None and not visit.tool.contract.writes:
            return ToolUnavailable(step=visit.order.step, reason=why, attempts=visit.attempt)
        if row is None or row.state is RowState.RESERVED:
            args = shorten(visit.order.args, SHOWN_BYTES)
            return OutcomeUnknown(step=visit.order.step, reason=f"{why}, before it was sent", args=args)
        if not row.state.is_final:
            found = await self._doubts.put_aside(visit, row, why)
            if not isinstance(found, Row):
                return found
            row = found
        return await report_of(self._ledger, row, step=visit.order.step)

    async def _look(self, visit: Visit, row: Row | None) -> Row | ToolReport:
        """Take one step from where the row stands."""
        if row is None:
            return await self._start(visit, row)
        match row.state:
            case RowState.RESERVED:
                return await self._restart(visit, row)
            case RowState.CANCELLED if row.message == _GROWN_OLD:  # the report of it was lost
                return GrownOld(step=visit.order.step)
            case RowState.SUCCEEDED | RowState.FAILED | RowState.CANCELLED:
                return await report_of(self._ledger, row, step=visit.order.step)
            case RowState.IN_FLIGHT | RowState.IN_DOUBT | RowState.NEEDS_PERSON:
                return await self._doubts.resolve(visit, row)
        assert_never(row.state)

    async def _restart(self, visit: Visit, row: Row) -> Row | ToolReport:
        """Go on with a call that was claimed earlier, and was certainly not applied."""
        if (wait := row.lease_until - visit.clock()) > timedelta(0):
            raise NotYet("the call is being prepared by another attempt", wait)
        is_used_up = visit.tool is not None and row.sends >= visit.tool.contract.attempts
        if is_used_up and visit.ruling_on(row) is None:
            return await self._sender.cancel(visit, row, f"not applied in {row.sends} attempts")
        report = await self._start(visit, row)
        if isinstance(report, ToolRefused | ToolUnavailable | ToolSucceeded):
            dropped = await self._ledger.move(row.key, row.fence, Move.CANCEL, "not sent after all")
            if dropped is None:
                raise NotYet("somebody else took the call over")
        return report

    async def _start(self, visit: Visit, row: Row | None) -> Row | ToolReport:
        if visit.is_given_up:
            message = "it was certainly not applied, and whoever was asked did not want it sent"
            return ToolRefused(step=visit.order.step, code="not_wanted", message=message)
        if visit.order.settle_only:
            return ToolUnavailable(step=visit.order.step, reason="not sent: the task is ending")
        admitted = await self._admission.admit(visit, row)
        if not isinstance(admitted, Admitted):
            return admitted
        if not visit.has_time_for(admitted.tool.contract.timeout):
            raise NotYet("too little time is left in this attempt")
        await reach("door.admitted", visit.order.key)
        if row is not None and row.sends and (ruling := visit.ruling_on(row)) is not None:
            # the word frees this send: written down, it cannot free a later one
            await self._doubts.record(visit, row, ruling)
        return await finish(self._claim_and_send(visit, admitted))

    async def _claim_and_send(self, visit: Visit, admitted: Admitted) -> Row | ToolReport:
        claim = await self._ledger.claim(admitted.reservation, _CLAIM_LASTS)
        match claim:
            case Claimed(row=row):
                await reach("door.claimed", row.key)
                return await self._mark_and_send(visit, admitted, row)
            case Busy(until=until):
                raise NotYet("the call is being made by another attempt", until - visit.clock())
            case Standing(row=row):
                return row
            case Conflict():
                return self._conflict(visit)
            case Twin(row=row):
                return await self._admission.instead_of(visit, row)
            case Fenced():
                raise superseded(visit.order.task_id)
        assert_never(claim)

    async def _mark_and_send(self, visit: Visit, admitted: Admitted, row: Row) -> Row | ToolReport:
        if activity.is_cancelled():
            await self._ledger.release(row.key, row.fence, "cancelled before it was sent")
            raise asyncio.CancelledError
        if visit.has_grown_old:
            return await self._grown_old(visit, row)
        marked_at = visit.clock()
        marked = await self._mark(visit, admitted, row)
        if not isinstance(marked, Row):
            return marked
        visit.log.info("call.dispatched", send=marked.sends, approved_by=list(marked.approved_by))
        return await self._sender.dispatch(visit, admitted.tool, marked, marked_at)

    async def _mark(self, visit: Visit, admitted: Admitted, row: Row) -> Row | ToolReport:
        deadline, lease = visit.deadline_and_lease(admitted.tool)
        try:
            marked = await self._ledger.mark(
                row.key,
                row.fence,
                deadline=deadline,
                lease_until=lease,
                approvals=admitted.approvals,
                totals=admitted.totals,
            )
        except ApprovalUsed as error:
            await self._ledger.release(row.key, row.fence, str(error))
            return await self._admission.ask_again(visit, admitted, str(error))
        except Stopped as error:
            await self._ledger.release(row.key, row.fence, str(error))
            raise
        except TotalExceeded as error:  # another call took the rest meanwhile: policy has to look again
            await self._ledger.release(row.key, row.fence, str(error))
            raise NotYet(str(error)) from error
        except LedgerDown:  # perhaps it is marked, but nothing was sent: say so, or a person would be asked
            await self._sender.write(visit, row, lambda: self._ledger.release(row.key, row.fence, "not sent"))
            raise
        if marked is None:
            raise NotYet("somebody else has this call", back_off(1))
        return marked

    async def _grown_old(self, visit: Visit, row: Row) -> GrownOld:
        """Give the call back, to be made with what is true now; one that is stopped only once it may go on."""
        stop = next((one for one in await self._ledger.stops() if one.covers(row.tool, row.agent)), None)
        if stop is not None:
            await self._ledger.release(row.key, row.fence, str(stop))
            raise Stopped(str(stop))
        if await self._ledger.move(row.key, row.fence, Move.CANCEL, _GROWN_OLD) is None:
            raise NotYet("somebody else took the call over")
        visit.log.info("call.grown_old")
        return GrownOld(step=visit.order.step)

    def _conflict(self, visit: Visit) -> ToolRefused:
        visit.log.warning("call.refused", code="key_conflict")
        message = "this call's key belongs to a call with other arguments; nothing was sent"
        return ToolRefused(step=visit.order.step, code="key_conflict", message=message)
