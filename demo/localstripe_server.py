"""Serve localstripe on a socket that is already open: ``localstripe_server.py FILE_DESCRIPTOR``.

localstripe is licensed under the GPL and runs as this process of its own. Two of its habits are changed here: its own
command line listens on all interfaces, and it writes its state to one fixed path, where two instances clash. Ours
listens where it is told, and its state lives as long as the process.
"""

import socket
import sys

from aiohttp import web
from localstripe import resources
from localstripe.server import app


def main(descriptor: int) -> None:
    """Serve until SIGTERM."""
    resources.Store.dump_to_disk = lambda _: None
    web.run_app(app, sock=socket.socket(fileno=descriptor), print=None)


if __name__ == "__main__":
    main(int(sys.argv[1]))
