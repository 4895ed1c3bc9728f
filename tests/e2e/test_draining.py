"""While jobs are ready, a worker claims them; it never waits for a timer first.

No sweeper runs here: its tick would hide a wait, and a wake-up that was lost.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from boxyard_ledger import EmbeddedRedis
from boxyard_schemas import JobState, StoredImage
from boxyard_worker.detector.standin import Trouble
from pictures import png, scene, trouble
from process import PATIENCE_S
from yard import MODEL, WorkerProcess, Yard


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    with EmbeddedRedis(tmp_path / "redis") as server:
        opened = Yard(tmp_path, server)
        yield opened
        opened.close()


def run_callers(yard: Yard, image: StoredImage, callers: int, jobs: int) -> float:
    """So many callers, each with one job at a time: jobs a second."""
    began = time.monotonic()
    with yard.ledger.jobs.subscribe() as feed:
        for _ in range(callers):
            yard.accept([image])
        for ended in range(1, jobs + 1):
            assert feed.next(timeout=PATIENCE_S), "a ready job is not claimed"
            if ended + callers <= jobs:
                yard.accept([image])
    return jobs / (time.monotonic() - began)


def test_more_callers_get_more_jobs_done(yard: Yard) -> None:
    """A wait for a timer after a full pool makes four callers slower than one."""
    yard.worker()
    image = yard.upload(png(scene()))
    run_callers(yard, image, 1, 5)
    gains = []
    for _ in range(3):
        alone = run_callers(yard, image, 1, 15)
        gains += [run_callers(yard, image, callers, 60) / alone for callers in (4, 16)]
    assert statistics.median(gains) > 1.3, gains


def claims(worker: WorkerProcess, jobs: set[str]) -> int:
    return sum(event["job"] in jobs for event in worker.events("job.claimed"))


def test_two_workers_share_what_is_ready(yard: Yard) -> None:
    slow = yard.upload(png(trouble(Trouble.SLOW)))
    workers = [yard.worker(hands=2, chunk_images=1) for _ in range(2)]
    jobs = {yard.accept([slow]) for _ in range(8)}
    for job in jobs:
        yard.await_end(job)
    shares = [claims(worker, jobs) for worker in workers]
    assert sum(shares) == len(jobs)
    assert min(shares) >= 2, shares


def test_a_job_that_comes_as_a_claim_finds_nothing_is_not_left_behind(yard: Yard) -> None:
    """Jobs one after the other, at the moment when the one before has just ended."""
    worker = yard.worker()
    image = yard.upload(png(scene()))
    run_callers(yard, image, callers=2, jobs=200)
    assert yard.ledger.jobs.ready(MODEL) == 0
    assert not any('"celery.app.trace"' in line for line in worker.lines()), "a line a wake-up"


def test_a_worker_that_stops_claims_no_more(yard: Yard) -> None:
    """SIGTERM in the midst of a long drain: what waits stays ready for the others."""
    slow = yard.upload(png(trouble(Trouble.SLOW)))
    worker = yard.worker(hands=4)
    jobs = {yard.accept([slow]) for _ in range(60)}
    worker.await_event("job.ended")
    assert worker.stop() == 0
    claimed = claims(worker, jobs)
    states = [yard.status(job).state for job in jobs]
    ended = states.count(JobState.SUCCEEDED)
    assert states.count(JobState.QUEUED) == len(jobs) - ended > 20
    assert claimed == ended + len(worker.events("job.ended", how="returned"))
    assert not worker.events("job.ended", how="dropped")
