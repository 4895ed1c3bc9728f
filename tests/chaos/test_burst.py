"""Fault 23: very many jobs at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from boxyard_ledger import Idempotency, JobRecord, keys
from boxyard_schemas import JobState, UploadImage, new_id
from boxyard_schemas.words import utc_now
from chaos.callers import Caller, Source
from chaos.faults import fault
from chaos.history import Accepted, Asked
from chaos.stack import MODEL, await_ready
from chaos.trial import Figures, Trial
from pictures import png, scene
from process import Process

_THREADS = 4


def accept(trial: Trial, caller: Caller, picture: Source) -> None:
    """Straight into the ledger: what a burst does to HTTP is the server's own story."""
    marker = caller.new_marker()
    job = JobRecord(
        id=new_id("job"),
        tenant=caller.tenant,
        model=MODEL,
        images=(UploadImage(upload=picture.member["upload"], reference=marker),),
        metadata={"marker": marker},
        created_at=utc_now(),
    )
    trial.history.note(Asked(caller.tenant, marker, (picture.sha256,)))
    status, _ = trial.stack.ledger.jobs.accept(job, idempotency=Idempotency(marker, marker))
    trial.history.note(Accepted(caller.tenant, status.job.id, marker))


def idle_bells(workers: Iterable[Process]) -> int:
    """Bells so far that were rung for jobs that another bell had brought."""
    return sum(worker.text().count("s: {}") for worker in workers)


@contextmanager
def at_home(workers: Sequence[Process]) -> Iterator[None]:
    """No worker is there meanwhile; their logs begin anew."""
    for worker in workers:
        assert worker.stop() == 0
    yield
    for worker in workers:
        worker.start()
    for worker in workers:
        await_ready(worker)


@fault(23, "burst")
def test_a_burst_is_taken_whole_and_worked_off(
    trial: Trial, figures: Figures, scale: Callable[..., int]
) -> None:
    """100,000 jobs (1,000 in CI) straight into the ledger by 4 threads; then workers come"""
    count = scale(slice=1_000, full=100_000)
    client, workers = trial.stack.client, trial.stack.detectors
    trial.stack.ledger.tenants.set_quota(
        trial.a.tenant, jobs_per_minute=100 * count + 600_000, queued_jobs=2 * count
    )
    picture = trial.a.upload(png(scene()))
    with at_home(workers):
        before, start = client.info("memory")["used_memory"], time.monotonic()
        with ThreadPoolExecutor(_THREADS) as threads:
            for done in [threads.submit(accept, trial, trial.a, picture) for _ in range(count)]:
                done.result()
        figures["accepted a second"] = round(count / (time.monotonic() - start))
        figures["waiting"] = client.zcard(keys.listed(trial.a.tenant, JobState.QUEUED))
        grown = client.info("memory")["used_memory"] - before
        figures["Redis grew by MB"] = round(grown / 1e6, 1)
    start = time.monotonic()
    trial.settle(scale(slice=120, full=3000))
    figures["jobs a second"] = round(count / (time.monotonic() - start))
    figures["redundant wake-up messages"] = idle_bells(workers)
    trial.conclude(figures, read=scale(slice=0.05, full=0.005))
    assert figures["waiting"] == count
