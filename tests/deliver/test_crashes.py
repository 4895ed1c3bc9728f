"""The process itself: started, stopped, killed; and Redis beside it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event

import pytest

from boxyard_ledger import DeliveryState, EmbeddedRedis, Ledger
from receivers import Receiver, say

from .conftest import SECRET, Yard

COMMAND = "from boxyard_worker.deliver import DeliverSettings, run; run(DeliverSettings())"


@contextmanager
def deliver_process(yard: Yard) -> Iterator[subprocess.Popen[bytes]]:
    settings = {
        "REDIS_URL": yard.settings.redis_url,
        "BLOB_URL": yard.settings.blob_url,
        "DELIVERY_LEASE_S": "1",
        "DELIVERY_SCHEDULE_S": "[0.1, 0.1]",
        "ALLOWED_NETWORKS": "127.0.0.0/8",
        "ALLOWED_PORTS": "",
    }
    environment = {f"BOXYARD_{name}": value for name, value in settings.items()}
    process = subprocess.Popen([sys.executable, "-c", COMMAND], env={**os.environ, **environment})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def hold_until(release: Event) -> object:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        release.wait(30)
        say(200)(handler)

    return answer


def test_killed_between_post_and_outcome_it_tells_again_with_the_same_id(yard: Yard) -> None:
    release = Event()
    with Receiver(hold_until(release), say(200)) as receiver:
        job = yard.end_job(callback={"url": receiver.url})
        with deliver_process(yard) as first:
            receiver.wait(1)
            first.kill()
        release.set()
        assert yard.delivery(job).state is DeliveryState.SENDING
        with deliver_process(yard):
            end = time.monotonic() + 30
            while len(receiver.requests) < 2 and time.monotonic() < end:
                yard.ledger.deliveries.release_expired_leases(10)
                time.sleep(0.1)
            assert yard.ended(job).state is DeliveryState.DELIVERED
    first_request, second_request = receiver.requests
    assert first_request.headers["webhook-id"] == second_request.headers["webhook-id"]
    assert first_request.body == second_request.body


def test_sigterm_lets_the_delivery_under_way_finish_and_records_it(yard: Yard) -> None:
    release = Event()
    with Receiver(hold_until(release)) as receiver, deliver_process(yard) as process:
        job = yard.end_job(callback={"url": receiver.url})
        waiting = yard.end_job(callback={"url": receiver.url})
        receiver.wait(1)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        release.set()
        assert process.wait(30) == 0
    assert yard.delivery(job).state is DeliveryState.DELIVERED
    assert yard.delivery(waiting).state is not DeliveryState.SENDING


def test_it_goes_on_when_redis_comes_back(yard: Yard, tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "own-redis") as server:
        settings = yard.settings.model_copy(update={"redis_url": server.url})
        with Ledger.open(settings) as ledger, Receiver() as receiver:
            own, pulse = Yard(ledger, settings), tmp_path / "pulse"
            ledger.tenants.register("acme", api_key="key", webhook_secret=SECRET)
            with own.delivering(pulse_file=pulse):
                own.ended(own.end_job(callback={"url": receiver.url}))
                server.kill()
                time.sleep(0.5)
                pulse.unlink()
                time.sleep(1.5)
                assert not pulse.exists()
                server.start()
                job = own.end_job(callback={"url": receiver.url})
                assert own.ended(job).state is DeliveryState.DELIVERED
