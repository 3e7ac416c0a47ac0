"""Starts real workers out of a process that has loaded their code already, by forking it: 0.2 s instead of 4 s of CPU.

``python -m trials.storm.warm SOCKET`` listens on a Unix socket. A client sends one line of JSON, ``{"argv": [...],
"log": PATH, "environ": {...}}``, and is sent ``{"pid": N}``, and ``{"code": N}`` when the worker has ended. When the
client goes away, its worker is killed. Everything after the imports is `worker.main`, as on the command line.
"""

import ctypes
import json
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import worker
from cli.leaving import leave_process

_PARENT_DEATH_SIGNAL = 1


def serve(path: str) -> None:
    """Take orders until the process is ended."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(64)
    sys.stderr.write("warm.started\n")
    sys.stderr.flush()
    while True:
        client, _ = server.accept()
        pid = fork(client, server)
        threading.Thread(target=reap, args=(client, pid), daemon=True).start()
        threading.Thread(target=guard, args=(client, pid), daemon=True).start()


def fork(client: socket.socket, server: socket.socket) -> int:
    """Start one worker as the order says; return its pid, which leads a process group of its own."""
    order = json.loads(client.makefile().readline())
    pid = os.fork()
    if pid == 0:
        client.close()
        server.close()
        become_worker(order["argv"], Path(order["log"]), order["environ"])
    with suppress(OSError):  # it has done so itself, or has ended
        os.setpgid(pid, pid)
    client.sendall(json.dumps({"pid": pid}).encode() + b"\n")
    return pid


def become_worker(argv: list[str], log: Path, environ: dict[str, str]) -> NoReturn:
    """Be what `python worker.py` would be."""
    os.setpgid(0, 0)
    with suppress(AttributeError):  # only Linux has it
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)  # prctl(2): no worker outlives a storm cut short
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.chdir(log.parent)
    os.environ.clear()
    os.environ.update(environ)
    leave_process(worker.main(argv))


def reap(client: socket.socket, pid: int) -> None:
    """Tell the client when its worker has ended."""
    _, status = os.waitpid(pid, 0)
    with suppress(OSError):  # the client is gone as well
        client.sendall(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode() + b"\n")
        client.shutdown(socket.SHUT_RDWR)


def guard(client: socket.socket, pid: int) -> None:
    """Kill the worker when the client goes away."""
    with suppress(OSError):  # it has ended already
        while client.recv(1):
            pass
        os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    serve(sys.argv[1])
