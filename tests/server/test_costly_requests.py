"""Requests that are cheap to send and costly to read delay no others."""

from __future__ import annotations

import http.client
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from http import HTTPStatus

import httpx
import pytest
import redis

from boxyard_ledger import EmbeddedRedis, Ledger, LedgerSettings
from server_process import ServerProcess, serving_process

from .test_pressure import connect, head, read_all
from .test_shares import sockets

PROMPT_S = 3.0
"""Alone, what is timed here takes some milliseconds."""
JPEG = b"\xff\xd8\xff"
SMALL_CHUNKS = b"1\r\n \r\n" * 43_000
ASKING = "GET {} HTTP/1.1\r\nHost: x\r\n{}\r\n"


@pytest.fixture(scope="module")
def server(
    embedded_redis: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("server")
    with redis.Redis.from_url(embedded_redis.url) as client:
        client.flushall()
    settings = LedgerSettings(redis_url=embedded_redis.url, blob_url=(folder / "blobs").as_uri())
    with Ledger.open(settings) as ledger:
        ledger.tenants.register("a", api_key="key-a", webhook_secret="whsec_YQ==")
    with serving_process(folder, settings) as process:
        yield process


def answer(server: ServerProcess, request: bytes) -> tuple[int, str]:
    """The status of the one answer, and all of it."""
    with connect(server) as raw:
        with suppress(OSError):  # it may be closed while this is still being sent
            raw.sendall(request)
        received = read_all(raw).decode()
    return int(received[9:12]), received


def seconds(server: ServerProcess, path: str, key: str = "") -> float:
    """How long a request takes on a connection of its own."""
    began = time.monotonic()
    found = httpx.get(server.url + path, headers={"X-API-Key": key} if key else {}, timeout=60)
    assert found.status_code == HTTPStatus.OK
    return time.monotonic() - began


def test_a_head_of_many_parts_is_refused(server: ServerProcess) -> None:
    costly = {
        "lines": [
            ASKING.format("/healthz", "a:\r\n" * 15_000),
            ASKING.format("/healthz", "a: b\r\n" * 100),
            ASKING.format("/healthz", "a: b\r\n c\r\n" * 60),
        ],
        "bytes": [ASKING.format(f"/healthz?{'a' * 20_000}", "")],
        "query parameters": [
            ASKING.format(f"/healthz?{'&a' * 30_000}", ""),
            ASKING.format(f"/healthz?{'&a' * 600}", ""),
            ASKING.format("/healthz", f"Cookie: {'a;' * 600}\r\n"),
            ASKING.format("/healthz", f"Connection: {'a,' * 600}\r\n"),
        ],
    }
    for why, requests in costly.items():
        for request in requests:
            status, text = answer(server, request.encode())
            assert (status, why in text, "connection: close" in text.lower()) == (400, True, True)
            assert "application/problem+json" in text


def test_heads_that_browsers_send_are_read(server: ServerProcess) -> None:
    headers = "".join(f"X-{number}: {'v' * 50}\r\n" for number in range(90))
    cookies = f"Cookie: {'; '.join(f'name{number}=value' for number in range(150))}\r\n"
    for path in ("/healthz", f"/healthz?{'&a=b' * 200}"):
        for more in (headers, cookies):
            request = ASKING.format(path, f"{more}Connection: close\r\n")
            assert answer(server, request.encode())[0] == HTTPStatus.OK


def test_a_body_of_small_chunks_or_with_a_long_trailer_is_refused(server: ServerProcess) -> None:
    for path in ("/v1/uploads", "/v1/jobs"):
        request = head(path, "Content-Type: application/json", "Transfer-Encoding: chunked")
        status, text = answer(server, request + SMALL_CHUNKS)
        assert (status, "send chunks of 256 bytes or more" in text) == (400, True)
        status, text = answer(server, request + b"0\r\n" + b"a:\r\n" * 50_000)
        assert (status, "trailer" in text) == (400, True)
    assert answer(server, b"POST /v1/jobs HTTP/1.1\r\n" + SMALL_CHUNKS)[0] == 400


@pytest.mark.parametrize(("chunk", "segment"), [(2**10, 2**20), (2**16, 2**20), (2**14, 400)])
def test_uploads_in_chunks_are_taken(server: ServerProcess, chunk: int, segment: int) -> None:
    size = 4 * 2**20 if segment > chunk else 2**19
    body, picture = bytearray(head("/v1/uploads", "Transfer-Encoding: chunked")), bytes(size)
    for start in range(0, size, chunk):
        piece = picture[start : start + chunk] if start else JPEG + picture[len(JPEG) : chunk]
        body += b"%x\r\n%b\r\n" % (len(piece), piece)
    body += b"0\r\n\r\n"
    with connect(server) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(body), segment):
            raw.sendall(body[start : start + segment])
        assert raw.recv(65_536).startswith(b"HTTP/1.1 201 ")


