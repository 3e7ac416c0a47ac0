"""An MCP server over stdio that is elsewhere: passes lines on to $TAU2_ADDRESS (HOST:PORT), and back.

A worker starts it as the server; it ends when either side does. Only the standard library: it starts often.
"""

import os
import socket
import sys
import threading


def main(address: str) -> None:
    """Pass on until one side ends."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port))) as connection:
        threading.Thread(target=pass_input, args=(connection,), daemon=True).start()
        with connection.makefile("rb") as lines:
            for line in lines:
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()


def pass_input(connection: socket.socket) -> None:
    """Send what comes in."""
    for line in sys.stdin.buffer:
        connection.sendall(line)
    connection.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main(os.environ["TAU2_ADDRESS"])
