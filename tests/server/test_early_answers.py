"""Answers that come before the end of a body reach their callers."""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest

from server_process import ServerProcess

from .conftest import Start, bearer
from .test_jobs import problem

MIB = 2**20
KNOWN = {"X-API-Key": "key-a"}
EARLY = [
    ("POST", "/v1/uploads", {}, 4 * MIB, 401),
    ("PUT", "/v1/jobs", KNOWN, 4 * MIB, 405),
    ("POST", "/v1/uploads?a=b", KNOWN, 4 * MIB, 422),
    ("POST", "/v1/uploads", {**KNOWN, "Content-Encoding": "gzip"}, 4 * MIB, 422),
    ("POST", "/v1/jobs", {**KNOWN, "Content-Type": "text/plain"}, 4 * MIB, 422),
    ("POST", "/v1/jobs", KNOWN, 12 * MIB, 413),
    ("POST", "/v1/endpoints", KNOWN, 4 * MIB, 413),
    ("POST", "/v1/nothing", KNOWN, 4 * MIB, 413),
]


@pytest.fixture
def server(start: Start) -> ServerProcess:
    return start(max_body_bytes=8 * MIB, max_bodies_bytes=16 * MIB)


def test_callers_that_send_all_of_a_body_first_read_the_answer(server: ServerProcess) -> None:
    for method, path, headers, size, status in EARLY:
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as raw:
            raw.request(method, path, bytes(size), headers)
            answer = raw.getresponse()
            assert (path, answer.status) == (path, status)
            assert answer.read()


def test_callers_whose_bodies_have_no_length_read_the_answer(server: ServerProcess) -> None:
    for path, status in (("/v1/uploads", 401), ("/v1/nothing", 404), ("/healthz", 405)):
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as raw:
            pieces = iter([bytes(MIB)] * 12)
            raw.request("POST", path, pieces, encode_chunked=True)
            assert (path, raw.getresponse().status) == (path, status)


def test_a_request_that_is_not_http_is_answered_though_more_follows(server: ServerProcess) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as raw:
        raw.sendall(b"POST /v1/uploads HTTP/1.1\r\nContent-Length: no\r\n\r\n" + bytes(4 * MIB))
        assert raw.recv(65_536).startswith(b"HTTP/1.1 400 ")


def test_callers_that_ask_first_are_answered_before_they_send_the_body(
    server: ServerProcess,
) -> None:
    for method, path, headers, size, status in EARLY:
        lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {size}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as raw:
            raw.sendall("\r\n".join([*lines, "Expect: 100-continue", "", ""]).encode())
            assert raw.recv(65_536).startswith(f"HTTP/1.1 {status} ".encode()), path


def test_an_endless_body_is_not_read_for_ever(server: ServerProcess) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as raw:
        raw.sendall(b"POST /v1/uploads HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: x\r\n\r\n")
        sent, piece = 0, b"100000\r\n" + bytes(2**20) + b"\r\n"
        with suppress(OSError):
            while sent < 1024:
                raw.sendall(piece)
                sent += 1
    assert 8 <= sent < 1024
    assert httpx.get(f"{server.url}/healthz").status_code == 200


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_curl_reads_the_answer(server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(bytes(4 * MIB))
    for expect in ("Expect: 100-continue", "Expect:"):
        command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", expect]
        told = subprocess.run(
            [*command, "--data-binary", f"@{tmp_path / 'body'}", f"{server.url}/v1/uploads"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout == "401"


def test_httpx_reads_the_answer(server: ServerProcess) -> None:
    answer = httpx.post(f"{server.url}/v1/jobs", content=bytes(12 * MIB), headers=bearer("key-a"))
    assert problem(answer, 413, "too-large")


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node")
def test_node_reads_the_answer(server: ServerProcess) -> None:
    script = """
    const answer = await fetch(process.argv[1], {method: "POST", body: new Uint8Array(4194304)});
    console.log(answer.status, (await answer.json()).code);
    """
    told = subprocess.run(
        ["node", "--input-type=module", "-e", script, f"{server.url}/v1/uploads"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "401 unauthorized"
