"""One cell, staged: a task of one call, a worker that is met at the spot, what is done to it, and how it ended."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from datetime import timedelta
from signal import Signals
from typing import assert_never

from temporalio.client import WorkflowExecutionStatus, WorkflowHandle

from core.contract import Effect
from trials.crash.arming import REACHED, WOKE, Arm, Do
from trials.crash.cells import Cell
from trials.crash.evidence import find
from trials.crash.judging import Found
from trials.crash.nursery import Worker
from trials.crash.people import Owner
from trials.crash.resetting import reset
from trials.crash.stage import Props, Stage
from trials.crash.waiting import until
from trials.crash.words import LOST, Way

PAST_LEASE = timedelta(seconds=5.7)
"""The lease of a claim and that of a send of the agent's tools (3 s, and 2 more) last 5 s."""

HEARTBEAT_LOST = timedelta(seconds=3.6)
"""Long enough for Temporal to begin another attempt (3 s), and inside the lease."""

DOWN, DOWN_LONG = 2.0, 14.0
"""Seconds; an attempt of the agent's tools lasts at most 11 (3 s each to send and to probe, and 5)."""

LIMIT = timedelta(seconds=120)
_LOOK_S = 0.2
_OPEN = WorkflowExecutionStatus.RUNNING


class Scene:
    """Plays one cell. `armed` is the worker that something happens to, `others` take over."""

    def __init__(self, stage: Stage, cell: Cell, props: Props) -> None:
        self._stage = stage
        self._cell = cell
        self._props = props
        self._owner = Owner(props)
        self._armed: Worker | None = None
        self._others: list[Worker] = []

    async def play(self) -> Found:
        """Return what was found; never raises but for a bug of ours."""
        try:
            async with asyncio.timeout(LIMIT.total_seconds()):
                return await self._play()
        except TimeoutError:
            return await self._broken(f"did not end within {LIMIT.total_seconds():g} s")
        except Exception as error:  # noqa: BLE001 - one cell that cannot be staged must not hide the others
            return await self._broken(f"could not be staged: {type(error).__name__}: {error}"[:500])
        finally:
            await self._clear()

    async def _play(self) -> Found:
        await self._stage.target.script(self._props.task_id, self._cell.spot.script)
        self._armed = await self._stage.nursery.start(self._props.folder, self._props.environ, self._arm())
        handle = await self._props.start_task(self._stage.client)
        if self._cell.way is not Way.NOTHING:
            await self._met(self._armed)
            await self._strike(self._armed, handle)
        await self._ended(handle)
        exit_code = await self._armed.ended if self._cell.way is Way.TERM else None
        return await self._find(exit_code)

    # ---------------------------------------------------------------------------------------------- the spot

    @property
    def _is_at_provider(self) -> bool:
        return self._cell.spot.place == "provider"

    def _arm(self) -> Arm | None:
        place, way = self._cell.spot.place, self._cell.way
        if self._is_at_provider and way is not Way.DOWN:
            return None
        do = _DOES.get(way)
        if do is None:
            return None
        return Arm(
            place="tool.sending" if self._is_at_provider else place,
            key=self._props.key,
            do=do,
            seconds=DOWN_LONG if way in (Way.DOWN_LONG, Way.DOWN_KILL) else DOWN,
            then_kill_s=_THEN_KILL_S.get(way),
        )

    async def _met(self, worker: Worker) -> None:
        """Wait until the call is at its spot."""
        if self._is_at_provider:
            await self._stage.target.taken(self._props.task_id)
            return

        async def is_there() -> bool:
            if (self._props.folder / REACHED).exists():
                return True
            if worker.ended.done():
                raise RuntimeError(f"the worker ended with {worker.ended.result()} before it reached the place")
            return False

        await until(is_there)

    # -------------------------------------------------------------------------------------------- what is done

    async def _strike(self, worker: Worker, handle: WorkflowHandle[object, object]) -> None:
        """Do to the worker, or to its task, what the cell says. At a fail point the worker has done it to itself."""
        match self._cell.way:
            case Way.KILL | Way.DOWN_KILL:
                await self._killed(worker)
            case Way.STOP:
                self._send(worker, Signals.SIGSTOP)
                await asyncio.sleep(PAST_LEASE.total_seconds())
                worker.signal(Signals.SIGCONT)
                await self._drop()
            case Way.TERM:
                self._send(worker, Signals.SIGTERM)
                await self._take_over()
                await self._stage.target.release(self._props.task_id, "answer")
            case Way.RAISE | Way.DOWN | Way.DOWN_AFTER | Way.DOWN_LONG:
                await self._drop()
            case Way.ZOMBIE:
                await self._wake_after_takeover(worker, handle)
            case Way.TWO:
                await self._take_over()
                await asyncio.sleep(HEARTBEAT_LOST.total_seconds())
                worker.signal(Signals.SIGCONT)
            case Way.CANCEL:
                await handle.cancel()
                await self._drop()
            case Way.CANCEL_HEARD:
                await handle.cancel()
                await self._killed(worker)
            case Way.CANCEL_KILL:
                await self._frozen(worker, handle.cancel())
            case Way.TERMINATE:
                await self._frozen(worker, handle.terminate("the trial terminates it"))
            case Way.RESET | Way.RESET_LATE:
                is_late = self._cell.way is Way.RESET_LATE
                await self._frozen(worker, reset(self._stage.client, self._props.task_id, to_the_start=not is_late))
            case Way.NOTHING:
                raise AssertionError("nothing is to be done")
            case never:
                assert_never(never)

    def _send(self, worker: Worker, number: Signals) -> None:
        """Send the signal that a worker at a fail point has sent itself."""
        if self._is_at_provider:
            worker.signal(number)

    async def _killed(self, worker: Worker) -> None:
        self._send(worker, Signals.SIGKILL)
        await worker.ended
        await self._drop()
        await self._take_over()

    async def _frozen(self, worker: Worker, act: Awaitable[object]) -> None:
        """Let something happen to the task while its worker stands still, and kill the worker."""
        self._send(worker, Signals.SIGSTOP)
        await act
        worker.signal(Signals.SIGKILL)
        await worker.ended
        await self._drop()
        await self._take_over()

    async def _wake_after_takeover(self, zombie: Worker, handle: WorkflowHandle[object, object]) -> None:
        """Let another worker go as far as it can, then wake the first one up, and wait until it has nothing to do."""
        self._send(zombie, Signals.SIGSTOP)
        await self._take_over()
        if self._locks_others_out:
            await asyncio.sleep(PAST_LEASE.total_seconds())
        else:
            await until(lambda: self._is_as_far_as_it_gets(handle))
        if self._cell.spot.place == "tool.sending":
            await self._stage.target.change(self._props.task_id)
        zombie.signal(Signals.SIGCONT)
        await self._stage.target.release(self._props.task_id, "answer")
        await until(self._is_awake)
        zombie.signal(Signals.SIGTERM)
        await zombie.ended

    @property
    def _locks_others_out(self) -> bool:
        """Whether the stopped process holds an open transaction, so that nobody can take over before it wakes up."""
        return self._cell.kind is Effect.TRANSACTIONAL and self._cell.spot == LOST

    async def _is_as_far_as_it_gets(self, handle: WorkflowHandle[object, object]) -> bool:
        return (await handle.describe()).status is not _OPEN or await self._owner.is_asked(handle)

    async def _is_awake(self) -> bool:
        return self._is_at_provider or (self._props.folder / WOKE).exists()

    async def _take_over(self) -> None:
        self._others.append(await self._stage.nursery.start(self._props.folder, self._props.environ, None))

    async def _drop(self) -> None:
        await self._stage.target.release(self._props.task_id, "drop")

    # ------------------------------------------------------------------------------------------------- the end

    async def _ended(self, handle: WorkflowHandle[object, object]) -> None:
        """Answer whatever is asked, until nothing is open any more."""
        latest = self._stage.client.get_workflow_handle(handle.id)  # after a reset, not the run that was started

        async def is_over() -> bool:
            await self._owner.answer(latest)
            return (await latest.describe()).status is not _OPEN

        await until(is_over, every_s=_LOOK_S)
        if self._cell.way is Way.TERMINATE:
            await until(self._props.is_settled, every_s=_LOOK_S)

    async def _broken(self, why: str) -> Found:
        found = Found(applied=0, requests=0, status="?", broken=why)
        with suppress(Exception):  # what there is helps to see why
            return (await self._find(None)).model_copy(update={"broken": why})
        return found

    async def _find(self, exit_code: int | None) -> Found:
        return await find(self._stage.client, self._props, frozenset(self._owner.asked), exit_code)

    async def _clear(self) -> None:
        for worker in (self._armed, *self._others):
            if worker is not None:
                await worker.end()
        with suppress(Exception):  # the task may have ended, and the provider may hold nothing
            await self._drop()
            await self._stage.client.get_workflow_handle(self._props.task_id).terminate("the cell is over")


_THEN_KILL_S = {Way.DOWN_KILL: 0.5, Way.CANCEL_HEARD: 0.0}

_DOES: dict[Way, Do] = {
    Way.KILL: Do.KILL,
    Way.STOP: Do.STOP,
    Way.TERM: Do.TERM,
    Way.RAISE: Do.RAISE,
    Way.DOWN: Do.DOWN,
    Way.ZOMBIE: Do.STOP,
    Way.DOWN_AFTER: Do.DOWN_AFTER,
    Way.DOWN_LONG: Do.DOWN,
    Way.DOWN_KILL: Do.DOWN,
    Way.CANCEL: Do.HOLD,
    Way.CANCEL_KILL: Do.STOP,
    Way.CANCEL_HEARD: Do.HOLD,
    Way.TERMINATE: Do.STOP,
    Way.RESET: Do.STOP,
    Way.RESET_LATE: Do.STOP,
    Way.TWO: Do.STOP,
}
