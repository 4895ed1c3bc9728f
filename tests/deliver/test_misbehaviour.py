"""Receivers that answer in ways that no standard knows: each attempt still has its outcome."""

import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import repeat
from threading import Thread

import pytest

from boxyard_ledger import DeliveryState
from receivers import Receiver

from .conftest import Yard

DELIVERED = DeliveryState.DELIVERED
OK = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def answering(pieces: Iterable[bytes]) -> Iterator[str]:
    """A bare socket that sends these to whoever connects, whatever was asked; its URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.recv(65_536)
                    for piece in pieces:
                        connection.sendall(piece)

    thread = Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.mark.parametrize(
    ("pieces", "outcome"),
    [
        ([], "post-failed"),
        ([b"\x00\xff junk \r\n\r\n"], "post-failed"),
        ([b"HTTP/1.1 999 Whatever\r\nContent-Length: 0\r\n\r\n"], "status-999"),
        ([b"HTTP/1.1 20 Short\r\n\r\n"], "post-failed"),
        ([b"HTTP/1.1 -200 OK\r\n\r\n"], "post-failed"),
        ([b"HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n"], "delivered"),
        ([OK, b"X: " + b"x" * 2_000_000, b"\r\n\r\n"], "post-failed"),
        ([OK, b"X-\x00: \x00\r\n\r\n"], "post-failed"),
        ([OK, b"Content-Length: -5\r\n\r\n"], "post-failed"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n"], "post-failed"),
        ([b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"], "post-failed"),
        ([b"HTTP/1.1 429 No\r\nRetry-After: \xb2\xb3\r\nContent-Length: 0\r\n\r\n"], "status-429"),
        ([b"HTTP/1.1 503 No\r\nRetry-After: 1\r\nRetry-After: soon\r\n\r\n"], "status-503"),
        ([OK, b"Content-Length: 1000000\r\n\r\n", b"cut"], "delivered"),
        ([OK, b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\n"], "delivered"),
        ([OK, b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 100_000], "delivered"),
    ],
)
def test_any_answer_ends_an_attempt_and_delays_nobody(
    yard: Yard, pieces: Iterable[bytes], outcome: str
) -> None:
    judge(yard, pieces, outcome, deadline_s=60)


@pytest.mark.parametrize("word", [b"100 Continue", b"102 Processing"])
def test_an_answer_without_an_end_is_cut_off_and_delays_nobody(yard: Yard, word: bytes) -> None:
    judge(yard, repeat(b"HTTP/1.1 %b\r\n\r\n" % word), "post-failed", deadline_s=3)


def judge(yard: Yard, pieces: Iterable[bytes], outcome: str, *, deadline_s: float) -> None:
    settings = {"delivery_deadline_s": deadline_s, "delivery_schedule_s": ()}
    with answering(pieces) as url, Receiver() as quick, yard.delivering(**settings):
        odd = yard.cancel_job(callback={"url": url})
        assert yard.ended(yard.cancel_job(callback={"url": quick.url})).state is DELIVERED
        (line,) = yard.ended(odd).attempts
        assert line.outcome == outcome, line
