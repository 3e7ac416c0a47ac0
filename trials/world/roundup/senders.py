"""Finds the process that a connection comes from, by Linux's own tables (proc(5): net/tcp, and the links in PID/fd)."""

from collections.abc import Iterable
from pathlib import Path

_TCP = Path("/proc/net/tcp")


def sender_of(port: int, pids: Iterable[int]) -> int | None:
    """Return which of the processes holds the connection from `port` of 127.0.0.1; None when none of them does."""
    inode = _inode_of(port)
    return next((pid for pid in pids if inode in _sockets_of(pid)), None)


def _inode_of(port: int) -> str:
    """Return the inode of the socket whose own port it is; "" when it is closed."""
    mine = f"0100007F:{port:04X}"
    rows = [line.split() for line in _TCP.read_text(encoding="ascii").splitlines()[1:]]
    return next((row[9] for row in rows if row[1] == mine), "")


def _sockets_of(pid: int) -> set[str]:
    found = set()
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            found.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    except OSError:  # it has just ended, or closed a file
        return found
    return found
