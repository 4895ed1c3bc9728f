"""The watchdog ends a worker that idles beside ready jobs, and no other."""

from __future__ import annotations

import pytest
import redis

from boxyard_ledger import JobRecord, Ledger
from boxyard_schemas import UploadImage, detect_queue, new_id
from boxyard_schemas.errors import Unavailable
from boxyard_schemas.words import utc_now
from boxyard_worker.detect.progress import Progress
from boxyard_worker.detect.watchdog import EXIT_STALLED, Watchdog

MODEL = "stand-in"


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("progress", "watchdog"):
        monkeypatch.setattr(f"boxyard_worker.detect.{module}.time", clock)
    return clock


class Kennel:
    """A watchdog that only notes when it would end the worker."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.clock = clock
        self.progress = Progress()
        self.exits: list[int] = []
        self.dog = Watchdog(ledger, MODEL, self.progress, stall_s=0.4, end=self.exits.append)

    def watch(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.02)):
            self.dog.check()
            self.clock.now += 0.02


@pytest.fixture
def kennel(ledger: Ledger, clock: Clock) -> Kennel:
    return Kennel(ledger, clock)


@pytest.fixture
def ready_job(ledger: Ledger) -> JobRecord:
    job = JobRecord(
        id=new_id("job"),
        tenant="default",
        model=MODEL,
        images=(UploadImage(upload=ledger.uploads.store("default", b"pixels").id),),
        created_at=utc_now(),
    )
    ledger.jobs.accept(job)
    return job


def test_a_deaf_worker_is_ended(kennel: Kennel, ready_job: JobRecord) -> None:
    kennel.watch(0.2)
    assert kennel.exits == []
    kennel.watch(0.6)
    assert set(kennel.exits) == {EXIT_STALLED}


def test_a_worker_without_jobs_may_idle(kennel: Kennel) -> None:
    kennel.watch(0.8)
    assert kennel.exits == []


def test_a_worker_that_claims_is_left_alone(kennel: Kennel, ready_job: JobRecord) -> None:
    with kennel.progress.drain():
        kennel.watch(0.8)
    assert kennel.exits == []


def test_a_worker_that_moves_is_left_alone(
    ledger: Ledger, clock: Clock, ready_job: JobRecord
) -> None:
    kennel = Kennel(ledger, clock)
    for _ in range(8):
        kennel.progress.move()
        kennel.watch(0.1)
    assert kennel.exits == []


def test_a_lost_bell_is_rung_again_before_the_worker_is_blamed(
    kennel: Kennel, ready_job: JobRecord, redis_url: str
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.delete(detect_queue(MODEL))
        kennel.watch(0.35)
        assert client.llen(detect_queue(MODEL)) == 1
    assert kennel.exits == []


def test_a_worker_that_stood_still_hears_the_bell_before_it_is_blamed(
    kennel: Kennel, ready_job: JobRecord, redis_url: str
) -> None:
    kennel.watch(0.1)
    kennel.clock.now += 3600
    with redis.Redis.from_url(redis_url) as client:
        client.delete(detect_queue(MODEL))
        kennel.watch(0.02)
        assert client.llen(detect_queue(MODEL)) == 1
    assert kennel.exits == []
    kennel.watch(0.02)
    assert set(kennel.exits) == {EXIT_STALLED}


def test_redis_being_away_is_no_stall(ledger: Ledger, clock: Clock) -> None:
    nowhere = ledger.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    with Ledger.open(nowhere) as away:
        kennel = Kennel(away, clock)
        with pytest.raises(Unavailable):
            kennel.dog.check()
    assert kennel.exits == []
