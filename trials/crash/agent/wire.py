"""HTTP with nothing between the fail point and the system call that sends: the request leaves as one write.

So a process that is stopped at ``tool.sending`` is stopped, in effect, inside that call: it wakes up to send.
"""

# ruff: noqa: INP001 - an agent is a folder, loaded by path

import asyncio
import json
import os
from typing import Any
from urllib.parse import urlsplit

from core.failpoints import reach

PROVIDER = "CRASH_PROVIDER"


async def ask(method: str, path: str, key: str, body: Any = None) -> tuple[int, Any]:
    """Make one request; raises ConnectionError when the answer does not come, or not whole."""
    host, _, port = urlsplit(os.environ[PROVIDER]).netloc.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        content = json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {len(content)}\r\n"
        if method == "POST":
            await reach("tool.sending", key)
        writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + content)
        return _parsed(await reader.read())
    finally:
        writer.close()


def _parsed(answer: bytes) -> tuple[int, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    length = next((int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:")), -1)
    if length != len(body):
        raise ConnectionResetError("the connection was closed before the answer was whole")
    return int(lines[0].split()[1]), json.loads(body or b"null")
