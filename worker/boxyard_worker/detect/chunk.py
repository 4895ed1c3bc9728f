"""From a wake-up to finished jobs: claim chunk after chunk until nothing is ready.

A chunk is the images that one claim takes. The claiming thread only starts its images; it waits
for nothing but a free thread, so slow images of one chunk never delay the claim of the next.

Every picture has a thread of its own from fetch to encode; almost all of its time it waits, for
the network or for the device, so the stages of many pictures overlap. The last picture's thread
stores and records the job's result. Between two attempts to fetch a picture or to store a result
no thread is held. What goes wrong with a picture becomes its outcome; what goes wrong with the
worker gives the job back.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

from boxyard_ledger import Ledger
from boxyard_schemas import ImageFailure, ImageOutcome, JobResult, Provenance
from boxyard_schemas.errors import Unavailable, WorkError
from boxyard_worker.detect.decoder_process import DecoderDied
from boxyard_worker.detect.hands import Fetched, Hands, Later
from boxyard_worker.detect.lease import HeldJob, Leases
from boxyard_worker.detect.pending import ModelKilled
from boxyard_worker.detect.picture import Dropped, Pictures
from boxyard_worker.detect.progress import Progress
from boxyard_worker.detect.results import Results
from boxyard_worker.meters import DetectMeters, reason_class

_LONGEST_REST_S = 0.2
_REST = 9
"""A claim that found only jobs of tenants that have their share is followed by a pause of so many
times its own duration: each wake-up leads to one, and it may read thousands of index entries."""


@dataclass
class Chunks:
    """Claims chunks and carries their jobs through.

    Attributes:
        worker: this worker's id.
        ledger: where jobs are claimed.
        leases: keeps the claims alive meanwhile.
        pictures: what is done with one picture.
        results: where jobs end.
        provenance: what makes the predictions.
        hands: threads for pictures.
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
    progress: Progress
    stopping: threading.Event
    meters: DetectMeters = field(default_factory=DetectMeters)

    def run(self) -> int:
        """Claims until nothing is ready or the worker stops; returns how many jobs it claimed.

        Their images may still be under way then.
        """
        claimed = 0
        with self.progress.drain():
            while jobs := self._claim():
                claimed += len(jobs)
                for job in jobs:
                    self._start(job)
        return claimed

    def _claim(self) -> list[HeldJob]:
        self.hands.wait_for_room()
        if self.stopping.is_set():
            return []
        busy, began = self.hands.busy(), time.monotonic()
        claims = self.ledger.jobs.claim(
            self.provenance.model,
            worker=self.worker,
            max_images=self.ledger.settings.chunk_images,
            busy=busy,
        )
        if busy and not claims:
            self.stopping.wait(min(_LONGEST_REST_S, _REST * (time.monotonic() - began)))
        return self.leases.hold(claims)

    def _start(self, job: HeldJob) -> None:
        job.log.info("job.claimed", attempt=job.claim.attempt, images=len(job.record.images))
        self.progress.begin()
        outcomes = [
            self.hands.submit(job.record.tenant, partial(self._outcome, job, index))
            for index in range(len(job.record.images))
        ]
        _when_all(outcomes, lambda: self._settle_first(job, outcomes))

    def _outcome(self, job: HeldJob, index: int, fetched: Fetched) -> ImageOutcome:
        if self.stopping.is_set() and (not job.started or index in job.fetches):
            raise Dropped  # nothing of the job was begun, or the image waited for another attempt
        job.started = True
        reference = job.record.images[index].reference
        try:
            return self.pictures.process(job, index, fetched)
        except WorkError as error:
            job.log.info("picture.failed", index=index, code=error.reason, detail=error.detail)
            return ImageFailure(
                status="crashed" if error.reason == "crashed" else "failed",
                reference=reference,
                code=error.reason,
                detail=error.detail,
            )
        except Later:
            if self.stopping.is_set():
                raise Dropped from None
            raise
        except (Dropped, ModelKilled, Unavailable):
            raise
        except DecoderDied as error:
            if job.claim.attempt < self.ledger.settings.max_attempts:
                raise
            return ImageFailure(
                reference=reference,
                code="decoder-killed",
                detail=f"No decoder could finish the image in {job.claim.attempt} attempts, which "
                f"was not the image's doing ({error}).",
            )
        except Exception as error:  # a fault of ours with one picture must not take its job-mates
            job.log.exception("picture.internal-error", index=index)
            return ImageFailure(
                reference=reference, code="internal-error", detail=type(error).__name__
            )
        finally:
            self.progress.move()

    def _settle_first(self, job: HeldJob, outcomes: Sequence[Future[ImageOutcome]]) -> None:
        """Ends a job on the thread of its last image, or later if its result cannot be stored."""

        def settle_again(fetched: Fetched) -> None:
            fetched()  # it takes no share of the threads that fetch
            self._settle(job, outcomes)

        try:
            self._settle(job, outcomes)
        except Later as later:
            self.hands.submit_later(job.record.tenant, settle_again, later, images=len(outcomes))

    def _settle(self, job: HeldJob, outcomes: Sequence[Future[ImageOutcome]]) -> None:
        try:
            job.log.info("job.ended", how=self._end(job, outcomes))
        except Later:
            raise
        except Exception:  # its lease ends, and the sweeper makes it ready again
            job.log.exception("job.not-ended")
        self.leases.release(job)
        self.progress.end()

    def _end(self, job: HeldJob, outcomes: Sequence[Future[ImageOutcome]]) -> str:
        try:
            return self._conclude(job, outcomes)
        except Dropped:
            return self._hand_back(job, "the worker stopped")
        except Unavailable as error:
            return self._hand_back(job, error.detail)
        except DecoderDied as error:
            reason = (
                f"The decoder's process did not finish, which was not the image's doing: {error}."
            )
            return self._hand_back(job, reason, count_attempt=True)
        except ModelKilled as error:
            reason = (
                "The model's process was ended from outside, which was not the image's doing: "
                f"{error}."
            )
            return self._hand_back(job, reason, count_attempt=True)

    def _conclude(self, job: HeldJob, outcomes: Sequence[Future[ImageOutcome]]) -> str:
        result = JobResult(
            job=job.record.id,
            images=tuple(outcome.result() for outcome in outcomes),
            provenance=self.provenance,
            metadata=job.record.metadata,
        )
        recorded = self.results.record(job, result)
        for image in result.images:
            code = image.code if isinstance(image, ImageFailure) else ""
            self.meters.pictures.labels(image.status, reason_class(code)).inc()
        return "finished" if recorded else "dropped"

    def _hand_back(self, job: HeldJob, reason: str, *, count_attempt: bool = False) -> str:
        """Makes a job ready again; what is away, or stops, is no attempt of the job's."""
        if job.lost.is_set():
            return "dropped"
        try:
            held = self.ledger.jobs.requeue(
                job.claim, reason=reason, strikes=job.strikes, count_attempt=count_attempt
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
