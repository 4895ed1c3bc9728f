"""The jobs that this worker holds, and keeping hold of them."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import structlog

from boxyard_ledger import Claim, JobRecord, Ledger
from boxyard_worker.detect.retries import Retries
from boxyard_worker.meters import DetectMeters

log = structlog.get_logger(__name__)


class HeldJob:
    """A claimed job on its way through the worker.

    Attributes:
        claim: the hold.
        strikes: per picture, this claim's included.
        started: whether work on any of its pictures has begun.
        fetches: the attempts to fetch each image that was begun, by its index.
        recording: the attempts to record its result, once there was one.
        lost: set when the ledger no longer honours the claim: cancelled or fenced out.
    """

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.strikes = list(claim.strikes) or [0] * len(claim.job.images)
        self.started = False
        self.fetches: dict[int, Retries] = {}
        self.recording: Retries | None = None
        self.lost = threading.Event()
        self.log = log.bind(
            job=claim.job.id, tenant=claim.job.tenant, model=claim.job.model, token=claim.token
        )

    @property
    def record(self) -> JobRecord:
        """What was asked for."""
        return self.claim.job


class Leases:
    """Renews every claim in flight; `renew` is to be called well within the lease."""

    def __init__(self, ledger: Ledger, meters: DetectMeters | None = None) -> None:
        self._ledger = ledger
        self._meters = meters or DetectMeters()
        self._lock = threading.Lock()
        self._held: dict[str, HeldJob] = {}

    def hold(self, claims: Sequence[Claim]) -> list[HeldJob]:
        """Keeps the claims from now on. A newer claim of a job means the older one is lost."""
        jobs = [HeldJob(claim) for claim in claims]
        with self._lock:
            for job in jobs:
                older = self._held.get(job.record.id)
                if older:
                    self._lose(older)
                self._held[job.record.id] = job
        return jobs

    def release(self, job: HeldJob) -> bool:
        """Stops renewing; False when it was not renewed any more."""
        with self._lock:
            held = self._held.get(job.record.id) is job
            if held:
                del self._held[job.record.id]
            return held

    def renew(self) -> None:
        """Renews all; jobs that are lost are marked so and no longer renewed."""
        with self._lock:
            jobs = dict(self._held)
        if not jobs:
            return
        for name in self._ledger.jobs.renew([job.claim for job in jobs.values()]):
            if self.release(jobs[name]):  # else it ended meanwhile
                self._lose(jobs[name])

    def _lose(self, job: HeldJob) -> None:
        job.log.info("job.lost")
        job.lost.set()
        self._meters.leases_lost.inc()
