"""The Celery side reads wake-ups by events alone: no timer lies between a wake-up and its drain.

Celery keeps one task of a name in a process, so there is one test here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis
from kombu.asynchronous.hub import Hub

from boxyard_ledger import JobRecord, Ledger
from boxyard_schemas import DEMO_MODEL, UploadImage, detect_queue, new_id
from boxyard_schemas.words import utc_now
from boxyard_worker.detect.application import Consumer
from boxyard_worker.settings import DetectSettings

_LIMIT_S = 60.0
KEYS_OF_KOMBU = (
    f"_kombu.binding.{detect_queue(DEMO_MODEL)}",
    f"_kombu.binding_permanent.{detect_queue(DEMO_MODEL)}",
    *("_kombu.binding_deadlines", "unacked", "unacked_index", "unacked_mutex"),
)


@pytest.fixture(autouse=True)
def no_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery's event loop waits for events alone: its tick of a second is an hour."""
    monkeypatch.setattr(Hub, "fire_timers", lambda *_, **__: 3600.0)


@pytest.fixture
def settings(ledger: Ledger) -> DetectSettings:
    return DetectSettings(**ledger.settings.model_dump(), model=DEMO_MODEL)


def accept(ledger: Ledger) -> None:
    upload = ledger.uploads.store("default", b"pixels").id
    ledger.jobs.accept(
        JobRecord(
            id=new_id("job"),
            tenant="default",
            model=DEMO_MODEL,
            images=(UploadImage(upload=upload),),
            created_at=utc_now(),
        )
    )


@contextmanager
def consuming(settings: DetectSettings, drain: Callable[[], int]) -> Iterator[Consumer]:
    consumer = Consumer(settings, "worker", drain)
    thread = threading.Thread(target=consumer.run)
    thread.start()
    try:
        yield consumer
    finally:
        consumer.stop()
        thread.join(_LIMIT_S)
    assert not thread.is_alive(), "stopping waits for the next tick of the loop"


def test_a_wake_up_that_came_during_a_drain_is_read_as_soon_as_it_ends(
    ledger: Ledger, settings: DetectSettings
) -> None:
    begun, go_on = threading.Semaphore(0), threading.Semaphore(0)

    def drain() -> int:
        begun.release()
        assert go_on.acquire(timeout=_LIMIT_S)
        return 0

    with redis.Redis.from_url(settings.redis_url) as raw:
        for key in KEYS_OF_KOMBU:  # what stands there is none of the worker's business
            raw.set(key, "junk")
    accept(ledger)  # it sends the first wake-up; the job stays ready, so each one is needed
    with consuming(settings, drain):
        for _ in range(5):
            assert begun.acquire(timeout=_LIMIT_S), "the wake-up waits for the loop's next tick"
            assert ledger.bells.ring(DEMO_MODEL)
            assert not ledger.bells.ring(DEMO_MODEL)  # it waits in Redis, for any worker
            go_on.release()
        assert begun.acquire(timeout=_LIMIT_S), "the wake-up waits for the loop's next tick"
        go_on.release()
