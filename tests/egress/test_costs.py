"""Answers that mean work without end are given up by what they cost, long before the deadline."""

from __future__ import annotations

import gzip
import time

import pytest

from boxyard_schemas.errors import Permanent, Retryable
from boxyard_worker.egress import Egress, EgressSettings
from endless import CHUNKED, ENDLESS, OK, serving

SETTINGS = EgressSettings(allowed_networks=("127.0.0.0/8",), allowed_ports=frozenset())


@pytest.mark.parametrize("kind", ENDLESS)
def test_an_answer_without_an_end_is_given_up_for_its_cost(kind: str) -> None:
    with serving(ENDLESS[kind]) as url, Egress(SETTINGS) as egress:
        began = time.thread_time()
        with pytest.raises((Retryable, Permanent)) as caught:
            egress.fetch(url, max_bytes=500_000, deadline_s=60)
        assert caught.value.reason in ("fetch-failed", "too-large")
        assert "deadline" not in caught.value.detail
        assert time.thread_time() - began < 0.5


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_receiver_gets_as_little_of_the_process(kind: str) -> None:
    with serving(ENDLESS[kind]) as url, Egress(SETTINGS) as egress:
        began = time.thread_time()
        try:
            assert egress.post(url, b"{}", {}, 60).status == 200
        except Retryable as error:
            assert "deadline" not in error.detail  # noqa: PT017
        assert time.thread_time() - began < 0.1


@pytest.mark.parametrize(
    "pieces",
    [
        [
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3,
            OK,
            b"Content-Length: 4\r\n\r\nbody",
        ],
        [
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
            CHUNKED,
            b"4\r\nbody\r\n0\r\n\r\n",
        ],
        [CHUNKED, b"1;a=b\r\nb\r\n", b"3\r\nody\r\n", b"0\r\nChecksum: 1\r\n\r\n"],
        [OK, *(b"X-%d: y\r\n" % number for number in range(100)), b"Content-Length: 4\r\n\r\nbody"],
        [OK, b"X: " + b"y" * 20_000, b"\r\nContent-Length: 4\r\n\r\n", b"bo", b"dy"],
        [*(bytes([byte]) for byte in OK + b"Content-Length: 4\r\n\r\nbody")],
    ],
)
def test_what_honest_servers_do_is_read(pieces: list[bytes]) -> None:
    with serving(lambda: pieces) as url, Egress(SETTINGS) as egress:
        assert egress.fetch(url, max_bytes=4, deadline_s=60) == b"body"
        assert egress.post(url, b"{}", {}, 60).status == 200


@pytest.mark.parametrize("size", [256, 1000, 16_000])
def test_a_large_body_may_come_in_chunks_of_any_usual_size(size: int) -> None:
    chunk = b"%x\r\n" % size + bytes(size) + b"\r\n"
    count = 1_000_000 // size
    with (
        serving(lambda: [CHUNKED, *[chunk] * count, b"0\r\n\r\n"]) as url,
        Egress(SETTINGS) as egress,
    ):
        assert len(egress.fetch(url, max_bytes=1_000_000, deadline_s=60)) == size * count


def test_a_gzip_file_of_very_many_members_is_given_up() -> None:
    body = gzip.compress(b"") * 20_000
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    with serving(lambda: [head, body]) as url, Egress(SETTINGS) as egress:
        began = time.thread_time()
        with pytest.raises(Permanent, match="members"):
            egress.fetch(url, max_bytes=500_000, deadline_s=60)
        assert time.thread_time() - began < 0.5
