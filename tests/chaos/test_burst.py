"""Fault 23: very many jobs at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from boxyard_ledger import Idempotency, JobRecord, keys
from boxyard_schemas import JobState, UploadImage, new_id
from boxyard_schemas.words import utc_now
from chaos.callers import Caller, Source
from chaos.faults import fault
from chaos.history import Accepted, Asked
from chaos.stack import MODEL
from chaos.trial import Figures, Trial
from pictures import png, scene

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


def idle_bells(trial: Trial) -> int:
    """Bells so far that were rung for jobs that another bell had brought."""
    return sum(worker.text().count("s: {}") for worker in trial.stack.detectors)


@fault(23, "burst")
def test_a_burst_is_taken_whole_and_worked_off(
    trial: Trial, figures: Figures, scale: Callable[..., int]
) -> None:
    """1,000 jobs (100,000 in full) straight into the ledger by 4 threads, then worked off"""
    count, client, tenant = scale(slice=1_000, full=100_000), trial.stack.client, trial.a.tenant
    trial.stack.ledger.tenants.set_quota(
        tenant, jobs_per_minute=10 * count + 600_000, queued_jobs=2 * count
    )
    picture, idle = trial.a.upload(png(scene())), idle_bells(trial)
    before, start = client.info("memory")["used_memory"], time.monotonic()
    with ThreadPoolExecutor(_THREADS) as threads:
        for done in [threads.submit(accept, trial, trial.a, picture) for _ in range(count)]:
            done.result()
    accepted = time.monotonic()
    waiting = client.zcard(keys.listed(tenant, JobState.QUEUED))
    grown = (client.info("memory")["used_memory"] - before) / 1e6
    trial.settle(scale(slice=120, full=3000))
    figures["accepted/s"] = round(count / (accepted - start))
    figures["waiting at most"] = waiting
    figures["Redis grew by MB"] = round(grown, 1)
    figures["jobs/s"] = round(count / (time.monotonic() - start))
    figures["bells rung twice"] = idle_bells(trial) - idle
    trial.conclude(figures, read=scale(slice=0.05, full=0.005))
