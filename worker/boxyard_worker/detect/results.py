"""Results: stored once under the claim's token, then recorded in the ledger."""

from __future__ import annotations

import hashlib
import threading

from boxyard_ledger import Ledger, ResultReference, result_key
from boxyard_schemas import JobResult
from boxyard_schemas.errors import Conflict, Unavailable, UnknownJob, Unreadable
from boxyard_worker.detect.lease import HeldJob
from boxyard_worker.detect.patience import log_outage
from boxyard_worker.detect.retries import Retries
from boxyard_worker.meters import DetectMeters


class Results:
    """Where finished jobs go.

    Args:
        ledger: blobs and jobs.
        patience_s: how long an outage is waited out before the job is given back, seconds.
        stopping: set when the worker shuts down: outages are no longer waited out.
        meters: are told how long it took.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        patience_s: float,
        stopping: threading.Event,
        meters: DetectMeters | None = None,
    ) -> None:
        self._ledger = ledger
        self._patience_s = patience_s
        self._stopping = stopping
        self._stages = (meters or DetectMeters()).stages

    def record(self, job: HeldJob, result: JobResult) -> bool:
        """Makes one attempt to store the result and to end the job with it.

        Returns:
            Whether the claim still held; if not, another worker's result stands or will, or
            nobody wants one any more, and what was stored is removed.

        Raises:
            Later: the blob store or Redis is away; it is to be tried again after a pause.
            Unavailable: it stayed away, or the worker shuts down.
        """
        try:
            return self._record(job, result)
        except Unavailable as error:
            if job.lost.is_set() or self._stopping.is_set():
                raise
            patience_s = self._patience_s
            job.recording = job.recording or Retries(deadline_s=patience_s, patience_s=patience_s)
            later = job.recording.after(error)
            log_outage(error, later.pause_s)
            raise later from error

    def _record(self, job: HeldJob, result: JobResult) -> bool:
        key = result_key(job.record.tenant, job.record.id, job.claim.token)
        data = result.model_dump_json(exclude_none=True).encode()
        job.log.debug("job.store", bytes=len(data))
        with self._stages.labels("store").time():
            reference = self._put(key, data)
        succeeded = sum(image.status == "succeeded" for image in result.images)
        failed = len(result.images) - succeeded
        job.log.debug("job.finish")
        finished = self._ledger.jobs.finish(
            job.claim, reference, succeeded=succeeded, failed=failed
        )
        if not finished:
            self._discard(job, key)
        return finished

    def _discard(self, job: HeldJob, key: str) -> None:
        try:
            if self._recorded(job, key) != key:
                self._ledger.blobs.delete(key)
                job.log.info("job.result-discarded")
        except Unavailable as error:
            job.log.warning("job.result-left", detail=error.detail)  # it goes with the job

    def _recorded(self, job: HeldJob, key: str) -> str | None:
        try:
            result = self._ledger.jobs.get(job.record.tenant, job.record.id).result
        except UnknownJob:
            return None
        except Unreadable:
            return key  # nothing says that it is not the recorded one
        return result.key if result else None

    def _put(self, key: str, data: bytes) -> ResultReference:
        try:
            return self._ledger.blobs.put(key, data, once=True)
        except Conflict:
            # Redis gave this token before and lost that it did; what was stored first stands.
            stored = self._ledger.blobs.get(key)
            digest = hashlib.sha256(stored).hexdigest()
            return ResultReference(key=key, sha256=digest, size=len(stored))
