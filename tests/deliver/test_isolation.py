"""One slow or dead receiver never delays another."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler
from statistics import median
from threading import Event

import pytest

from boxyard_ledger import DeliveryState
from boxyard_worker.deliver.traffic import Traffic
from receivers import Answer, Receiver, say

from .conftest import SECRET, Yard

PORTS, PATHS = 5, 8
HANGS_S = 120
"""Longer than a test takes: nobody's turn comes because an attempt was given up."""
DELAY_S = 5
"""Far less than that; on an idle machine it is a tenth of a second."""


def hang(until: Event) -> Answer:
    """Answers at /healthy; any other path gets no answer while the test goes on."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path != "/healthy":
            until.wait(HANGS_S)
        say(200)(handler)

    return answer


@pytest.fixture
def release() -> Event:
    """Ends the hanging."""
    return Event()


@contextmanager
def released(release: Event) -> Iterator[None]:
    """What hangs does so no longer, however this ends."""
    try:
        yield
    finally:
        release.set()


@pytest.fixture
def hanging(release: Event) -> Iterator[list[Receiver]]:
    with ExitStack() as stack:
        receivers = [stack.enter_context(Receiver(hang(release))) for _ in range(PORTS)]
        yield receivers


def seconds_until_told(yard: Yard, receiver: Receiver, path: str, **job: object) -> list[float]:
    """How long each of ten jobs that end, one after the other, takes to reach its receiver."""
    delays = []
    for _ in range(10):
        came = [request for request in receiver.requests if request.path == path]
        began = time.monotonic()
        yard.cancel_job(callback={"url": receiver.url + path}, **job)
        end = began + 60
        while time.monotonic() < end:
            if len(found := [each for each in receiver.requests if each.path == path]) > len(came):
                delays.append(found[-1].at - began)
                break
            time.sleep(0.005)
        else:
            pytest.fail(f"{path} waited longer than a minute")
    return delays


def test_forty_hanging_receivers_delay_neither_another_tenant_nor_a_healthy_path(
    yard: Yard, hanging: list[Receiver], release: Event
) -> None:
    yard.ledger.tenants.register("other", api_key="other", webhook_secret=SECRET)
    for receiver in hanging:
        for path in range(PATHS):
            for _ in range(3):
                yard.cancel_job(callback={"url": f"{receiver.url}/{path}"})
    settings = {"delivery_deadline_s": HANGS_S, "delivery_poll_s": 0.2}
    with Receiver() as quick, yard.delivering(**settings), released(release):
        for receiver in hanging:
            receiver.wait(PATHS, seconds=60)
        others = seconds_until_told(yard, quick, "/hook", tenant="other")
        own = seconds_until_told(yard, hanging[0], "/healthy")
        assert max(median(others), median(own)) < DELAY_S
        asked = [len(receiver.requests) for receiver in hanging]
        hanging_asked = sum(asked) - len(own)
        assert hanging_asked == PORTS * PATHS, "each was probed with one thread"


def test_a_tenant_alone_gets_its_share_and_several_leave_room_for_one_more() -> None:
    traffic = Traffic(threads=120, tenant_share=0.5, per_origin=1000)
    for number in range(200):
        if "a" not in traffic.busy():
            traffic.begin(f"a/https://h{number}:443/x")
    assert traffic.room() == 60
    for number in range(200):
        if "b" not in traffic.busy():
            traffic.begin(f"b/https://h{number}:443/x")
    assert traffic.room() == 30
    assert "c" not in traffic.busy()
    for number in range(60):
        traffic.end(f"a/https://h{number}:443/x")
    assert "b" not in traffic.busy()
    assert traffic.room() == 90


def test_an_origin_has_its_cap() -> None:
    traffic = Traffic(threads=120, tenant_share=0.5, per_origin=3)
    for path in "xyz":
        traffic.begin(f"a/https://h:443/{path}")
    assert traffic.busy() == {"a/https://h:443"}
    traffic.end("a/https://h:443/x")
    assert traffic.busy() == set()


def test_many_paths_of_one_dead_origin_leave_the_tenants_others_alone(
    yard: Yard, hanging: list[Receiver], release: Event
) -> None:
    dead, *_ = hanging
    for number in range(40):
        yard.cancel_job(callback={"url": f"{dead.url}/{number}"})
    settings = {"delivery_deadline_s": HANGS_S, "deliveries_per_origin": 4}
    with Receiver() as quick, yard.delivering(**settings), released(release):
        dead.wait(4, seconds=60)
        delays = seconds_until_told(yard, quick, "/hook")
        assert median(delays) < DELAY_S
        assert len(dead.requests) == 4


def test_a_receiver_that_recovers_gets_its_backlog_at_once(yard: Yard) -> None:
    with Receiver(say(500), say(500), say(200)) as receiver, yard.delivering():
        jobs = [yard.cancel_job(callback={"url": receiver.url}) for _ in range(60)]
        for job in jobs:
            assert yard.ended(job).state is DeliveryState.DELIVERED
