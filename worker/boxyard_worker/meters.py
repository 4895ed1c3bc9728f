"""What the workers measure of their own work, for Prometheus.

Meters without a registry count all the same and are shown to nobody. No label says a tenant, a job
or an address; the codes of failures are few, and answers' statuses are counted by their hundred.
"""

from __future__ import annotations

import re
import time
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_STAGE_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ATTEMPT_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60)
_BATCH = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
_STATUS = re.compile(r"status-(\d)\d\d")


def reason_class(reason: str) -> str:
    """A failure's code with few values: `status-503` becomes `status-5xx`."""
    return _STATUS.sub(r"status-\1xx", reason)


class DetectMeters:
    """Of one detect worker."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.pictures = Counter(
            "boxyard_pictures",
            "Pictures by outcome, and the code of those that did not succeed.",
            ["outcome", "code"],
            registry=registry,
        )
        self.stages = Histogram(
            "boxyard_stage_seconds",
            "Time of a picture in each stage, and of a job's result in `store`.",
            ["stage"],
            buckets=_STAGE_S,
            registry=registry,
        )
        self.batches = Histogram(
            "boxyard_batch_pictures",
            "Pictures that went on the device together.",
            buckets=_BATCH,
            registry=registry,
        )
        self.restarts = Counter(
            "boxyard_model_restarts", "Model processes that died.", registry=registry
        )
        self.strikes = Counter(
            "boxyard_picture_strikes",
            "Model processes that died of a picture that was alone on the device.",
            registry=registry,
        )
        self.leases_lost = Counter(
            "boxyard_leases_lost",
            "Claims that the ledger no longer honoured: cancelled, or the lease had ended.",
            registry=registry,
        )
        self.jobs = Gauge("boxyard_jobs_in_flight", "Jobs under way.", registry=registry)


class DeliverMeters:
    """Of one deliver loop."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.attempts = Counter(
            "boxyard_delivery_attempts",
            "Attempts by how, what the delivery became and why.",
            ["kind", "state", "reason"],
            registry=registry,
        )
        self.seconds = Histogram(
            "boxyard_delivery_attempt_seconds",
            "Time of an attempt.",
            ["kind"],
            buckets=_ATTEMPT_S,
            registry=registry,
        )
        self.under_way = Gauge(
            "boxyard_deliveries_in_flight", "Deliveries under way.", registry=registry
        )
        self.resting = Resting()
        Gauge(
            "boxyard_receivers_resting",
            "Receivers that asked this loop for a rest that is not over.",
            registry=registry,
        ).set_function(self.resting.count)


class SweepMeters:
    """Of one sweep loop."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.swept = Counter(
            "boxyard_swept",
            "What was put right: leases given back, jobs expired and forgotten, bells rung, …",
            ["kind"],
            registry=registry,
        )
        self.seconds = Histogram(
            "boxyard_sweep_seconds",
            "Time of a tick.",
            ["loop"],
            buckets=_STAGE_S,
            registry=registry,
        )
        self.last = Gauge(
            "boxyard_sweep_last_seconds",
            "When the last tick got through, as seconds since 1970.",
            ["loop"],
            registry=registry,
        )


class Resting:
    """Receivers that are left alone for a while; thread-safe."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._lock = Lock()

    def begin(self, receiver: str, seconds: float) -> None:
        """One asked for a rest."""
        with self._lock:
            self._forget()
            self._until[receiver] = time.monotonic() + seconds

    def count(self) -> int:
        """How many rest now."""
        with self._lock:
            self._forget()
            return len(self._until)

    def _forget(self) -> None:
        now = time.monotonic()
        self._until = {name: end for name, end in self._until.items() if end > now}
