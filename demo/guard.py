"""Run a program for as long as the process that started us lives: ``guard.py PROGRAM [ARGUMENT...]``.

Standard input is a pipe of the owner that nobody writes to. Its end means that the owner is gone, however it died, so
the program ends too. A script of its own (never imported): it works on every Unix and needs only the standard library.
"""

import os
import signal
import subprocess
import sys
import threading

GRACE_S = 5.0
"""Seconds between the polite signal and the final one."""


def main(command: list[str]) -> int:
    """Run the command and return its exit code."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False)  # noqa: S603 - our owner's own words
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    threading.Thread(target=end_with_owner, args=(child,), daemon=True).start()
    return child.wait()


def end_with_owner(child: subprocess.Popen[bytes]) -> None:
    """Wait until the owner closes its end of our standard input, then end the child."""
    os.read(0, 1)  # not sys.stdin: a thread that holds its lock makes the interpreter's own end fail
    child.terminate()
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
