"""Faults 45 and 46: one tenant, or strangers, ask for more than the server has."""

from __future__ import annotations

import resource
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from chaos.callers import Caller
from chaos.faults import fault
from chaos.trial import Figures, Trial
from pictures import png, scene

_UNSERVED = "rtmdet_tiny_8xb32-300e_coco"
_PROMPT_S = 20.0
"""For a job and its result. It takes a tenth of a second on a machine that does nothing else."""


@pytest.fixture(autouse=True)
def _open_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextmanager
def connections(trial: Trial, number: int, request: str) -> Iterator[None]:
    """So many connections at once, on each of which this was sent."""
    url = httpx.URL(trial.stack.url)
    with ExitStack() as stack:
        for _ in range(number):
            raw = socket.create_connection((url.host, url.port or 80), timeout=60)
            stack.enter_context(raw).sendall(request.encode())
        yield


def await_result(caller: Caller) -> float:
    """Seconds for a job to be accepted, done and read."""
    began = time.monotonic()
    job = caller.submit(caller.upload(png(scene())))
    polled = caller.insist("GET", f"/v1/jobs/{job}", params={"wait": 30})
    assert polled.json()["state"] == "succeeded"
    assert caller.result(job)
    return time.monotonic() - began


def await_readiness(trial: Trial) -> float:
    """Seconds for a new connection to `/readyz`."""
    began = time.monotonic()
    assert httpx.get(f"{trial.stack.url}/readyz", timeout=60).status_code == 200
    return time.monotonic() - began


@fault(45, "one tenant's long polls, and idle connections without a key")
@pytest.mark.parametrize("held", ["long polls", "idle connections", "slow heads"])
def test_connections_that_are_held_do_not_keep_others_out(
    trial: Trial, figures: Figures, scale: Callable[..., int], held: str
) -> None:
    """hundreds of connections that wait, say nothing, or drip a head; another tenant's jobs"""
    number, job = scale(slice=400, full=2000), ""
    if held == "long polls":
        job = trial.a.submit(trial.a.upload(png(scene())), model=_UNSERVED)
    request = {
        "long polls": f"GET /v1/jobs/{job}?wait=60 HTTP/1.1\r\nHost: x\r\n"
        f"X-API-Key: {trial.a.key}\r\n\r\n",
        "idle connections": "",
        "slow heads": "GET /v1/jobs HTTP/1.1\r\nHost: x\r\nX: ",
    }[held]
    with connections(trial, number, request):
        seconds = [await_result(trial.b) for _ in range(3)]
        ready = await_readiness(trial)
    if job:
        trial.a.cancel(job)
    figures["connections"] = number
    figures["slowest s"] = round(max(seconds), 2)
    figures["readyz s"] = round(ready, 2)
    assert max(seconds) < _PROMPT_S
    assert ready < _PROMPT_S
    trial.conclude(figures)


@fault(46, "a flood of uploads")
def test_every_upload_of_a_flood_has_an_answer(
    trial: Trial, figures: Figures, scale: Callable[..., int]
) -> None:
    """uploads of 4 MB, all at once, by one tenant; another tenant's jobs meanwhile"""
    number, picture = scale(slice=60, full=400), png(scene()) + bytes(4 * 2**20)

    def upload(_: int) -> int:
        headers = {"Authorization": f"Bearer {trial.a.key}"}
        url = f"{trial.stack.url}/v1/uploads"
        answer = httpx.post(url, content=picture, headers=headers, timeout=120)
        assert answer.status_code == 201 or int(answer.headers["Retry-After"]) >= 1
        return answer.status_code

    with ThreadPoolExecutor(number) as pool:
        answers = pool.map(upload, range(number))
        seconds = await_result(trial.b)
        statuses = Counter(answers)
    assert set(statuses) <= {201, 429}
    figures["uploads taken"], figures["uploads put off"] = statuses[201], statuses[429]
    figures["slowest s"] = round(seconds, 2)
    trial.conclude(figures)
