"""One tenant's requests, or connections without a key, may not shut others out."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx

from boxyard_ledger import Ledger
from boxyard_schemas import DEMO_MODEL
from process import await_true
from server_process import ServerProcess

from .conftest import SEEN, Start, Worker, bearer
from .test_jobs import problem, submit

PROMPT_S = 15.0
"""What is prompt is done in a hundredth of this, except on a machine that is busy otherwise."""


@contextmanager
def sockets(server: ServerProcess, number: int, request: bytes) -> Iterator[list[socket.socket]]:
    """So many connections, on each of which this was sent."""
    with ExitStack() as stack:
        opened = []
        for _ in range(number):
            raw = socket.create_connection(("127.0.0.1", server.port), timeout=60)
            opened.append(stack.enter_context(raw))
            raw.sendall(request)
        yield opened


def poll(job: str, seconds: int = 60, key: str = "key-a") -> bytes:
    lines = (f"GET /v1/jobs/{job}?wait={seconds} HTTP/1.1", "Host: x", f"X-API-Key: {key}")
    return "\r\n".join([*lines, "", ""]).encode()


def status(raw: socket.socket) -> bytes:
    """Of the answer on this connection; empty when it was closed without one."""
    try:
        return raw.recv(65_536)[9:12]
    except ConnectionResetError:
        return b""


def is_served(server: ServerProcess, worker: Worker, key: str) -> bool:
    """Whether a job of this key is accepted, done, and its result read, all of it promptly."""
    began = time.monotonic()
    assert again(lambda: httpx.get(f"{server.url}/readyz", timeout=60)).status_code == 200
    with server.client(key) as api:
        job = again(lambda: submit(api)).json()["id"]
        worker.finish(worker.claim(), SEEN)
        ended = again(lambda: api.get(f"/v1/jobs/{job}?wait=30"))
        assert ended.json()["state"] == "succeeded"
        assert again(lambda: api.get(f"/v1/jobs/{job}/result")).status_code == 200
    return time.monotonic() - began < PROMPT_S


def again(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """The answer; after a 503 it is asked once more, as clients do. No connection is reset."""
    answer = ask()
    if answer.status_code == 503:
        time.sleep(float(answer.headers["Retry-After"]))
        answer = ask()
    return answer


def other_job(ledger: Ledger, server: ServerProcess, key: str = "key-a") -> str:
    """A job of a model that no worker takes."""
    with server.client(key) as api:
        job: str = submit(api, model="rtmdet_tiny_8xb32-300e_coco").json()["id"]
    return job


def test_many_long_polls_of_one_tenant_leave_the_others_theirs(
    start: Start, worker: Worker, ledger: Ledger
) -> None:
    server = start()
    job = other_job(ledger, server)
    with sockets(server, 900, poll(job)):
        assert is_served(server, worker, "key-b")
        assert is_served(server, worker, "key-a")


def test_a_tenant_may_have_all_long_polls_until_another_asks_for_one(
    start: Start, ledger: Ledger
) -> None:
    server = start(max_connections=16)
    ours, theirs = other_job(ledger, server), other_job(ledger, server, "key-b")
    with ExitStack() as stack:
        api = stack.enter_context(server.client("key-a"))
        held: list[socket.socket] = []
        while (refused := api.get(f"/v1/jobs/{ours}?wait=0.1")).status_code == 200:
            held += stack.enter_context(sockets(server, 1, poll(ours)))
        assert 8 <= len(held) < 16  # one that was just sent may not count yet
        assert problem(refused, 429, "too-many-requests")["limit"] == "waits"
        assert int(refused.headers["retry-after"]) >= 1
        assert api.get(f"/v1/jobs/{ours}").json()["state"] == "queued"
        (other,) = stack.enter_context(sockets(server, 1, poll(theirs, 5, "key-b")))
        assert status(held[0]) == b"200"  # answered early, to make room
        assert status(other) == b"200"


def test_idle_connections_without_a_key_do_not_keep_callers_out(
    start: Start, worker: Worker
) -> None:
    server = start(max_connections=50, head_timeout_s=300)
    with (
        sockets(server, 60, b""),
        sockets(server, 60, b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\nX: "),
        sockets(server, 60, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
        sockets(server, 60, b"POST /v1/uploads HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"),
        sockets(server, 60, b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\n\r\n" * 50),
        sockets(server, 60, b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 50),
    ):
        assert is_served(server, worker, "key-a")


def test_the_oldest_connection_without_a_key_is_closed_first(start: Start) -> None:
    server = start(max_connections=6, head_timeout_s=300)
    with server.client("key-a") as api:
        assert api.get("/v1/jobs").status_code == 200
        known = api.get("/v1/jobs")
        assert known.status_code == 200
        with sockets(server, 6, b"") as idle:
            assert idle[0].recv(1) == b""
            idle[5].sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert status(idle[5]) == b"200"


def test_bodies_that_come_slowly_take_one_tenants_share_alone(start: Start, worker: Worker) -> None:
    server = start(max_connections=40)
    slow = (
        b"POST /v1/uploads HTTP/1.1\r\nHost: x\r\nX-API-Key: key-a\r\nContent-Length: 1000\r\n\r\nx"
    )
    with sockets(server, 30, slow) as held:
        refused = status(held[-1])
        assert refused == b"429"
        assert is_served(server, worker, "key-b")


def test_when_all_connections_are_busy_health_is_still_answered(start: Start) -> None:
    server = start(max_connections=4)
    slow = "POST /v1/uploads HTTP/1.1\r\nHost: x\r\nX-API-Key: {}\r\nContent-Length: 9\r\n\r\nx"
    with (
        sockets(server, 2, slow.format("key-a").encode()),
        sockets(server, 2, slow.format("key-b").encode()),
    ):
        await_true(lambda: httpx.get(f"{server.url}/v1/jobs").status_code == 503, "a 503")
        refused = httpx.get(f"{server.url}/v1/jobs", headers=bearer("key-a"))
        assert "BOXYARD_MAX_CONNECTIONS" in str(problem(refused, 503, "unavailable")["detail"])
        for path in ("/healthz", "/readyz"):
            assert httpx.get(server.url + path).status_code == 200
    await_true(lambda: httpx.get(f"{server.url}/v1/jobs").status_code == 401, "room again")


def test_results_that_are_not_read_are_bounded_in_memory_and_in_time(
    start: Start, ledger: Ledger
) -> None:
    server = start(max_body_bytes=2**20, max_bodies_bytes=2 * 2**20)
    large = SEEN.model_copy(update={"boxes": SEEN.boxes * 4000})
    worker = Worker(ledger, DEMO_MODEL)
    with server.client("key-a") as api:
        job = submit(api).json()["id"]
        worker.finish(worker.claim(), large)
        read = f"GET /v1/jobs/{job}/result HTTP/1.1\r\nHost: x\r\nX-API-Key: key-a\r\n\r\n"
        with sockets(server, 1, read.encode() * 50):
            while (refused := api.get(f"/v1/jobs/{job}/result")).status_code == 200:
                pass
            assert problem(refused, 429, "too-many-requests")["limit"] == "result-bytes"
        await_true(lambda: api.get(f"/v1/jobs/{job}/result").status_code == 200, "room again")


def test_every_upload_of_a_flood_is_answered(start: Start) -> None:
    uploads = 40
    server = start(max_body_bytes=4 * 2**20, max_bodies_bytes=16 * 2**20)
    body = b"\xff\xd8\xff" + bytes(3 * 2**20)

    def send(_: int) -> httpx.Response:
        return httpx.post(
            f"{server.url}/v1/uploads", content=body, headers=bearer("key-a"), timeout=60
        )

    with ThreadPoolExecutor(uploads) as pool:
        answers = list(pool.map(send, range(uploads)))
    assert {answer.status_code for answer in answers} == {201, 429}
    for answer in answers:
        if answer.status_code == 429:
            assert json.loads(answer.text)["limit"] == "body-bytes"
            assert int(answer.headers["retry-after"]) >= 1
