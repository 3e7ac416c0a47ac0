"""Calls that change nothing: asked again while that helps, kept only as an observation in the audit."""

from datetime import datetime

from activities.admission import Admitted
from activities.faults import NotYet, asked_delay
from activities.results import Packed, pack, shorten
from activities.visit import Visit, within
from core.messages import ToolRefused, ToolReport, ToolSucceeded, ToolUnavailable
from core.ports import Certainty, Ledger, Sorted, Tool
from core.record import Json

OBSERVED = "tool.observed"
_SHOWN_ARGS = 4_000


class Reading:
    """Reads through a tool."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def read(self, visit: Visit, admitted: Admitted | ToolReport) -> ToolReport:
        """Read, if that was admitted, and record what was seen."""
        if not isinstance(admitted, Admitted):
            return admitted
        tool, args, started = admitted.tool, admitted.checked.args, visit.clock()
        try:
            result = await within(tool.contract.timeout, tool.send(visit.call(tool, None), args))
        except Exception as error:  # noqa: BLE001 - a tool may raise anything; its own rules sort it
            visit.log.info("tool.failed", error=type(error).__name__)
            return self._failed(visit, tool, tool.sort(error))
        return await self._observe(visit, args, pack(result, tool.contract.result_cap), started)

    def _failed(self, visit: Visit, tool: Tool, found: Sorted) -> ToolReport:
        if found.certainty is Certainty.REFUSED:
            return ToolRefused(step=visit.order.step, code=found.code[:100], message=found.message[:2_000])
        if visit.attempt < tool.contract.attempts:
            raise NotYet(found.message[:500], asked_delay(found.retry_after, visit.attempt))
        return ToolUnavailable(step=visit.order.step, reason=found.message[:2_000], attempts=visit.attempt)

    async def _observe(self, visit: Visit, args: dict[str, Json], seen: Packed, started: datetime) -> ToolSucceeded:
        blob = None if seen.fits_inline else await self._ledger.keep(visit.order.task_id, seen.body)
        kept: dict[str, Json] = {"result": seen.value} if blob is None else {"blob": blob, "preview": seen.preview}
        latency_ms = round((visit.clock() - started).total_seconds() * 1000)
        fields = {"args": shorten(args, _SHOWN_ARGS), **kept, "size": seen.size, "latency_ms": latency_ms}
        await self._ledger.record(visit.line(OBSERVED, fields))
        visit.log.info(OBSERVED, size=seen.size, latency_ms=latency_ms)
        if blob is None:
            return ToolSucceeded(step=visit.order.step, result=seen.value, size=seen.size)
        return ToolSucceeded(step=visit.order.step, blob=blob, size=seen.size, preview=seen.preview)
