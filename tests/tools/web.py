"""A web server on loopback that answers as its path says, and ports at which nobody does."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

REFUSAL = b'{"error": {"message": "no such thing", "type": "card_error", "code": "card_declined"}}'


class _Handler(BaseHTTPRequestHandler):
    """``/STATUS?Header=Value`` answers so; ``/lost`` takes the request and hangs up; ``/slow`` never answers."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        word = url.path.split("/")[1]
        if word == "slow":
            _server(self).released.wait(30)
        if not word.isdigit():
            self.close_connection = True
            return
        self.send_response(int(word))
        for name, value in parse_qsl(url.query):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(REFUSAL)))
        self.end_headers()
        self.wfile.write(REFUSAL)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's word
        return


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    released: threading.Event

    def handle_error(self, request: object, client_address: object) -> None:
        return  # clients hang up here: that is what is tested


def _server(handler: _Handler) -> _Server:
    assert isinstance(handler.server, _Server)
    return handler.server


@contextmanager
def serving() -> Iterator[str]:
    """Serve until the end of the block; yields the address."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.released = threading.Event()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.released.set()
            server.shutdown()
            thread.join()


@contextmanager
def refusing() -> Iterator[int]:
    """Hold a port on which connections are refused: bound, so that nobody else takes it, and never listened at."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])
