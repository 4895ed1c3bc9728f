"""Caps on bytes and on time, redirects, and how failures are told: faults 27 and 32."""

import gzip
import ssl
import threading
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest

from boxyard_schemas.errors import Permanent, Retryable
from boxyard_worker.egress import Egress, EgressSettings
from certificates import certificate_for
from receivers import Receiver, drip, reset, say

SETTINGS = EgressSettings(allowed_networks=("127.0.0.0/8",), allowed_ports=frozenset())


def fetch(url: str, *, max_bytes: int = 100_000, deadline_s: float = 20) -> bytes:
    with Egress(SETTINGS) as egress:
        return egress.fetch(url, max_bytes=max_bytes, deadline_s=deadline_s)


def test_redirects_are_followed_three_times_and_no_further() -> None:
    onward = say(302, Location="/next")
    with Receiver(onward, onward, onward, say(200, b"there")) as receiver:
        assert fetch(receiver.url) == b"there"
    with Receiver(onward) as receiver, pytest.raises(Permanent) as failure:
        fetch(receiver.url)
    assert failure.value.reason == "too-many-redirects"
    assert len(receiver.requests) == 4


def test_a_post_follows_no_redirect() -> None:
    with Receiver(say(307, Location="/elsewhere")) as receiver, Egress(SETTINGS) as egress:
        answer = egress.post(receiver.url, b"event", {"webhook-id": "dlv_1"}, 20)
    assert (answer.status, len(receiver.requests)) == (307, 1)
    assert receiver.requests[0].headers["webhook-id"] == "dlv_1"
    assert receiver.requests[0].body == b"event"


def test_a_body_over_the_cap_is_refused_with_and_without_its_length() -> None:
    def endless(handler) -> None:  # type: ignore[no-untyped-def] # http.server's handler
        handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
        while True:
            handler.wfile.write(b"x" * 10_000)

    for answer in (say(200, b"x" * 100_001), endless):
        with Receiver(answer) as receiver, pytest.raises(Permanent) as failure:
            fetch(receiver.url)
        assert failure.value.reason == "too-large"


def test_a_body_that_fits_exactly_is_read() -> None:
    body = bytes(range(250)) * 400
    packed = say(200, gzip.compress(body), Content_Encoding="gzip")
    with Receiver(say(200, body), packed) as receiver:
        assert fetch(receiver.url) == body
        assert fetch(receiver.url) == body


def gzip_bomb(megabytes: int) -> bytes:
    packer, nothing = zlib.compressobj(9, wbits=31), bytes(1_000_000)
    return b"".join(packer.compress(nothing) for _ in range(megabytes)) + packer.flush()


def test_a_gzip_bomb_is_capped_before_it_is_memory() -> None:
    bomb = gzip_bomb(500)
    tracemalloc.start()
    answer = say(200, bomb, Content_Encoding="gzip")
    with Receiver(answer) as receiver, pytest.raises(Permanent) as failure:
        fetch(receiver.url, max_bytes=1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert failure.value.reason == "too-large"
    assert peak < 10_000_000


def test_an_encoding_that_nobody_asked_for_is_refused() -> None:
    answer = say(200, b"?", Content_Encoding="br")
    with Receiver(answer) as receiver, pytest.raises(Permanent) as failure:
        fetch(receiver.url)
    assert failure.value.reason == "fetch-encoding"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 304])
def test_a_refusal_is_permanent(status: int) -> None:
    with Receiver(say(status)) as receiver, pytest.raises(Permanent) as failure:
        fetch(receiver.url)
    assert failure.value.reason == f"status-{status}"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_server_in_trouble_may_be_asked_again(status: int) -> None:
    with Receiver(say(status)) as receiver, pytest.raises(Retryable) as failure:
        fetch(receiver.url)
    assert failure.value.reason == f"status-{status}"


def test_a_closed_port_a_reset_and_a_broken_body_may_be_asked_again() -> None:
    def broken(handler) -> None:  # type: ignore[no-untyped-def] # http.server's handler
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        handler.close_connection = True

    with Receiver(reset, broken) as receiver:
        for _ in range(2):
            with pytest.raises(Retryable, match=r"\w") as failure:
                fetch(receiver.url)
            assert failure.value.reason == "fetch-failed"
    with pytest.raises(Retryable):
        fetch(receiver.url)


@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_slow_drip_is_cut_at_the_deadline(part: str) -> None:
    def drip_body(handler) -> None:  # type: ignore[no-untyped-def] # http.server's handler
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
        while True:
            handler.wfile.write(b"z")
            time.sleep(0.05)

    with Receiver(drip if part == "headers" else drip_body) as receiver:
        began = time.monotonic()
        with pytest.raises(Retryable):
            fetch(receiver.url, deadline_s=1)
        assert 0.9 < time.monotonic() - began < 10


def test_a_resolver_that_hangs_is_left_behind_at_the_deadline() -> None:
    hung = threading.Event()

    def resolver(host: str, port: int) -> list[str]:
        hung.wait()
        return []

    with Egress(SETTINGS, resolver) as egress, pytest.raises(Retryable):
        egress.fetch("http://slow.test/", max_bytes=1, deadline_s=0.3)
    hung.set()


def test_a_name_that_does_not_exist_may_be_asked_again() -> None:
    with pytest.raises(Retryable) as failure:
        fetch("http://nobody.invalid/")
    assert "nobody.invalid" in failure.value.detail


def test_certificates_are_checked_by_the_hosts_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = certificate_for("receiver.test", tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, tmp_path / "key.pem")
    with (
        Receiver(say(200, b"sealed"), tls=context) as receiver,
        Egress(SETTINGS, lambda host, port: ["127.0.0.1"]) as egress,
    ):
        url = f"https://receiver.test:{receiver.port}/"
        assert egress.fetch(url, max_bytes=100, deadline_s=20) == b"sealed"
        with pytest.raises(Retryable, match="certificate"):
            egress.fetch(url.replace("receiver", "other"), max_bytes=100, deadline_s=20)


def test_connections_are_kept_between_requests() -> None:
    with Receiver(say(200, b"ok")) as receiver, Egress(SETTINGS) as egress:
        for _ in range(3):
            egress.fetch(receiver.url, max_bytes=10, deadline_s=20)
            egress.post(receiver.url, b"", {}, 20)
    assert receiver.connections == 1
