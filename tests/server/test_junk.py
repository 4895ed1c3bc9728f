"""Thousands of requests of all sorts against the real server: none may be its fault."""

from __future__ import annotations

import http.client
import os
import re
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from boxyard_ledger import Ledger, LedgerSettings
from boxyard_schemas import DEMO_MODEL
from server_process import ServerProcess, serving_process
from sweeps import Sample

from .conftest import SEEN, Worker
from .junk import Ask, Junk

REQUESTS, THREADS = 10_000, 5
_ID = re.compile(rb'"id":"((job|upl|end|key|dlv)_[0-9a-f]{32})"')


class Line:
    """A connection that sends bytes as they are and is made anew when the server closes it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def ask(self, data: bytes, method: str) -> tuple[int, bytes]:
        """The answer's status and body; 0 when the server closed without one."""
        for _ in range(2):
            fresh = self._socket is None
            try:
                return self._ask(data, method)
            except (OSError, http.client.HTTPException):
                self.close()
                if fresh:  # else it was an old connection that had been closed meanwhile
                    break
        return 0, b""

    def _ask(self, data: bytes, method: str) -> tuple[int, bytes]:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=60)
        self._socket.sendall(data)
        answer = http.client.HTTPResponse(self._socket, method=method)
        answer.begin()
        while answer.status == 100:
            answer.begin()
        body = answer.read()
        if answer.will_close:
            self.close()
        if answer.status >= 400:
            self._check_problem(answer, method)
        return answer.status, body

    @staticmethod
    def _check_problem(answer: http.client.HTTPResponse, method: str) -> None:
        assert method == "HEAD" or answer.headers["content-type"] in (
            "application/problem+json",
            "text/plain; charset=utf-8",  # what is no HTTP is refused before it is a request
        )

    def shout(self, data: bytes) -> tuple[int, bytes]:
        """Sends what may be no request and says that nothing follows."""
        self.close()
        received = b""
        with socket.create_connection(("127.0.0.1", self._port), timeout=60) as raw:
            try:
                raw.sendall(data)
                raw.shutdown(socket.SHUT_WR)
                while piece := raw.recv(65_536):
                    received += piece
            except OSError:
                pass
        return (int(received[9:12]) if received.startswith(b"HTTP/1.1 ") else 0), received

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None


@contextmanager
def working(ledger: Ledger) -> Iterator[None]:
    """Somebody who finishes every job meanwhile, as a worker would."""
    worker, done = Worker(ledger, DEMO_MODEL), Event()

    def work() -> None:
        while not done.wait(0.02):
            worker.appear()
            for claim in ledger.jobs.claim(DEMO_MODEL, worker="w", max_images=8):
                worker.try_to_finish(claim, *[SEEN] * len(claim.job.images))

    worker.appear()  # and again and again: it would count as gone after a minute
    thread = Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _send(server: ServerProcess, seed: int, share: int) -> Counter[tuple[str, int]]:
    """Sends so many requests of this seed; what was answered, by sort and status."""
    junk = Junk(seed)
    seen: Counter[tuple[str, int]] = Counter()
    with closing(Line(server.port)) as line:
        for number in range(share):
            sort, ask = junk.next()
            if isinstance(ask, Ask):
                data = ask.encoded("key-a", chunked=junk.chance(0.1))
                status, body = line.ask(data, ask.method)
            else:
                data = ask
                status, body = line.shout(data)
            assert status < 500, (
                f"{status}: number {number} of seed {seed}: {data[:2000]!r}\n{body!r}"
            )
            # What it made itself: its own key, which is only listed, must stay good.
            for found in _ID.finditer(body if data.startswith(b"POST") else b""):
                junk.ids[found[2].decode()].append(found[1].decode())
            seen[sort, status] += 1
    return seen


@pytest.mark.sweep
@pytest.mark.timeout(600)
def test_requests_of_all_sorts_are_answered_without_a_fault_of_the_servers(
    ledger: Ledger, ledger_settings: LedgerSettings, tmp_path: Path, sample: Sample
) -> None:
    requests = len(sample.of(range(REQUESTS), 1_500))
    ledger.tenants.register("a", api_key="key-a", webhook_secret="whsec_YQ==")
    seed = int(os.environ.get("BOXYARD_TEST_SEED", "20261121"))
    with (
        working(ledger),
        serving_process(tmp_path, ledger_settings, max_wait_s=0.1) as server,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        shares = [
            pool.submit(_send, server, seed + number, requests // THREADS)
            for number in range(THREADS)
        ]
        seen = sum((share.result() for share in shares), Counter[tuple[str, int]]())
        assert server.alive
        assert "request.failed" not in server.text()
        assert "Exception in ASGI" not in server.text()
    print(sorted(seen.items()))
    assert seen.total() == requests
    # The valid ones are: else all this would be told at the door.
    sorts = Counter({sort: 0 for sort, _ in seen})
    for (sort, status), times in seen.items():
        sorts[sort] += times if 200 <= status < 300 else 0
    assert sorts["valid"] > requests // 6
    assert seen["broken", 400] > 0
