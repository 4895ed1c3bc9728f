"""Real HTTP servers on ephemeral loopback ports that remember what they were sent."""

import socket
import ssl
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Received:
    """One request, with its moment by the monotonic clock; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float


def say(status: int, body: bytes = b"", **headers: str) -> Answer:
    """Answers at once; `Retry_After="2"` becomes `Retry-After: 2`."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def drip(handler: BaseHTTPRequestHandler) -> None:
    """Sends a status line and then a byte of a header every 50 ms, without an end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        handler.wfile.write(b"z")
        time.sleep(0.05)


def reset(handler: BaseHTTPRequestHandler) -> None:
    """Took the request, and the connection is reset before the answer gets out."""
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()
    handler.close_connection = True


class Receiver:
    """Gives its first request the first answer, and so on; the last answer repeats."""

    def __init__(
        self,
        *answers: Answer,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._answers = answers or (say(200),)
        self._lock = Lock()
        self.requests: list[Received] = []
        self.connections = 0
        kind = _QuietV6 if ":" in host else _Quiet
        self._server = kind((host, port), self._handler())
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.port: int = self._server.server_address[1]
        self.url = f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait(self, count: int, seconds: float = 60) -> list[Received]:
        """The requests so far, once there are so many."""
        end = time.monotonic() + seconds
        while len(self.requests) < count and time.monotonic() < end:
            time.sleep(0.01)
        assert len(self.requests) >= count, f"{len(self.requests)} of {count} requests came"
        return self.requests

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                receiver.connections += 1

            def do_GET(self) -> None:
                receiver._take(self)

            do_POST = do_GET  # noqa: N815 - http.server's name

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self._lock:
            answer = self._answers[min(len(self.requests), len(self._answers) - 1)]
            received = Received(handler.command, handler.path, headers, body, time.monotonic())
            self.requests.append(received)
        self.heard(received)
        answer(handler)

    def heard(self, received: Received) -> None:
        """Is told of each request before it is answered; for those who want to know more."""


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Senders that hang up are what the tests are about."""


class _QuietV6(_Quiet):
    address_family = socket.AF_INET6


class Canary:
    """Listens and counts connections; none may come."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._socket = socket.create_server((host, 0))
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]

    def sings(self) -> bool:
        """Whether nobody has connected."""
        try:
            self._socket.accept()[0].close()
        except BlockingIOError:
            return True
        return False

    def close(self) -> None:
        self._socket.close()
