"""Retention: a job is forgotten with its pictures and its results, early or when its time is up."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from boxyard_schemas import JobState

from . import keys
from .connection import Connection, Word
from .erasures import Erasures
from .indexes import JobIndexes
from .quarantine import Quarantine
from .records import JobStatus
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
            return bool(self._forget_status(status))
        return False

    def erase(self, status: JobStatus) -> bool:
        """Forgets a job and erases its blobs now.

        Returns:
            False when it has not ended, or no longer stands as `status` says.
        """
        blobs = self._forget_status(status)
        self._erasures.carry_out(blobs)
        return bool(blobs)

    def _forget_status(self, status: JobStatus) -> list[str]:
        job = status.job
        return self.forget(
            job.tenant,
            job.id,
            status.state,
            uploads=uploads_of(job),
            idempotency=status.idempotency or "",
        )

    def forget(
        self, tenant: str, job_id: str, state: JobState, *, uploads: Sequence[str], idempotency: str
    ) -> list[str]:
        """Forgets a job that has ended, and has its blobs erased.

        Args:
            tenant: whose.
            job_id: the job.
            state: in which it ended.
            uploads: that it names.
            idempotency: the digest of its idempotency key; "" for none.

        Returns:
            The blobs that were its alone; none when it has not ended, or not so.
        """
        deliveries = self._deliveries(tenant, job_id)
        names = [keys.job(tenant, job_id), keys.listed(tenant), keys.listed(tenant, state)]
        names += [keys.ENDED, keys.deliveries(tenant, job_id)]
        names += [keys.idempotency(tenant, idempotency), keys.ERASURES]
        names += [keys.uploads(tenant), keys.stored_bytes(tenant)]
        names += [keys.exhausted(tenant), keys.record_bytes(tenant)]
        names += [keys.referents(tenant, upload) for upload in uploads]
        words: list[Word] = [keys.member(tenant, job_id), job_id, state]
        words += [keys.result_prefix(tenant, job_id), len(uploads)]
        for upload in uploads:
            words += [upload, keys.upload_key(tenant, upload)]
        for delivery, receiver in deliveries:
            name = keys.split(delivery)[1]
            names += [keys.delivery(tenant, name), keys.attempts(tenant, name)]
            names.append(keys.pending(receiver))
            words.append(delivery)
        blobs: list[str] = self._connection.run("forget", names, words)
        return blobs

    def _deliveries(self, tenant: str, job_id: str) -> list[tuple[str, str]]:
        """A job's `tenant/delivery` and their receivers; no record has to be readable for it."""
        entries = self._connection.command("LRANGE", keys.deliveries(tenant, job_id), 0, -1)
        # The tenant's own ones alone, whatever an entry says.
        names = [keys.delivery(tenant, keys.split(entry)[1]) for entry in entries]
        receivers = self._connection.commands(*(("HGET", name, "receiver") for name in names))
        return [(entry, name or "") for entry, name in zip(entries, receivers, strict=True)]
