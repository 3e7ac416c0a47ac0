"""What happens to a worker at a fail point: it is killed, stopped, asked to end, or an error or an outage begins."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable
from enum import StrEnum
from pathlib import Path
from typing import assert_never

from temporalio import activity

from core.errors import LedgerDown
from core.record import Record

REACHED, WOKE = "reached", "woke"
_BEFORE_A_TRANSACTION = ("ledger.read", "ledger.write")
_POLL_S = 0.02


class Do(StrEnum):
    """What a fail point does. `hold` lasts until Temporal has told this attempt that it is cancelled."""

    KILL = "kill"
    STOP = "stop"
    TERM = "term"
    RAISE = "raise"
    DOWN = "down"
    DOWN_AFTER = "down after the commit"
    HOLD = "hold"


class Arm(Record):
    """One fail point of one call.

    ``seconds``: how long the ledger is down. ``then_kill_s``: kill -9 that much after this began, or after a hold.
    """

    place: str
    key: str
    do: Do
    seconds: float = 0.0
    then_kill_s: float | None = None


class Injected(Exception):
    """An error that nobody expects, as a bug raises it."""


class Trap:
    """``core.failpoints.Fail``: acts the first time that the place is reached with the key.

    Leaves the file ``reached`` in `folder` before it acts, and ``woke`` when a stopped process goes on.
    """

    def __init__(self, arm: Arm, folder: Path) -> None:
        self._arm = arm
        self._folder = folder
        self._is_sprung = False
        self._down_until = 0.0
        self._loses_next_commit = False

    def __call__(self, place: str, key: str) -> Awaitable[None] | None:
        if place in _BEFORE_A_TRANSACTION and time.monotonic() < self._down_until:
            raise LedgerDown("the trial has cut the ledger off")
        if place == "ledger.wrote" and self._loses_next_commit:
            self._loses_next_commit = False
            self._cut_off()
            raise LedgerDown("the trial has lost the answer of a commit")
        if self._is_sprung or (place, key) != (self._arm.place, self._arm.key):
            return None
        self._is_sprung = True
        (self._folder / REACHED).touch()
        return self._act()

    def _act(self) -> Awaitable[None] | None:
        match self._arm.do:
            case Do.KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            case Do.STOP:
                os.kill(os.getpid(), signal.SIGSTOP)
                (self._folder / WOKE).touch()
            case Do.TERM:
                os.kill(os.getpid(), signal.SIGTERM)
            case Do.RAISE:
                raise Injected(f"the trial raises at {self._arm.place}")
            case Do.DOWN:
                self._cut_off()
            case Do.DOWN_AFTER:
                self._loses_next_commit = True
            case Do.HOLD:
                return self._hold()
            case never:
                assert_never(never)
        return None

    async def _hold(self) -> None:
        while not activity.is_cancelled():  # noqa: ASYNC110 - this process learns of it with a heartbeat
            await asyncio.sleep(_POLL_S)
        self._kill_later()

    def _cut_off(self) -> None:
        self._down_until = time.monotonic() + self._arm.seconds
        self._kill_later()

    def _kill_later(self) -> None:
        if self._arm.then_kill_s is not None:
            asyncio.get_running_loop().call_later(self._arm.then_kill_s, os.kill, os.getpid(), signal.SIGKILL)