def test_an_upload_in_many_small_writes_of_a_known_length_is_taken(server: ServerProcess) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as raw:
        pieces = iter([JPEG, *[bytes(100)] * 5000])
        headers = {"X-API-Key": "key-a", "Content-Length": str(len(JPEG) + 500_000)}
        raw.request("POST", "/v1/uploads", pieces, headers)
        assert raw.getresponse().status == HTTPStatus.CREATED


def floods() -> Iterator[tuple[int, bytes]]:
    """Numbers of connections, and what each sends at once."""
    chunked = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    yield 40, chunked + SMALL_CHUNKS
    yield 40, chunked + b"0\r\n" + b"a:\r\n" * 60_000
    yield 60, ASKING.format("/healthz", "a:\r\n" * 30_000).encode()
    yield 60, ASKING.format(f"/healthz?{'&a' * 60_000}", "").encode()
    for path in ("/healthz", "/docs/assets/favicon.png", "/openapi.json", "/v1/jobs"):
        yield 600, ASKING.format(path, "").encode() * 100


@pytest.mark.parametrize(
    ("connections", "request_"), list(floods()), ids=lambda each: str(each)[:40]
)
def test_floods_without_a_key_delay_neither_callers_nor_probes(
    server: ServerProcess, connections: int, request_: bytes
) -> None:
    assert seconds(server, "/v1/jobs", "key-a")
    with sockets(server, connections, request_):
        assert seconds(server, "/v1/jobs", "key-a") < PROMPT_S
        assert seconds(server, "/healthz") < PROMPT_S


def test_requests_that_came_at_once_are_answered_in_order(server: ServerProcess) -> None:
    paths = ["/healthz", "/v1/jobs", "/nothing"] * 20
    with connect(server) as raw:
        asked = "".join(ASKING.format(path, "") for path in paths)
        raw.sendall(asked.encode() + ASKING.format("/docs", "Connection: close\r\n").encode())
        received = read_all(raw).decode()
    statuses = [part[:3] for part in received.split("HTTP/1.1 ")[1:]]
    assert statuses == ["200", "401", "404"] * 20 + ["200"]


def test_a_request_is_not_logged_with_the_tenant_of_the_one_before(server: ServerProcess) -> None:
    keyed, keyless = "X-API-Key: key-a\r\n", "Connection: close\r\n"
    with connect(server) as raw:
        asked = ASKING.format("/v1/jobs", keyed) + ASKING.format("/v1/models/none", keyless)
        raw.sendall(asked.encode())
        read_all(raw)
    assert "tenant" not in server.await_event("request.answered", path="/v1/models/none")


def test_clients_that_reset_their_connection_cause_no_error(server: ServerProcess) -> None:
    for _ in range(20):
        with connect(server) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.sendall(b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
    assert seconds(server, "/healthz") < PROMPT_S
    assert "Traceback" not in server.text()
