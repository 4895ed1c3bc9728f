"""Retention: what ended long ago is forgotten, with its pictures and its results."""

from __future__ import annotations

from . import keys
from .blobs import BlobStore
from .connection import Connection
from .deliveries import Deliveries
from .indexes import read_due
from .records import JobStatus
from .status import read_status
from .transitions import Transitions, uploads_of


class Retention:
    """Removes a job's record, deliveries and blobs together."""

    def __init__(
        self,
        connection: Connection,
        transitions: Transitions,
        deliveries: Deliveries,
        blobs: BlobStore,
    ) -> None:
        self._connection = connection
        self._transitions = transitions
        self._deliveries = deliveries
        self._blobs = blobs

    def apply(self, retention_s: float, limit: int) -> int:
        """Forgets jobs that ended `retention_s` ago or longer; returns how many."""
        due = read_due(self._connection, keys.ENDED, limit, age_ms=int(retention_s * 1000))
        return sum(self._forget(read_status(fields)) for fields in due)

    def _forget(self, status: JobStatus) -> bool:
        # Blobs go first: while the record stands, a sweep that dies here is done again.
        job = status.job
        for upload in uploads_of(job):
            referents = self._connection.command("SMEMBERS", keys.referents(job.tenant, upload))
            if not set(referents) - {job.id}:
                self._blobs.delete(keys.upload_key(job.tenant, upload))
        for key in list(self._blobs.keys(keys.result_prefix(job.tenant, job.id))):
            self._blobs.delete(key)
        deliveries = [entry.delivery for entry in self._deliveries.list(job.tenant, job.id)]
        return self._transitions.forget(status, deliveries)
