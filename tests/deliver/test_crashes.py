"""The process itself: started, stopped, killed; and Redis beside it."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from random import Random
from threading import Event

import pytest
import redis
from structlog.testing import capture_logs
from structlog.typing import EventDict

from beside import beside
from boxyard_ledger import DeliveryState, EmbeddedRedis, Ledger, keys
from boxyard_schemas.errors import Unavailable
from process import await_true
from receivers import Receiver, say

from .conftest import SECRET, Yard

COMMAND = "from boxyard_worker.deliver import DeliverSettings, run; run(DeliverSettings())"


@contextmanager
def deliver_process(
    yard: Yard, *, lease_s: float = 30, pulse: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    settings = {
        "REDIS_URL": yard.settings.redis_url,
        "BLOB_URL": yard.settings.blob_url,
        "DELIVERY_LEASE_S": str(lease_s),
        "DELIVERY_DEADLINE_S": "120",
        "DELIVERY_SCHEDULE_S": "[0.1, 0.1]",
        "ALLOWED_NETWORKS": "127.0.0.0/8",
        "ALLOWED_PORTS": "",
        "PULSE_FILE": str(pulse or ""),
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
        release.wait(120)
        say(200)(handler)

    return answer


def test_killed_between_post_and_outcome_it_tells_again_with_the_same_id(yard: Yard) -> None:
    release = Event()
    with Receiver(hold_until(release), say(200)) as receiver:
        job = yard.end_job(callback={"url": receiver.url})
        with deliver_process(yard, lease_s=1) as first:
            receiver.wait(1)
            first.kill()
        release.set()
        assert yard.delivery(job).state is DeliveryState.SENDING
        with deliver_process(yard), sweeping(yard.ledger):
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
        assert process.wait(60) == 0
    assert yard.delivery(job).state is DeliveryState.DELIVERED
    assert yard.delivery(waiting).state is not DeliveryState.SENDING


def test_it_goes_on_when_redis_comes_back(yard: Yard, tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "own-redis") as server:
        settings = yard.settings.model_copy(update={"redis_url": server.url})
        with Ledger.open(settings) as ledger, Receiver() as receiver:
            own, pulse = Yard(ledger, settings), tmp_path / "pulse"
            ledger.tenants.register("acme", api_key="key", webhook_secret=SECRET)
            with own.delivering(pulse_file=pulse), capture_logs() as lines:
                own.ended(own.end_job(callback={"url": receiver.url}))
                server.kill()
                await_one_more(lines, "the ledger is away")
                pulse.unlink()
                await_one_more(lines, "the ledger is away")
                assert not pulse.exists()
                server.start()
                job = own.end_job(callback={"url": receiver.url})
                assert own.ended(job).state is DeliveryState.DELIVERED


def await_one_more(lines: list[EventDict], event: str) -> None:
    """Until this stands in the log once more than now."""

    def count() -> int:
        return sum(line["event"] == event for line in lines)

    before = count()
    await_true(lambda: count() > before, f"{event!r} in the log")


def sweeping(ledger: Ledger) -> AbstractContextManager[None]:
    """Frees the receivers of the dead, as a sweeper does."""

    def sweep(stop: Event) -> None:
        while not stop.wait(0.2):
            with suppress(Unavailable):
                ledger.deliveries.release_expired_leases(100)

    return beside(sweep)


def outlast_the_lease(yard: Yard) -> None:
    """Until the one hold there is would be over, were it not renewed; long enough to be seen."""
    with redis.Redis.from_url(yard.settings.redis_url) as client:
        ((_, end),) = client.zrange(keys.RECEIVER_LEASES, 0, -1, withscores=True)
        await_true(lambda: client.time()[0] * 1000 > end + 1000, "the lease to be over")


def test_a_deliverer_that_lives_holds_its_receiver_longer_than_a_lease(
    yard: Yard, tmp_path: Path
) -> None:
    release, pulses = Event(), [tmp_path / "one", tmp_path / "two"]
    with (
        Receiver(hold_until(release)) as receiver,
        sweeping(yard.ledger),
        deliver_process(yard, lease_s=5, pulse=pulses[0]),
        deliver_process(yard, lease_s=5, pulse=pulses[1]),
    ):
        await_true(lambda: all(pulse.exists() for pulse in pulses), "two that deliver")
        job = yard.cancel_job(callback={"url": receiver.url})
        receiver.wait(1)
        outlast_the_lease(yard)
        release.set()
        status = yard.ended(job)
    assert [line.outcome for line in status.attempts] == ["delivered"]
    assert len(receiver.requests) == 1


def test_a_deliverer_that_was_told_to_stop_holds_its_receiver_until_it_is_through(
    yard: Yard, tmp_path: Path
) -> None:
    release, pulse = Event(), tmp_path / "pulse"
    with Receiver(hold_until(release)) as receiver, deliver_process(yard, lease_s=5) as stopping:
        job = yard.cancel_job(callback={"url": receiver.url})
        receiver.wait(1)
        stopping.send_signal(signal.SIGTERM)
        with sweeping(yard.ledger), deliver_process(yard, pulse=pulse):
            await_true(pulse.exists, "another that delivers")
            outlast_the_lease(yard)
            release.set()
            assert stopping.wait(60) == 0
            status = yard.ended(job)
    assert [line.outcome for line in status.attempts] == ["delivered"]
    assert len(receiver.requests) == 1


def test_an_outcome_that_cannot_be_recorded_is_logged(yard: Yard, redis_url: str) -> None:
    def spoil(handler: BaseHTTPRequestHandler) -> None:
        (name,) = client.keys("boxyard:*:delivery:*")
        client.hset(name, "attempts", "no number")
        say(200)(handler)

    with (
        redis.Redis.from_url(redis_url) as client,
        Receiver(spoil) as receiver,
        capture_logs() as lines,
    ):
        delivery = yard.delivery(yard.cancel_job(callback={"url": receiver.url})).delivery
        with yard.delivering():
            receiver.wait(1)
    (line,) = [line for line in lines if line["log_level"] == "error"]
    assert line["event"] == "outcome lost"
    assert line["delivery"] == delivery.id


def take_a_while(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(0.03)
    say(200)(handler)


def judge(yard: Yard, receiver: Receiver, jobs: list[str]) -> None:
    """Each was told, at least once; and each time that it was told stands in its log."""
    ended = [yard.ended(job, seconds=60) for job in jobs]
    told = Counter(request.headers["webhook-id"] for request in receiver.requests)
    for status in ended:
        outcomes = [line.outcome for line in status.attempts]
        assert status.state is DeliveryState.DELIVERED, outcomes
        assert 1 <= told[status.delivery.id] <= len(outcomes), outcomes
        assert set(outcomes) <= {"delivered", "deliverer-lost", "unavailable"}


def test_two_deliverers_killed_at_any_moment_tell_everybody_and_their_log_tells_us(
    yard: Yard,
) -> None:
    random = Random(7)
    with Receiver(take_a_while) as receiver, sweeping(yard.ledger), deliver_process(yard):
        jobs = []
        for kill in range(5):
            with deliver_process(yard, lease_s=1) as victim:
                urls = [f"{receiver.url}/{number % 4}" for number in range(40)]
                jobs += [yard.cancel_job(callback={"url": url}) for url in urls]
                receiver.wait(40 * kill + 1, seconds=60)
                time.sleep(random.uniform(0.2, 1.2))
                victim.kill()
        with deliver_process(yard):
            judge(yard, receiver, jobs)


def test_redis_killed_in_the_middle_of_everything_costs_no_callback(
    yard: Yard, tmp_path: Path
) -> None:
    random = Random(8)
    with EmbeddedRedis(tmp_path / "own-redis") as server:
        settings = yard.settings.model_copy(update={"redis_url": server.url, "delivery_lease_s": 3})
        with Ledger.open(settings) as ledger, Receiver(take_a_while) as receiver:
            own, jobs = Yard(ledger, settings), list[str]()
            ledger.tenants.register("acme", api_key="key", webhook_secret=SECRET)
            with own.delivering(delivery_schedule_s=(0.2,) * 9), sweeping(ledger):
                for _ in range(3):
                    urls = [f"{receiver.url}/{number % 4}" for number in range(40)]
                    jobs += [own.cancel_job(callback={"url": url}) for url in urls]
                    time.sleep(random.uniform(0, 0.3))
                    server.kill()
                    time.sleep(0.5)
                    server.start()
                judge(own, receiver, jobs)
