"""Callers who send too much, too slowly, or too many at once; others must not notice."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from threading import Event, Thread

import httpx
import pytest

from boxyard_producer.server import limits
from boxyard_schemas import DEMO_MODEL
from process import await_true
from server_process import ServerProcess

from .conftest import Serve, Start
from .test_jobs import problem, submit

MIB = 2**20
JSON = {"Content-Type": "application/json"}


def inline_job(size: int) -> bytes:
    """A job of one inline picture, of about so many bytes."""
    picture = base64.b64encode(b"\xff\xd8\xff" + bytes(size * 3 // 4 - 3)).decode()
    return json.dumps({"model": DEMO_MODEL, "images": [{"base64": picture}]}).encode()


def head(path: str, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Authorization: Bearer key-a", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def read_all(raw: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    received = b""
    try:
        while piece := raw.recv(65_536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def connect(server: ServerProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=60)


@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_a_body_that_drips_in_is_given_up_in_time(start: Start, framing: str) -> None:
    server = start(body_timeout_s=1.5)
    piece = b"x" if "Length" in framing else b"1\r\nx\r\n"
    with connect(server) as raw:
        began, done = time.monotonic(), Event()
        raw.sendall(head("/v1/jobs", "Content-Type: application/json", framing))

        def drip() -> None:
            try:
                while not done.wait(0.1):
                    raw.sendall(piece)
            except OSError:
                pass

        dripping = Thread(target=drip)
        dripping.start()
        received = read_all(raw)
        done.set()
        dripping.join()
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"BOXYARD_BODY_TIMEOUT_S" in received
    assert b"connection: close" in received
    assert 1 < time.monotonic() - began < 50


def test_a_body_that_comes_too_slowly_is_given_up_long_before_the_last_moment(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_SLOW_START_S", 0.2)
    api = serve()
    with socket.create_connection((api.base_url.host, api.base_url.port), timeout=60) as raw:
        raw.sendall(head("/v1/uploads", "Content-Length: 1000000") + b"x" * 2048)
        received = read_all(raw)
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"2048 bytes in 1 s" in received
    assert b"4096 bytes a second" in received


def test_bodies_that_have_not_come_hold_no_turn(api: httpx.Client) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            connection = socket.create_connection((api.base_url.host, api.base_url.port))
            raw = stack.enter_context(connection)
            raw.sendall(
                head("/v1/endpoints", "Content-Type: application/json", "Content-Length: 9")
            )
        assert api.get("/v1/jobs").status_code == 200
        assert api.get("/v1/endpoints").status_code == 200


def test_callers_who_go_in_the_middle_of_a_body_are_no_fault_of_the_servers(start: Start) -> None:
    server = start()
    for path in ("/v1/jobs", "/v1/uploads"):
        with connect(server) as raw:
            raw.sendall(head(path, "Content-Type: application/json", "Content-Length: 9") + b"{")
        assert server.await_event("request.answered", path=path)["status"] == 499
    assert "Traceback" not in server.text()


def test_a_head_that_drips_in_ends_its_connection(start: Start) -> None:
    server = start(head_timeout_s=1)
    began = time.monotonic()
    with connect(server) as silent, connect(server) as raw:
        raw.sendall(b"GET /v1/jobs HTTP/1.1\r\n")
        assert _is_closed_on(raw)
        assert read_all(silent) == b""
    assert time.monotonic() - began < 50


def _is_closed_on(raw: socket.socket) -> bool:
    """Whether the server ends a connection on which a header comes every tenth of a second."""
    for _ in range(400):
        try:
            raw.sendall(b"X: y\r\n")
        except OSError:
            return True
        time.sleep(0.1)
    return False


def test_a_kept_connection_is_read_on_after_each_answer(start: Start) -> None:
    server = start(head_timeout_s=3)
    with server.client("key-a") as api:
        where = submit(api).headers["location"]
        kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        with closing(kept):
            kept.connect()
            kept.auto_open = 0  # it may not come back by another one
            for seconds in (4, 0):
                kept.request("GET", f"{where}?wait={seconds}", headers={"X-API-Key": "key-a"})
                assert json.load(kept.getresponse())["state"] == "queued"


def test_a_request_that_came_with_the_one_before_is_held_as_long_as_any(start: Start) -> None:
    server = start(head_timeout_s=3)
    with server.client("key-a") as api:
        where = submit(api).headers["location"]
    with connect(server) as raw:
        lines = (f"GET {where}?wait={wait} HTTP/1.1" for wait in (0, 5))
        raw.sendall(
            "".join(f"{line}\r\nHost: x\r\nX-API-Key: key-a\r\n\r\n" for line in lines).encode()
        )
        received = b""
        while received.count(b'"queued"') < 2:
            piece = raw.recv(65_536)
            assert piece, "closed before the second answer"
            received += piece


def test_a_head_over_its_cap_is_refused(start: Start) -> None:
    server = start()
    with connect(server) as raw:
        with suppress(OSError):  # it may be closed while this is still being sent
            raw.sendall(b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_all(raw)[9:12] in (b"400", b"414", b"431", b"")
    assert httpx.get(f"{server.url}/healthz").status_code == 200


def test_large_bodies_of_one_tenant_stop_at_its_half_of_the_room_and_leave_the_others_theirs(
    start: Start,
) -> None:
    server = start(max_body_bytes=16 * MIB, max_bodies_bytes=32 * MIB, body_timeout_s=600)
    with ExitStack() as stack:
        held = stack.enter_context(connect(server))
        held.sendall(
            head("/v1/jobs", "Content-Type: application/json", f"Content-Length: {15 * MIB}")
        )
        held.sendall(b" " * (14 * MIB))
        ours = stack.enter_context(server.client("key-a"))
        theirs = stack.enter_context(server.client("key-b"))
        body = inline_job(10 * MIB)
        await_true(
            lambda: ours.post("/v1/jobs", content=body, headers=JSON).status_code == 429, "a 429"
        )
        answer = ours.post("/v1/jobs", content=body, headers=JSON)
        assert problem(answer, 429, "too-many-requests")["limit"] == "body-bytes"
        assert int(answer.headers["retry-after"]) >= 1
        assert submit(ours).status_code == 202
        assert theirs.post("/v1/jobs", content=body, headers=JSON).status_code == 202
    with server.client("key-a") as again:
        await_true(
            lambda: again.post("/v1/jobs", content=body, headers=JSON).status_code == 202, "a 202"
        )


def test_memory_stays_bounded_and_others_are_served_while_many_large_bodies_come(
    start: Start,
) -> None:
    server = start(max_body_bytes=32 * MIB, max_bodies_bytes=64 * MIB, body_timeout_s=600)
    before, body = server.memory("VmRSS"), inline_job(30 * MIB)
    with ThreadPoolExecutor(12) as pool, server.client("key-a") as ours:
        sent = [pool.submit(_post, ours, body) for _ in range(24)]
        slowest = _slowest_while(sent, server)
    statuses = {future.result() for future in sent}
    assert 202 in statuses
    assert statuses <= {202, 429, 503}
    assert server.memory("VmHWM") - before < 8 * 64 * MIB
    assert slowest < 30


def _post(api: httpx.Client, body: bytes) -> int:
    try:
        return api.post("/v1/jobs", content=body, headers=JSON).status_code
    except httpx.TransportError:  # closed while it was still being sent
        return 503


def _slowest_while(sent: list[Future[int]], server: ServerProcess) -> float:
    """The slowest of another tenant's submissions in seconds, until all of these are done."""
    slowest = 0.0
    with server.client("key-b") as theirs:
        while not all(future.done() for future in sent):
            began = time.monotonic()
            assert submit(theirs).status_code == 202
            slowest = max(slowest, time.monotonic() - began)
    return slowest


