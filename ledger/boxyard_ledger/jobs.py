"""Jobs: accepted, claimed, finished."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import structlog

from boxyard_schemas import JobState
from boxyard_schemas.errors import Conflict

from . import keys
from .admission import Admission, Idempotency
from .bells import Bells
from .candidates import Candidates
from .connection import Connection
from .job_reader import JobReader
from .quarantine import Quarantine
from .records import Claim, JobRecord, JobStatus, ResultReference
from .retention import Retention
from .settings import LedgerSettings
from .tally import Tally
from .transitions import Transitions

_log = structlog.get_logger(__name__)
_MOST_CANDIDATES = 1000
_ROUNDS = 4
"""How often a step looks again when others changed what it saw."""


class Jobs(JobReader):
    """The jobs of all tenants. Every method raises `Unavailable` when Redis is."""

    def __init__(
        self,
        connection: Connection,
        settings: LedgerSettings,
        *,
        admission: Admission,
        transitions: Transitions,
        retention: Retention,
        bells: Bells,
        tally: Tally,
        quarantine: Quarantine,
    ) -> None:
        super().__init__(connection, quarantine)
        self._settings = settings
        self._admission = admission
        self._transitions = transitions
        self._retention = retention
        self._bells = bells
        self._tally = tally
        self._candidates = Candidates(connection)

    def accept(
        self, job: JobRecord, *, idempotency: Idempotency | None = None
    ) -> tuple[JobStatus, bool]:
        """Writes a job down, durably, and rings for its model.

        Returns:
            The job that stands, and whether it is this one: an idempotency key that was used
            with the same fingerprint stands for the job of then, until that is forgotten.

        Raises:
            IdempotencyConflict: the key was used with another fingerprint.
            TooManyRequests: a bound is reached: `limit` names it, `retry_after_s` says when to
                come back.
            UnknownUpload: the tenant has not one of the uploads, or no longer.
        """
        while (job_id := self._admission.admit(job, idempotency)) != job.id:
            if known := self._look(job.tenant, job_id):
                return known, False
            # A job that was forgotten just now took its key along, or it was lost without its key:
            # the next try is the first.
            self._admission.forget(job.tenant, idempotency, job_id)
        self._tally.accepted.labels(job.model).inc()
        self._bells.ring(job.model)
        status = JobStatus(
            job=job,
            state=JobState.QUEUED,
            strikes=(0,) * len(job.images),
            idempotency=keys.digest(idempotency.key) if idempotency else None,
        )
        return status, True

    def find(self, tenant: str, idempotency: Idempotency) -> JobStatus | None:
        """The job that an idempotency key stands for.

        Raises:
            IdempotencyConflict: the key was used with another fingerprint.
        """
        job_id = self._admission.find(tenant, idempotency)
        return self._look(tenant, job_id) if job_id else None

    def cancel(self, tenant: str, job_id: str) -> JobStatus:
        """Ends a job that has not ended and fences its claim out; else leaves it as it is.

        Raises:
            UnknownJob: this tenant has no such job.
        """
        self._transitions.cancel(self.get(tenant, job_id).job)
        return self.get(tenant, job_id)

    def replay(self, tenant: str, job_id: str) -> JobStatus:
        """Makes a dead job ready again, as if it had never been tried, and rings for its model.

        Raises:
            UnknownJob: this tenant has no such job.
            Conflict: it is not dead.
        """
        status = self.get(tenant, job_id)
        if status.state is not JobState.DEAD:
            raise Conflict(f"Job {job_id} is {status.state}; only a dead job can be replayed.")
        # When it is dead no more, then somebody replayed it just now: perhaps this very call,
        # sent again after a lost answer.
        if self._transitions.replay(status.job):
            self._bells.ring(status.job.model)
        return self.get(tenant, job_id)

    def erase(self, tenant: str, job_id: str) -> None:
        """Removes a job, its deliveries, its results and the uploads that it alone names.

        A job that has not ended is cancelled first. Blobs go at once, or when their store is back.

        Raises:
            UnknownJob: this tenant has no such job.
            Conflict: it is replayed again and again meanwhile.
        """
        status: JobStatus | None = self.get(tenant, job_id)
        for _ in range(_ROUNDS):
            if status is None or self._retention.erase(status):
                _log.info("job.erased", job=job_id, tenant=tenant)
                return
            self._transitions.cancel(status.job)
            status = self._look(tenant, job_id)
        raise Conflict(f"Job {job_id} does not stand still. Try again.")

    def claim(
        self, model: str, *, worker: str, max_images: int, busy: Collection[str] = ()
    ) -> list[Claim]:
        """Takes ready jobs, by priority and then by age, up to `max_images`; one at least.

        Jobs that were not started in time are ended on the way. When it leaves ready jobs, or
        others were always faster, it sends a wake-up for the next claim, if one is missing.

        Args:
            model: whose jobs.
            worker: who holds them then.
            max_images: of all jobs together.
            busy: tenants that have their share of this worker; their jobs stay ready.
        """
        # Twice what could be taken: others look at the same jobs now, and take the first ones.
        rounds, limit = 0, 2 * max_images
        while rounds < _ROUNDS:
            candidates = self._candidates.find(model, limit, busy)
            if not candidates:
                break
            claims, expired, aside = self._transitions.claim(
                candidates, lease_s=self._settings.lease_s, max_images=max_images, worker=worker
            )
            self._expire(expired, dict(candidates))
            if claims:
                if len(candidates) > len(claims) + len(expired) + aside:
                    self._bells.ring(model)
                return claims
            if aside:  # it does not come again, but there may be much of it
                limit = min(4 * limit, _MOST_CANDIDATES)
            else:
                rounds += 1
        else:
            self._bells.ring(model)
        return []

    def _expire(self, late: Sequence[str], ready: Mapping[str, str]) -> None:
        for entry in late:
            # The sweeper does the same with its entry among the expiries.
            record = keys.job(*keys.split(entry))
            with self._quarantine.guarding(ready[entry], entry, record):
                if status := self._look(*keys.split(entry)):
                    self._transitions.expire(status.job)

    def renew(self, claims: Sequence[Claim]) -> set[str]:
        """Prolongs leases; returns the ids of jobs whose claim no longer holds.

        Those were cancelled, or their lease ended and the job was given back.
        """
        return self._transitions.renew(claims, self._settings.lease_s) if claims else set()

    def finish(self, claim: Claim, result: ResultReference, *, succeeded: int, failed: int) -> bool:
        """Records a stored result and with it the deliveries, and tells who waits.

        Returns:
            False when the claim no longer holds: nothing was recorded.
        """
        state = JobState.SUCCEEDED if succeeded else JobState.FAILED
        return self._transitions.finish(claim, state, result, succeeded, failed)

    def requeue(
        self,
        claim: Claim,
        *,
        reason: str,
        strikes: Sequence[int] | None = None,
        count_attempt: bool = True,
    ) -> bool:
        """Gives a job back, to be claimed again at its old age; a job out of attempts is dead.

        Args:
            claim: the hold to give up.
            reason: why.
            strikes: the images' strikes from now on; None leaves them.
            count_attempt: False for a clean hand-back, which is nobody's failure.

        Returns:
            False when the claim no longer holds.
        """
        if count_attempt and claim.attempt >= self._settings.max_attempts:
            return self._transitions.bury(claim, reason=reason)
        held = self._transitions.requeue(
            claim, reason=reason, strikes=strikes, count_attempt=count_attempt
        )
        if held:
            self._bells.ring(claim.job.model)
        return held
