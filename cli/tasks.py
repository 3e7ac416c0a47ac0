"""One task as the command line sees it: asked by queries, told by signals and the update `decide`."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

from pydantic import TypeAdapter, ValidationError
from temporalio.client import (
    Client,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from cli.errors import Declined, Unreachable
from cli.outcomes import Outcome, read_outcome
from core import names
from core.errors import CallerError
from core.record import Json
from core.task import TaskState
from core.views import RequestView, StatusView

_PATIENCE = timedelta(seconds=5)
_QUERIES, _PAUSE = 5, 0.2
_REQUESTS = TypeAdapter(list[RequestView])
_NO_ANSWER = (RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED, RPCStatusCode.FAILED_PRECONDITION)


class NoWorker(Unreachable):
    """The task is there, but no worker answers for it now."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task by its id. Every method raises CallerError when Temporal does not know it. `run_id` None: the latest."""

    client: Client
    id: str
    run_id: str | None = None

    @property
    def handle(self) -> WorkflowHandle[Any, Any]:
        """Temporal's handle of the run."""
        return self.client.get_workflow_handle(self.id, run_id=self.run_id)

    async def describe(self) -> WorkflowExecutionDescription:
        """Return what the server knows without asking a worker."""
        try:
            found = await self.handle.describe()
        except RPCError as error:
            self._unknown(error)
        if found.workflow_type != names.WORKFLOW:
            raise CallerError(f"{self.id!r} is a workflow {found.workflow_type!r}, not a task of Lastmile")
        return found

    async def outcome(self) -> Outcome | None:
        """Return how the task ended; None while it runs."""
        if (await self.describe()).status is WorkflowExecutionStatus.RUNNING:
            return None
        return await read_outcome(self.handle)

    async def wait(self) -> Outcome:
        """Wait for the end, for as long as it takes."""
        return await read_outcome(self.handle)

    async def status(self) -> StatusView:
        """Ask where the task stands. Raises NoWorker."""
        return StatusView.model_validate(await self._ask("status"))

    async def requests(self) -> list[RequestView]:
        """Ask what people are asked. Raises NoWorker."""
        return _REQUESTS.validate_python(await self._ask("requests"))

    async def state(self) -> TaskState | None:
        """Ask for everything; None when that is too large to be shown whole. Raises NoWorker."""
        try:
            return TaskState.model_validate(await self._ask("state"))
        except ValidationError:
            return None

    async def _ask(self, query: str) -> Json:
        for attempt in range(_QUERIES):
            try:
                return await self.handle.query(query, rpc_timeout=_PATIENCE)
            except WorkflowQueryFailedError as error:
                if names.ASK_AGAIN not in str(error) or attempt == _QUERIES - 1:
                    raise NoWorker(f"the task {self.id!r} cannot be shown now: {error}") from error
            except RPCError as error:
                self._unknown(error)
            await asyncio.sleep(_PAUSE)
        raise AssertionError(query)

    async def decide(self, answer: dict[str, Json]) -> dict[str, Json]:
        """Answer a request. Raises Declined with the reason, NoWorker."""
        try:
            accepted: dict[str, Json] = await self.handle.execute_update("decide", answer, rpc_timeout=_PATIENCE * 2)
        except WorkflowUpdateFailedError as error:
            cause = error.cause
            raise Declined(cause.message if isinstance(cause, ApplicationError) else str(cause)) from error
        except WorkflowUpdateRPCTimeoutOrCancelledError as error:
            raise self._silent() from error
        except RPCError as error:
            await self._told(error)
        return accepted

    async def tell(self, signal: str, said: Json) -> None:
        """Send a signal. Raises Declined when the task has ended."""
        try:
            await self.handle.signal(signal, said)
        except RPCError as error:
            await self._told(error)

    async def cancel(self, said: Mapping[str, Json] | None = None) -> None:
        """Ask for the cancellation. `said`: by whom and why, for the history only. Raises Declined after the end."""
        try:
            await self.handle.cancel(reason=json.dumps(said) if said else "")
        except RPCError as error:
            await self._told(error)

    async def _told(self, error: RPCError) -> NoReturn:
        if error.status is RPCStatusCode.NOT_FOUND and (ended := await self.outcome()):
            raise Declined(f"the task {self.id!r} has ended ({ended.status}); nothing can be said to it any more")
        self._unknown(error)

    def _unknown(self, error: RPCError) -> NoReturn:
        if error.status is RPCStatusCode.NOT_FOUND and "namespace" not in error.message.lower():
            raise CallerError(f"there is no task {self.id!r}; `python starter.py ls` lists those there are") from error
        if error.status in _NO_ANSWER:
            raise self._silent() from error
        raise error

    def _silent(self) -> NoWorker:
        return NoWorker(f"no worker answers for the task {self.id!r}: start one with `python worker.py`")