@pytest.mark.parametrize(
    "bomb",
    [
        b'{"a":[' + b"[]," * (8 * MIB) + b"[]]}",
        b'{"images":[' + b"1," * (8 * MIB) + b"1]}",
        b"{" + b",".join(b'"a%d":1' % number for number in range(2 * MIB)) + b"}",
        b"[" * (16 * MIB),
    ],
    ids=["lists", "items", "members", "depth"],
)
def test_a_body_of_very_many_parts_is_refused_before_it_is_parsed(
    api: httpx.Client, bomb: bytes
) -> None:
    began = time.process_time()  # of the server too, which runs in this process
    for path in ("/v1/jobs", "/score"):
        try:
            answer = api.post(path, content=bomb, headers=JSON)
        except httpx.TransportError:  # closed while it was still being sent
            continue
        assert "members and items" in str(problem(answer, 422, "invalid-request")["detail"])
    assert time.process_time() - began < 5


def test_bodies_that_carry_no_pictures_are_small(api: httpx.Client) -> None:
    long = json.dumps({"url": "https://a.example/" + "a" * 100_000})
    problem(api.post("/v1/endpoints", content=long, headers=JSON), 413, "too-large")


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/uploads"])
def test_a_compressed_body_is_refused_as_such(api: httpx.Client, path: str) -> None:
    plain = api.post(path, content=b"x", headers={**JSON, "Content-Encoding": ""})
    assert "Content-Encoding" not in str(problem(plain, 422, "invalid-request")["detail"])
    answer = api.post(path, content=b"x", headers={**JSON, "Content-Encoding": "gzip"})
    assert "Content-Encoding" in str(problem(answer, 422, "invalid-request")["detail"])


@pytest.mark.parametrize("images", ["https://example.com/a.jpg", {"url": "https://example.com/a"}])
def test_images_that_are_no_list_are_told_so(api: httpx.Client, images: object) -> None:
    answer = api.post("/v1/jobs", json={"model": "m", "images": images})
    assert problem(answer, 422, "invalid-request")["detail"] == "images: a list is expected"


def test_of_many_mistakes_the_first_are_told_and_no_long_name_is_repeated(
    api: httpx.Client,
) -> None:
    members = {f"{number}{'x' * 3000}": 1 for number in range(2000)}
    answer = api.post("/v1/jobs", json=members)
    errors = problem(answer, 422, "invalid-request")["errors"]
    assert isinstance(errors, list)
    assert len(errors) == 100
    assert len(answer.content) < 50_000
