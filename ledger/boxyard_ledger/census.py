"""The whole stack in figures, as Redis has them at this moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from boxyard_schemas import Priority, detect_queue

from . import keys
from .connection import Connection, Word
from .quarantine import Quarantine
from .records import WorkerRecord
from .workers import read_workers


class Queue(NamedTuple):
    """What waits for one model.

    Attributes:
        ready: jobs, by priority.
        oldest_s: seconds since the oldest of them was accepted, or 0.
        bells: Celery messages.
    """

    ready: dict[Priority, int]
    oldest_s: float
    bells: int


class Service(NamedTuple):
    """How many workers serve a model, and how many still load it."""

    warm: int
    loading: int


class Figures(NamedTuple):
    """A stack's figures; none of them belongs to one tenant.

    Attributes:
        queues: by model; those that ever had a job.
        workers: by model; those that live.
        running: jobs that workers hold.
        due: receivers that could be told something now.
        lag_s: seconds since the one that waits longest was due, or 0.
        erasures: blobs, or groups of them, that must still be erased.
        quarantined: places in Redis that could not be read.
    """

    queues: dict[str, Queue]
    workers: dict[str, Service]
    running: int
    due: int
    lag_s: float
    erasures: int
    quarantined: int


class Census:
    """Counts without looking at any job: two exchanges, however much waits."""

    def __init__(self, connection: Connection, quarantine: Quarantine) -> None:
        self._connection, self._quarantine = connection, quarantine

    def take(self) -> Figures:
        """The figures of now.

        Raises:
            Unavailable: Redis is away.
        """
        (seconds, microseconds), names, ids = self._connection.commands(
            ("TIME",), ("SMEMBERS", keys.MODELS), ("SMEMBERS", keys.WORKERS)
        )
        models = self._quarantine.keep_names(keys.MODELS, names, keys.MODEL_NAME)
        now = 1000 * int(seconds) + int(microseconds) // 1000
        words: list[Sequence[Word]] = [
            ("ZCARD", keys.LEASES),
            ("ZCOUNT", keys.RECEIVERS, "-inf", now),
            ("ZRANGE", keys.RECEIVERS, 0, 0, "WITHSCORES"),
            ("ZCARD", keys.ERASURES),
            ("HLEN", keys.QUARANTINE),
        ]
        words += [command for model in models for command in _queue_commands(model)]
        words += [("GET", keys.worker(name)) for name in ids]
        answers = iter(self._connection.commands(*words))
        running, due, first, erasures, quarantined = islice(answers, 5)
        queues = {model: _read_queue(answers, now) for model in models}
        beats = {name: beat for name, beat in zip(ids, answers, strict=True) if beat}
        workers = _count(read_workers(self._quarantine, beats))
        lag_s = _age_s(first, now)
        return Figures(queues, workers, running, due, lag_s, erasures, quarantined)


def _queue_commands(model: str) -> list[Sequence[Word]]:
    names = [keys.ready(model, priority) for priority in Priority]
    return [
        *(("ZCARD", name) for name in names),
        *(("ZRANGE", name, 0, 0, "WITHSCORES") for name in names),
        ("LLEN", detect_queue(model)),
    ]


def _read_queue(answers: Iterator[Any], now: int) -> Queue:
    counts = list(islice(answers, len(Priority)))
    ages = [_age_s(first, now) for first in islice(answers, len(Priority))]
    return Queue(dict(zip(Priority, counts, strict=True)), max(ages), next(answers))


def _age_s(first: Sequence[Any], now: int) -> float:
    """How long ago the first entry of an index was due, in seconds; 0 when there is none."""
    # RESP3 answers with pairs, RESP2 with one flat list.
    entry = first[0] if first and isinstance(first[0], list | tuple) else first
    return max(0.0, (now - float(entry[1])) / 1000) if entry else 0.0


def _count(workers: Sequence[WorkerRecord]) -> dict[str, Service]:
    return {
        model: Service(
            warm=sum(each.warm for each in workers if each.model == model),
            loading=sum(not each.warm for each in workers if each.model == model),
        )
        for model in sorted({worker.model for worker in workers})
    }
