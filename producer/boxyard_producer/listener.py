"""A local receiver of callbacks: verifies each, tells of it, and may pass it on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Self

import httpx

from .webhooks import Headers, WebhookEvent, WebhookInvalid, verify

MAX_BYTES = 1 << 20
"""Far more than the service sends."""
_PATIENCE_S = 30.0
_OF_THE_CONNECTION = {
    b"connection",
    b"content-length",
    b"expect",
    b"host",
    b"keep-alive",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
}

Header = tuple[bytes, bytes]


@dataclass(frozen=True)
class Arrival:
    """One request, and what became of it.

    Attributes:
        event: what it says; None when it is not valid.
        error: why it is not valid.
        times: how often a valid event of this id has come by now; 0 when it is not valid.
        size: of the body, in bytes.
        answer: HTTP status.
        seconds: until the answer.
    """

    event: WebhookEvent | None
    error: WebhookInvalid | None
    times: int
    size: int
    answer: int
    seconds: float


@dataclass(frozen=True)
class Answer:
    """What the sender is told."""

    status: int
    headers: tuple[Header, ...] = ()
    body: bytes = b""


class Listener:
    """Listens when it is made; serves until it is closed.

    Args:
        secrets: of which one must have signed.
        heard: is told of each request, never of two at once.
        host: address to listen on.
        port: 0 takes a free one.
        forward: URL that gets every request as it came, and whose answer goes back.

    Raises:
        OSError: somebody listens there.
    """

    def __init__(
        self,
        secrets: Sequence[str],
        heard: Callable[[Arrival], None],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        forward: str | None = None,
    ) -> None:
        self._secrets, self._heard, self._forward = secrets, heard, forward
        self._client = httpx.Client(timeout=_PATIENCE_S, trust_env=False)
        self._times: Counter[str] = Counter()
        self._lock = Lock()
        self._server = ThreadingHTTPServer((host, port), _handler(self))
        self.url = f"http://{host}:{self._server.server_port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()
        self._client.close()

    def serve(self) -> None:
        """Answers until `stop` is called from another thread, or an exception ends it."""
        self._server.serve_forever(poll_interval=0.1)

    def stop(self) -> None:
        """Ends `serve`."""
        self._server.shutdown()

    def take(self, headers: Headers, body: bytes) -> Answer:
        """Verifies a request, passes it on and tells of it."""
        began = time.monotonic()
        event, error = self._judge(headers, body)
        answer = self._pass_on(headers, body) if self._forward else _own(error)
        seconds = time.monotonic() - began
        with self._lock:
            times = 0
            if event:
                self._times[event.id] += 1
                times = self._times[event.id]
            self._heard(Arrival(event, error, times, len(body), answer.status, seconds))
        return answer

    def _judge(
        self, headers: Headers, body: bytes
    ) -> tuple[WebhookEvent | None, WebhookInvalid | None]:
        try:
            return verify(headers, body, self._secrets), None
        except WebhookInvalid as error:
            return None, error

    def _pass_on(self, headers: Headers, body: bytes) -> Answer:
        """The very bytes and headers, but for those of the connection."""
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        try:
            request = httpx.Request(
                "POST", self._forward or "", headers=_lasting(raw), content=body
            )
            answer = self._client.send(request, stream=True)
            try:
                answered = b"".join(answer.iter_raw())
            finally:
                answer.close()
        except (httpx.TransportError, httpx.InvalidURL) as error:
            said = f"{self._forward} gave no answer: {type(error).__name__} {error}\n"
            return Answer(HTTPStatus.BAD_GATEWAY, body=said.encode())
        return Answer(answer.status_code, tuple(_lasting(answer.headers.raw)), answered)


def _own(error: WebhookInvalid | None) -> Answer:
    if error is None:
        return Answer(HTTPStatus.NO_CONTENT)
    return Answer(error.status, body=f"{error.reason}: {error.detail}\n".encode())


def _lasting(headers: Sequence[Header]) -> list[Header]:
    return [pair for pair in headers if pair[0].lower() not in _OF_THE_CONNECTION]


def _handler(listener: Listener) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = _PATIENCE_S
        wbufsize = -1  # or head and body go out as two packets, and the second one waits 40 ms

        def do_POST(self) -> None:
            size = self.headers.get("Content-Length", "")
            if not (size.isascii() and size.isdecimal()):
                self._refuse(HTTPStatus.LENGTH_REQUIRED)
            elif int(size) > MAX_BYTES:
                self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            else:
                self._answer(listener.take(self.headers, self.rfile.read(int(size))))

        def _refuse(self, status: HTTPStatus) -> None:
            self.close_connection = True  # its body stays unread
            self._answer(Answer(status))

        def _answer(self, answer: Answer) -> None:
            self.send_response_only(answer.status)
            for name, value in answer.headers:
                self.send_header(name.decode("latin-1"), value.decode("latin-1"))
            if answer.status >= 200 and answer.status not in (204, 304):
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Each request is told of once, by its listener."""

    return Handler
