"""Retention: a job is forgotten with its pictures and its results, early or when its time is up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from boxyard_schemas import JobState

from . import keys
from .connection import Connection, Word
from .erasures import Erasures
from .indexes import JobIndexes
from .quarantine import Quarantine
from .records import JobRecord, JobStatus
from .status import read_status
from .uploads import uploads_of

_HANDS = 8


class Retention:
    """Removes a job's record, deliveries, idempotency key and blobs together."""

    def __init__(self, connection: Connection, erasures: Erasures, quarantine: Quarantine) -> None:
        self._connection = connection
        self._erasures = erasures
        self._quarantine = quarantine
        self._indexes = JobIndexes(connection, quarantine)

    def apply(self, retention_s: float, limit: int) -> int:
        """Forgets jobs that ended `retention_s` ago or longer; returns how many."""
        due = self._indexes.due(
            keys.ENDED,
            limit,
            states=[state for state in JobState if state.terminal],
            read=read_status,
            age_ms=int(retention_s * 1000),
        )
        # Together, because Redis writes what comes together to its disk once.
        with ThreadPoolExecutor(_HANDS) as pool:
            return sum(pool.map(self._forget_due, due))

    def _forget_due(self, status: JobStatus) -> bool:
        entry = keys.member(status.job.tenant, status.job.id)
        record = keys.job(status.job.tenant, status.job.id)
        with self._quarantine.guarding(keys.ENDED, entry, record):
            return bool(self._forget(status))
        return False

    def erase(self, status: JobStatus) -> bool:
        """Forgets a job and erases its blobs now.

        Returns:
            False when it has not ended, or no longer stands as `status` says.
        """
        blobs = self._forget(status)
        self._erasures.carry_out(blobs)
        return bool(blobs)

    def _forget(self, status: JobStatus) -> list[str]:
        """Forgets a job that has ended; the blobs that were its alone, written down to go."""
        job, uploads = status.job, uploads_of(status.job)
        deliveries = self._deliveries(job)
        names = [keys.job(job.tenant, job.id), keys.listed(job.tenant)]
        names += [keys.listed(job.tenant, status.state), keys.ENDED]
        names += [keys.deliveries(job.tenant, job.id)]
        names += [keys.idempotency(job.tenant, status.idempotency or ""), keys.ERASURES]
        names += [keys.uploads(job.tenant), keys.stored_bytes(job.tenant)]
        names += [keys.exhausted(job.tenant), keys.record_bytes(job.tenant)]
        names += [keys.referents(job.tenant, upload) for upload in uploads]
        words: list[Word] = [keys.member(job.tenant, job.id), job.id, status.state]
        words += [keys.result_prefix(job.tenant, job.id), len(uploads)]
        for upload in uploads:
            words += [upload, keys.upload_key(job.tenant, upload)]
        for delivery, receiver in deliveries:
            name = keys.split(delivery)
            names += [keys.delivery(*name), keys.attempts(*name), keys.pending(receiver)]
            words.append(delivery)
        blobs: list[str] = self._connection.run("forget", names, words)
        return blobs

    def _deliveries(self, job: JobRecord) -> list[tuple[str, str]]:
        """A job's `tenant/delivery` and their receivers; no record has to be readable for it."""
        entries = self._connection.command("LRANGE", keys.deliveries(job.tenant, job.id), 0, -1)
        receivers = self._connection.commands(
            *(("HGET", keys.delivery(*keys.split(entry)), "receiver") for entry in entries)
        )
        return [(entry, name or "") for entry, name in zip(entries, receivers, strict=True)]
