"""Servers that answer without an end, and mean little by it."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain, repeat
from threading import Event, Thread

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
EMPTY = OK + b"Content-Length: 0\r\n\r\n"
MANY = 400

Pieces = Callable[[], Iterable[bytes]]
ENDLESS: dict[str, Pieces] = {
    "100 Continue": lambda: repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * MANY),
    "102 Processing": lambda: repeat(b"HTTP/1.1 102 Processing\r\nX: y\r\n\r\n" * MANY),
    "103 Early Hints": lambda: repeat(b"HTTP/1.1 103 \r\nLink: </a>\r\n\n" * MANY),
    "interim responses of one byte a packet": lambda: map(
        bytes, zip(b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000)
    ),
    "headers": lambda: chain([OK], repeat(b"X: y\r\n" * MANY)),
    "one long header": lambda: chain([OK, b"X: "], repeat(b"y" * 10_000)),
    "a long reason": lambda: chain([b"HTTP/1.1 200 "], repeat(b"y" * 10_000)),
    "chunks of one byte": lambda: chain([CHUNKED], repeat(b"1\r\nx\r\n" * MANY)),
    "chunks of three bytes, a packet each": lambda: chain([CHUNKED], repeat(b"3\r\nxyz\r\n")),
    "chunk extensions": lambda: chain([CHUNKED], repeat(b"1;a=" + b"y" * 9000 + b"\r\nx\r\n")),
    "one long chunk extension": lambda: chain([CHUNKED, b"1;a="], repeat(b"y" * 10_000)),
    "trailers": lambda: chain([CHUNKED, b"1\r\nx\r\n0\r\n"], repeat(b"X: y\r\n" * MANY)),
    "chunk lengths of zeros": lambda: chain([CHUNKED], repeat(b"0" * 9000)),
}


@contextmanager
def serving(pieces: Pieces, *, until: Event | None = None) -> Iterator[str]:
    """A bare socket that sends these to whoever connects, an empty 200 once `until` is set; its
    URL."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)

    def send(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.recv(65_536)
            for piece in [EMPTY] if until and until.is_set() else pieces():
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass  # closed with bytes unread, it would be reset

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                Thread(target=send, args=(connection,), daemon=True).start()

    thread = Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@contextmanager
def serving_apart(kind: str, count: int) -> Iterator[tuple[list[str], Callable[[], None]]]:
    """So many servers in a process of their own: their URLs, and what makes them answer 200."""
    command = [sys.executable, __file__, kind, str(count)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        urls = [process.stdout.readline().strip() for _ in range(count)]
        try:
            yield urls, process.stdin.close
        finally:
            process.kill()


def _serve(kind: str, count: int) -> None:
    over = Event()
    with ExitStack() as stack:
        for _ in range(count):
            print(stack.enter_context(serving(ENDLESS[kind], until=over)), flush=True)
        sys.stdin.read()
        over.set()
        Event().wait()


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
