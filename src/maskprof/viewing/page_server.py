"""One page on 127.0.0.1."""

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from maskprof.errors import ConfigError

HOST = "127.0.0.1"
# Where TensorBoard looks for a free port too.
_FIRST_PORT, _PORTS = 6006, 10


@contextmanager
def serving(page: str, port: int | None) -> Iterator[str]:
    """An HTML page at `/` while the context lasts; gives its address.

    Args:
        page: the page.
        port: None is the next free one from 6006 on, 0 any free one.

    Raises:
        ConfigError: the port is taken, or may not be used.
    """
    server = _bound(_handler(page.encode()), port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{HOST}:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def _bound(handler: type[BaseHTTPRequestHandler], port: int | None) -> ThreadingHTTPServer:
    ports = range(_FIRST_PORT, _FIRST_PORT + _PORTS) if port is None else (port,)
    for chosen in ports:
        try:
            return ThreadingHTTPServer((HOST, chosen), handler)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ConfigError(f"--port: {chosen} cannot be used: {error.strerror or error}") from None
    if port is None:
        raise ConfigError(f"--port: all ports from {ports[0]} to {ports[-1]} are in use; choose another")
    raise ConfigError(f"--port: {port} is in use; choose another, or leave it out for the next free one")


def _handler(body: bytes) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/":
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_message: object) -> None:
            """Say nothing: the terminal holds the address."""

    return Handler
