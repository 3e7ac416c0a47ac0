"""The one person of the crash matrix: answers what is asked, truthfully, after a look at the provider."""

from contextlib import suppress
from typing import Any

from temporalio.client import (
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
)
from temporalio.service import RPCError

from core import names
from trials.crash.stage import Props

_ASKING = ("AWAITING_PERSON", "AWAITING_APPROVAL")


class Owner:
    """`asked`: the kinds of all requests that were seen."""

    def __init__(self, props: Props) -> None:
        self._props = props
        self.asked: set[str] = set()

    async def is_asked(self, handle: WorkflowHandle[Any, Any]) -> bool:
        """Whether the task waits for a person, going by what it shows to everybody."""
        shown = (await handle.describe()).search_attributes.get(names.STATUS_ATTRIBUTE, [])
        return any(status in _ASKING for status in shown)

    async def answer(self, handle: WorkflowHandle[Any, Any]) -> None:
        """Answer every open request; what is not taken is asked again soon, or is not open any more."""
        if not await self.is_asked(handle):
            return
        with suppress(WorkflowQueryFailedError, WorkflowQueryRejectedError, WorkflowUpdateFailedError, RPCError):
            for request in await handle.query("requests"):
                self.asked.add(request["kind"])
                await handle.execute_update("decide", await self._decision(request))

    async def _decision(self, request: dict[str, Any]) -> dict[str, Any]:
        bound = {"request_id": request["id"], "digest": request["digest"], "by": "lead"}
        if request["kind"] != "outcome":
            return {**bound, "choice": "retry"}
        has_happened = (await self._props.counts()).applied > 0
        evidence = "looked it up at the provider"
        return {**bound, "choice": "happened" if has_happened else "did_not_happen", "evidence": evidence}
