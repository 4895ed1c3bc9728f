"""Retention: a job is forgotten with its pictures and its results, early or when its time is up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from . import keys
from .connection import Connection, Word
from .deliveries import Deliveries
from .erasures import Erasures
from .indexes import read_due
from .outbox import receiver_of
from .records import DeliveryRecord, JobStatus
from .status import read_status
from .uploads import uploads_of

_HANDS = 8


class Retention:
    """Removes a job's record, deliveries, idempotency key and blobs together."""

    def __init__(self, connection: Connection, deliveries: Deliveries, erasures: Erasures) -> None:
        self._connection = connection
        self._deliveries = deliveries
        self._erasures = erasures

    def apply(self, retention_s: float, limit: int) -> int:
        """Forgets jobs that ended `retention_s` ago or longer; returns how many."""
        due = read_due(self._connection, keys.ENDED, limit, age_ms=int(retention_s * 1000))
        # Together, because Redis writes what comes together to its disk once.
        with ThreadPoolExecutor(_HANDS) as pool:
            return sum(map(bool, pool.map(lambda fields: self._forget(read_status(fields)), due)))

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
        deliveries = [entry.delivery for entry in self._deliveries.list(job.tenant, job.id)]
        names = [keys.job(job.tenant, job.id), keys.listed(job.tenant)]
        names += [keys.listed(job.tenant, status.state), keys.ENDED]
        names += [keys.deliveries(job.tenant, job.id)]
        names += [keys.idempotency(job.tenant, status.idempotency or ""), keys.ERASURES]
        names += [keys.uploads(job.tenant), keys.stored_bytes(job.tenant)]
        names += [keys.exhausted(job.tenant)]
        names += [keys.referents(job.tenant, upload) for upload in uploads]
        words: list[Word] = [keys.member(job.tenant, job.id), job.id, status.state]
        words += [keys.result_prefix(job.tenant, job.id), len(uploads)]
        for upload in uploads:
            words += [upload, keys.upload_key(job.tenant, upload)]
        for delivery in deliveries:
            names += _delivery_keys(delivery)
            words.append(keys.member(delivery.tenant, delivery.id))
        blobs: list[str] = self._connection.run("forget", names, words)
        return blobs


def _delivery_keys(delivery: DeliveryRecord) -> list[str]:
    name = delivery.tenant, delivery.id
    return [keys.delivery(*name), keys.attempts(*name), keys.pending(receiver_of(delivery))]
