"""A chunk: the images that one Celery task carries from claim to finish.

Every picture has a thread of its own from fetch to encode; almost all of its time it waits, for
the network or for the device, so the stages of many pictures overlap. What goes wrong with a
picture becomes its outcome; what goes wrong with the worker gives the job back.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from boxyard_ledger import Ledger
from boxyard_schemas import ImageFailure, ImageOutcome, JobResult, Provenance
from boxyard_schemas.errors import Unavailable, WorkError
from boxyard_worker.detect.lease import HeldJob, Leases
from boxyard_worker.detect.picture import Dropped, Pictures
from boxyard_worker.detect.progress import Progress
from boxyard_worker.detect.results import Results

Summary = dict[str, int]
"""How many jobs of a chunk ended how: finished, returned, dropped. What the task returns."""


@dataclass
class Chunks:
    """Runs chunks, several at once.

    Attributes:
        worker: this worker's id.
        ledger: where jobs are claimed.
        leases: keeps the claims alive meanwhile.
        pictures: what is done with one picture.
        results: where jobs end.
        provenance: what makes the predictions.
        hands: threads for pictures.
        clerks: threads for jobs, one for each in flight.
        progress: is told.
        stopping: set when the worker ends: jobs that have not begun are given back.
    """

    worker: str
    ledger: Ledger
    leases: Leases
    pictures: Pictures
    results: Results
    provenance: Provenance
    hands: ThreadPoolExecutor
    clerks: ThreadPoolExecutor
    progress: Progress
    stopping: threading.Event

    def run(self) -> Summary:
        """Claims a chunk and carries it through; empty when nothing was ready."""
        with self.progress.chunk():
            ends = [self._start(job) for job in self._claim()]
            self.ledger.bells.ring(self.provenance.model)  # others may take what is still ready
            summary: Summary = {}
            for end in ends:
                how = end.result()
                summary[how] = summary.get(how, 0) + 1
            return summary

    def _claim(self) -> list[HeldJob]:
        if self.stopping.is_set():
            return []
        limit = self.ledger.settings.chunk_images
        model = self.provenance.model
        claims = self.ledger.jobs.claim(model, worker=self.worker, max_images=limit)
        return self.leases.hold(claims)

    def _start(self, job: HeldJob) -> Future[str]:
        """Starts a job's pictures; the future says how the job ended."""
        job.log.info("job.claimed", attempt=job.claim.attempt, images=len(job.record.images))
        images = range(len(job.record.images))
        outcomes = [self.hands.submit(self._outcome, job, index) for index in images]
        return self.clerks.submit(self._end, job, outcomes)

    def _outcome(self, job: HeldJob, index: int) -> ImageOutcome:
        if self.stopping.is_set() and not job.started:
            raise Dropped
        job.started = True
        reference = job.record.images[index].reference
        try:
            return self.pictures.process(job, index)
        except WorkError as error:
            job.log.info("picture.failed", index=index, code=error.reason, detail=error.detail)
            return ImageFailure(
                status="crashed" if error.reason == "crashed" else "failed",
                reference=reference,
                code=error.reason,
                detail=error.detail,
            )
        except (Dropped, Unavailable):
            raise
        except Exception as error:  # a fault of ours with one picture must not take its job-mates
            job.log.exception("picture.internal-error", index=index)
            return ImageFailure(
                reference=reference, code="internal-error", detail=type(error).__name__
            )
        finally:
            self.progress.move()

    def _end(self, job: HeldJob, outcomes: Sequence[Future[ImageOutcome]]) -> str:
        try:
            how = self._conclude(job, outcomes)
        except Dropped:
            how = self._hand_back(job, "the worker stopped", count_attempt=False)
        except Unavailable as error:
            how = self._hand_back(job, error.detail, count_attempt=not self.stopping.is_set())
        finally:
            self.leases.release(job)
        job.log.info("job.ended", how=how)
        return how

    def _conclude(self, job: HeldJob, outcomes: Sequence[Future[ImageOutcome]]) -> str:
        result = JobResult(
            job=job.record.id,
            images=tuple(outcome.result() for outcome in outcomes),
            provenance=self.provenance,
            metadata=job.record.metadata,
        )
        return "finished" if self.results.record(job, result) else "dropped"

    def _hand_back(self, job: HeldJob, reason: str, *, count_attempt: bool) -> str:
        if job.lost.is_set():
            return "dropped"
        try:
            held = self.ledger.jobs.requeue(
                job.claim, reason=reason, strikes=job.strikes, count_attempt=count_attempt
            )
        except Unavailable:
            return "dropped"  # the lease will end, and the job is then given back without us
        return "returned" if held else "dropped"
