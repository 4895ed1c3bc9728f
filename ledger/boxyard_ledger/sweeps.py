"""Sweeps: what must happen though nobody asks; any number of sweepers may run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import structlog

from boxyard_schemas import JobState
from boxyard_schemas.errors import BoxyardError, ServiceError

from . import keys
from .bells import Bells
from .connection import Connection
from .deliveries import Deliveries
from .erasures import Erasures
from .indexes import JobIndexes
from .jobs import Jobs
from .quarantine import Quarantine
from .records import Claim, JobRecord
from .retention import Retention
from .settings import LedgerSettings
from .status import read_claim, read_status
from .transitions import Transitions
from .uploads import Uploads

LIMIT = 500
"""Entries of each kind that one tick takes on."""
_log = structlog.get_logger(__name__)
T = TypeVar("T")
_RESTORE_S = 60.0
"""Between looks whether a newer version's records can be read by now."""
_LOST = "The worker's lease ended."


class Swept(NamedTuple):
    """What one sweep did, in numbers.

    `loose` are uploads that no job named in time; `quarantined` are entries that could not be
    read, and `restored` those of a newer version that this one can read.
    """

    leases: int = 0
    receivers: int = 0
    expired: int = 0
    bells: int = 0
    forgotten: int = 0
    loose: int = 0
    erased: int = 0
    quarantined: int = 0
    restored: int = 0


class Sweeps:
    """One bounded step after the other. Every method raises `Unavailable` when Redis is."""

    def __init__(
        self,
        connection: Connection,
        *,
        settings: LedgerSettings,
        transitions: Transitions,
        deliveries: Deliveries,
        bells: Bells,
        retention: Retention,
        uploads: Uploads,
        erasures: Erasures,
        jobs: Jobs,
        quarantine: Quarantine,
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._transitions = transitions
        self._deliveries = deliveries
        self._bells = bells
        self._retention = retention
        self._uploads = uploads
        self._erasures = erasures
        self._jobs = jobs
        self._quarantine = quarantine
        self._indexes = JobIndexes(connection, quarantine)
        self._restored_at = float("-inf")

    def sweep(self, limit: int = LIMIT) -> Swept:
        """One tick: at most `limit` entries of each kind."""
        return self.sweep_records(limit)._replace(erased=self.erase_blobs(limit))

    def sweep_records(self, limit: int = LIMIT) -> Swept:
        """The part of a tick that needs Redis alone.

        A step that fails is logged and keeps no other step from running.
        """
        before = self._quarantine.moved
        steps: dict[str, Callable[[], int]] = {
            "restored": self._restore_versions,
            "leases": lambda: self.release_expired_leases(limit),
            "receivers": lambda: self._deliveries.release_expired_leases(limit),
            "expired": lambda: self.expire_jobs(limit),
            "bells": self.ring_missing_bells,
            "forgotten": lambda: self.apply_retention(limit),
            "loose": lambda: self._uploads.drop_loose(limit),
        }
        swept = Swept(**{name: _run_step(name, step) for name, step in steps.items()})
        return swept._replace(quarantined=self._quarantine.moved - before)

    def _restore_versions(self) -> int:
        if time.monotonic() < self._restored_at + _RESTORE_S:
            return 0
        self._restored_at = time.monotonic()
        return self._quarantine.restore_versions()

    def erase_blobs(self, limit: int = LIMIT) -> int:
        """Erases what was written down to go; a blob store that hangs may hold this up."""
        return self._erasures.apply(limit)

    def release_expired_leases(self, limit: int) -> int:
        """Makes jobs of lost workers ready again, or dead when their attempts ran out.

        A lost lease adds no strike: the worker may have died of anything.
        """
        due = self._indexes.due(keys.LEASES, limit, states=[JobState.RUNNING], read=read_claim)
        return sum(self._guarded(keys.LEASES, claim.job, self._release, claim) for claim in due)

    def _guarded(self, index: str, job: JobRecord, step: Callable[[T], bool], subject: T) -> bool:
        """A step with one job; if it cannot read something, the job leaves the index."""
        record = keys.job(job.tenant, job.id)
        with self._quarantine.guarding(index, keys.member(job.tenant, job.id), record):
            return step(subject)
        return False

    def _release(self, claim: Claim) -> bool:
        if claim.attempt >= self._settings.max_attempts:
            return self._transitions.bury(claim, reason=_LOST, only_lost=True)
        return self._transitions.requeue(claim, reason=_LOST, only_lost=True)

    def expire_jobs(self, limit: int) -> int:
        """Ends jobs that were not started in time."""
        due = self._indexes.due(keys.EXPIRIES, limit, states=[JobState.QUEUED], read=read_status)
        return sum(
            self._guarded(keys.EXPIRIES, status.job, self._transitions.expire, status.job)
            for status in due
        )

    def ring_missing_bells(self) -> int:
        """Rings for every model with ready jobs and too few bells."""
        return sum(self._bells.ring_missing(model) for model in self._jobs.models())

    def apply_retention(self, limit: int) -> int:
        """Forgets jobs that ended longer than `retention_s` ago, with all that was theirs."""
        return self._retention.apply(self._settings.retention_s, limit)


def _run_step(name: str, step: Callable[[], int]) -> int:
    try:
        return step()
    except ServiceError:  # Redis is away: the other steps would fail too
        raise
    except BoxyardError as error:
        _log.error("sweep.step-failed", step=name, error=error.detail)
        return 0
