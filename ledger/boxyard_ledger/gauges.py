"""The whole stack for Prometheus, read from Redis when somebody asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Lock

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from boxyard_schemas.errors import SetupError, Unavailable

from .census import Figures

_log = structlog.get_logger(__name__)
_FRESH_S = 1.0
"""Scrapes within so long share one reading."""


class StackGauges(Collector):
    """Reads at most once a second, however many scrape.

    While Redis is away its figures are left out, for old ones would look like a queue that
    stands still, and `boxyard_redis_up` is 0.

    Args:
        take: reads the figures; raises `Unavailable` when Redis is away.
    """

    def __init__(self, take: Callable[[], Figures]) -> None:
        self._take = take
        self._lock = Lock()
        self._figures: Figures | None = None
        self._read_at = float("-inf")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges of now."""
        with self._lock:
            if time.monotonic() > self._read_at + _FRESH_S:
                self._figures = self._read()
                self._read_at = time.monotonic()
            figures = self._figures
        yield _plain("redis_up", "Whether Redis answered this scrape.", figures is not None)
        if figures:
            yield from _of_queues(figures)
            yield from _of_all(figures)

    def _read(self) -> Figures | None:
        try:
            return self._take()
        except (Unavailable, SetupError) as error:
            _log.warning("metrics.without-redis", detail=error.detail)
            return None


def _of_queues(figures: Figures) -> Iterator[GaugeMetricFamily]:
    ready = GaugeMetricFamily(
        "boxyard_jobs_ready", "Jobs that wait for a worker.", labels=["model", "priority"]
    )
    oldest = GaugeMetricFamily(
        "boxyard_oldest_ready_job_seconds",
        "Since the oldest job that waits was accepted; 0 when none waits.",
        labels=["model"],
    )
    bells = GaugeMetricFamily(
        "boxyard_bells", "Celery messages that wait for a worker.", labels=["model"]
    )
    for model, queue in figures.queues.items():
        for priority, count in queue.ready.items():
            ready.add_metric([model, priority], count)
        oldest.add_metric([model], queue.oldest_s)
        bells.add_metric([model], queue.bells)
    yield from (ready, oldest, bells)


def _of_all(figures: Figures) -> Iterator[GaugeMetricFamily]:
    workers = GaugeMetricFamily(
        "boxyard_workers", "Detect workers that live.", labels=["model", "state"]
    )
    # A model that has jobs and no worker must show a 0, or no alert could tell.
    for model in sorted(figures.queues.keys() | figures.workers.keys()):
        warm, loading = figures.workers.get(model, (0, 0))
        workers.add_metric([model, "warm"], warm)
        workers.add_metric([model, "loading"], loading)
    yield workers
    yield _plain("jobs_running", "Jobs that workers hold.", figures.running)
    yield _plain("receivers_due", "Receivers that could be told something now.", figures.due)
    yield _plain(
        "delivery_lag_seconds",
        "Since the receiver that waits longest was due; 0 when none is.",
        figures.lag_s,
    )
    yield _plain(
        "quarantined_records", "Places in Redis that could not be read.", figures.quarantined
    )
    yield _plain("erasures_waiting", "Blobs that must still be erased.", figures.erasures)


def _plain(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"boxyard_{name}", meaning, value=value)
