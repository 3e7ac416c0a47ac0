"""Ctrl-C while modules are loaded (0.4 s and more). Imports next to nothing, so as to stand before all else."""

import os
import signal


def leave_on_interrupt() -> None:
    """Let Ctrl-C end the process without a word: there is nothing to be heard out yet.

    Where it is ignored, as it is for a job in the background of a script, it stays so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def raise_on_interrupt() -> None:
    """Take back `leave_on_interrupt`: from now on Ctrl-C is a KeyboardInterrupt."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(*_: object) -> None:
    os._exit(130)
