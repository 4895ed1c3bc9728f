from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import redis

from boxyard_ledger import Ledger, WorkerRecord
from boxyard_ledger.connection import Connection, Word
from boxyard_ledger.quarantine import Quarantine
from boxyard_ledger.workers import Workers
from boxyard_schemas.words import utc_now


def worker(name: str, *, warm: bool = True) -> WorkerRecord:
    return WorkerRecord(id=name, model="m", host="h", device="cpu", warm=warm, started_at=utc_now())


def test_workers_that_beat_are_listed_as_they_last_were(ledger: Ledger):
    assert ledger.workers.all() == []
    ledger.workers.beat(worker("b", warm=False), ttl_s=60)
    ledger.workers.beat(a := worker("a"), ttl_s=60)
    ledger.workers.beat(b := worker("b"), ttl_s=60)
    assert ledger.workers.all() == [a, b]


def test_a_worker_that_leaves_is_gone(ledger: Ledger):
    ledger.workers.beat(worker("a"), ttl_s=60)
    ledger.workers.leave("a")
    ledger.workers.leave("a")
    assert ledger.workers.all() == []


def test_a_silent_worker_is_dropped(ledger: Ledger, raw: redis.Redis):
    ledger.workers.beat(worker("a"), ttl_s=0.01)
    deadline = time.monotonic() + 10
    while ledger.workers.all() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ledger.workers.all() == []
    assert raw.scard("boxyard:workers") == 0


def test_a_worker_that_speaks_again_while_it_is_dropped_stays_listed(
    ledger: Ledger, raw: redis.Redis
):
    again = worker("a")

    class Interleaved(Connection):
        """Where the worker speaks just before it is dropped."""

        def command(self, *words: Word) -> Any:
            if words[0] == "SREM":
                ledger.workers.beat(again, ttl_s=60)
            return super().command(*words)

    raw.sadd("boxyard:workers", "a")  # it was silent for too long
    with closing(Interleaved(ledger.settings)) as connection:
        assert Workers(connection, Quarantine(connection)).all() == []
    assert ledger.workers.all() == [again]
