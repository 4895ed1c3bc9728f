"""A chunk: the images that one Celery task carries from claim to finish.

Every picture has a thread of its own from fetch to encode; almost all of its time it waits, for
the network or for the device, so the stages of many pictures overlap. What goes wrong with a
picture becomes its outcome; what goes wrong with the worker gives the job back.

A chunk does not wait for callers' slow servers: once those are all that it waits for, it leaves
its last jobs to end by themselves, and makes room for the next chunk.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial

from boxyard_ledger import Ledger
from boxyard_schemas import ImageFailure, ImageOutcome, JobResult, Provenance
from boxyard_schemas.errors import Unavailable, WorkError
from boxyard_worker.detect.hands import Fetched, Hands
from boxyard_worker.detect.lease import HeldJob, Leases
from boxyard_worker.detect.picture import Dropped, Pictures
from boxyard_worker.detect.progress import Progress
from boxyard_worker.detect.results import Results
from boxyard_worker.meters import DetectMeters, reason_class

Summary = dict[str, int]
"""How many jobs of a chunk ended how: finished, returned, dropped; or are slow and go on without
it. What the task returns."""

_SLOW_S = 1.0
"""So long a chunk waits before it leaves jobs that wait for their callers' servers."""
_PASSED_OVER_S = 0.2
"""So long a bell is held when all that is ready belongs to tenants that have their share."""


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
        clerks: threads for ending jobs.
        progress: is told.
        stopping: set when the worker ends: jobs that have not begun are given back.
        meters: are told how pictures ended.
    """

    worker: str
    ledger: Ledger
    leases: Leases
    pictures: Pictures
    results: Results
    provenance: Provenance
    hands: Hands[ImageOutcome]
    clerks: ThreadPoolExecutor
    progress: Progress
    stopping: threading.Event
    meters: DetectMeters = field(default_factory=DetectMeters)

    def run(self) -> Summary:
        """Claims a chunk and carries it through; empty when nothing was ready."""
        with self.progress.chunk():
            busy = self.hands.busy()
            jobs = self._claim(busy)
            ends = {self._start(job): job for job in jobs}
            if jobs or not busy:
                self.ledger.bells.ring(self.provenance.model)  # others may take what is ready
            else:
                self.stopping.wait(_PASSED_OVER_S)
            return self._attend(ends)

    def _claim(self, busy: set[str]) -> list[HeldJob]:
        if self.stopping.is_set():
            return []
        limit = self.ledger.settings.chunk_images
        model = self.provenance.model
        claims = self.ledger.jobs.claim(model, worker=self.worker, max_images=limit, busy=busy)
        return self.leases.hold(claims)

    def _attend(self, ends: dict[Future[str], HeldJob]) -> Summary:
        """Waits for jobs to end, but not for those that wait for their caller."""
        left = set(ends)
        while left:
            _, left = wait(left, _SLOW_S)
            if all(ends[end].unfetched for end in left):
                break
        summary = {"slow": len(left)} if left else {}
        for how in (end.result() for end in ends if end not in left):
            summary[how] = summary.get(how, 0) + 1
        return summary

    def _start(self, job: HeldJob) -> Future[str]:
        """Starts a job's pictures; the future says how the job ended."""
        job.log.info("job.claimed", attempt=job.claim.attempt, images=len(job.record.images))
        self.progress.begin()
        outcomes = [
            self.hands.submit(job.record.tenant, partial(self._outcome, job, index))
            for index in range(len(job.record.images))
        ]
        end = Future[str]()
        _when_all(outcomes, lambda: self.clerks.submit(self._settle, job, outcomes, end))
        return end

    def _outcome(self, job: HeldJob, index: int, fetched: Fetched) -> ImageOutcome:
        def arrived() -> None:
            job.unfetched.discard(index)
            fetched()

        if self.stopping.is_set() and not job.started:
            raise Dropped
        job.started = True
        reference = job.record.images[index].reference
        try:
            return self.pictures.process(job, index, arrived)
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
            arrived()
            self.progress.move()

    def _settle(
        self, job: HeldJob, outcomes: Sequence[Future[ImageOutcome]], end: Future[str]
    ) -> None:
        try:
            end.set_result(self._end(job, outcomes))
        except BaseException as error:  # the chunk is told
            job.log.exception("job.not-ended")
            end.set_exception(error)
        finally:
            self.progress.end()

    def _end(self, job: HeldJob, outcomes: Sequence[Future[ImageOutcome]]) -> str:
        try:
            how = self._conclude(job, outcomes)
        except Dropped:
            how = self._hand_back(job, "the worker stopped")
        except Unavailable as error:
            how = self._hand_back(job, error.detail)
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
        for image in result.images:
            code = image.code if isinstance(image, ImageFailure) else ""
            self.meters.pictures.labels(image.status, reason_class(code)).inc()
        return "finished" if self.results.record(job, result) else "dropped"

    def _hand_back(self, job: HeldJob, reason: str) -> str:
        """Gives a job back uncounted: what is away, or goes, is no failure of the job's."""
        if job.lost.is_set():
            return "dropped"
        try:
            held = self.ledger.jobs.requeue(
                job.claim, reason=reason, strikes=job.strikes, count_attempt=False
            )
        except Unavailable:
            return "dropped"  # the lease will end, and the job is then given back without us
        return "returned" if held else "dropped"


def _when_all(futures: Sequence[Future[ImageOutcome]], then: Callable[[], object]) -> None:
    """Calls `then` with the end of the last one."""
    left = itertools.count(len(futures) - 1, -1)  # its `next` is atomic

    def count_down(_: Future[ImageOutcome]) -> None:
        if next(left) == 0:
            then()

    for future in futures:
        future.add_done_callback(count_down)
