"""Forks workers: a process that has imported everything, and has no thread and no runtime, so that a fork is safe.

A worker costs a tenth of a second of CPU this way instead of four, most of which are imports (measured). One order a
line on standard input, as JSON; one line on standard output for each worker that starts or ends. Workers end with it,
and it ends with its standard input. Run as ``python -m trials.crash.zygote``.
"""

import asyncio
import ctypes
import gc
import os
import select
import signal
import sys
from pathlib import Path
from typing import NoReturn

import worker
from config.settings import load
from core import failpoints
from core.record import Record
from trials.crash.arming import Arm, Trap

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.02


class Order(Record):
    """A worker to be forked. `config`: its lastmile.toml; `log`: where it writes; `arm`: None = a clean worker."""

    number: int
    config: Path
    log: Path
    environ: dict[str, str]
    arm: Arm | None = None


class Started(Record):
    """A worker runs."""

    number: int
    pid: int


class Ended(Record):
    """A worker has ended; `code` is negative for a signal."""

    pid: int
    code: int


def main() -> int:
    """Fork until standard input ends."""
    gc.freeze()  # so that a worker's collector does not copy what it shares with us
    buffer, children = b"", set[int]()
    while True:
        if select.select([0], [], [], _POLL_S)[0]:
            if not (chunk := os.read(0, 65_536)):
                break
            *lines, buffer = (buffer + chunk).split(b"\n")
            children.update(_fork(Order.model_validate_json(line)) for line in lines)
        children.difference_update(_reap())
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    return 0


def _fork(order: Order) -> int:
    if (pid := os.fork()) == 0:
        _become(order)
    _say(Started(number=order.number, pid=pid))
    return pid


def _reap() -> list[int]:
    found: list[int] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        found.append(pid)
        _say(Ended(pid=pid, code=os.waitstatus_to_exitcode(status)))


def _say(what: Record) -> None:
    os.write(1, what.model_dump_json().encode() + b"\n")


def _become(order: Order) -> NoReturn:
    """Be the worker of an order, for the rest of this process."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.update(order.environ)
        if order.arm is not None:
            failpoints.arm(Trap(order.arm, order.log.parent))
        worker.configure_logs(is_for_people=False)
        asyncio.run(worker.serve(load(order.config), os.environ))
        code = 0
    except BaseException as error:  # noqa: BLE001 - nothing may return into the zygote's own loop
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
