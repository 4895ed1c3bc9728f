"""Replay: a dead job is tried anew, and what its former life left behind harms it not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from boxyard_ledger import Claim, JobRecord, Ledger, result_key
from boxyard_schemas import Callback, Delivery, JobState
from boxyard_schemas.errors import Conflict, UnknownJob

from .conftest import MODEL

CALLBACK = Delivery(callback=Callback(url="https://receiver.example/hook"))


@pytest.fixture
def die(ledger: Ledger, claim_one: Callable) -> Callable[[], Claim]:
    """Lets the next job's attempts run out; returns its last claim."""

    def run_out() -> Claim:
        for _ in range(ledger.settings.max_attempts):
            last = claim_one()
            assert ledger.jobs.requeue(last, reason="no luck", strikes=[2])
        return last

    return run_out


def test_a_dead_job_is_tried_anew_and_its_old_claims_stay_refused(
    ledger: Ledger, accept: Callable, die: Callable, claim_one: Callable, finish: Callable
):
    job = accept()
    last = die()
    status = ledger.jobs.replay("acme", job.id)
    assert (status.state, status.attempts, status.strikes) == (JobState.QUEUED, 0, (0,))
    assert (status.reason, status.started_at, status.finished_at) == (None, None, None)
    assert status == ledger.jobs.get("acme", job.id)
    anew = claim_one()
    assert (anew.attempt, anew.token) == (1, last.token + 1)
    assert not finish(last)
    assert finish(anew)
    assert ledger.jobs.get("acme", job.id).state is JobState.SUCCEEDED


def test_replaying_rings_and_the_job_is_listed_where_it_stands(
    ledger: Ledger, accept: Callable, die: Callable, raw: redis.Redis
):
    job = accept()
    die()
    raw.delete(f"detect.{MODEL}")
    ledger.jobs.replay("acme", job.id)
    assert raw.llen(f"detect.{MODEL}") == 1
    assert ledger.jobs.list("acme", state=JobState.DEAD) == ([], None)
    (queued,), _ = ledger.jobs.list("acme", state=JobState.QUEUED)
    assert queued.job.id == job.id
    assert raw.exists("boxyard:ended") == 0


def test_only_a_dead_job_can_be_replayed(
    ledger: Ledger, accept: Callable, claim_one: Callable, finish: Callable
):
    job = accept()
    for step in (lambda: None, claim_one, lambda: ledger.jobs.cancel("acme", job.id)):
        step()
        before = ledger.jobs.get("acme", job.id)
        with pytest.raises(Conflict, match=before.state):
            ledger.jobs.replay("acme", job.id)
        assert ledger.jobs.get("acme", job.id) == before


def test_another_tenant_s_job_cannot_be_replayed(ledger: Ledger, accept: Callable, die: Callable):
    job = accept()
    die()
    with pytest.raises(UnknownJob):
        ledger.jobs.replay("other", job.id)
    assert ledger.jobs.get("acme", job.id).state is JobState.DEAD


def test_both_ends_of_a_replayed_job_are_told(
    ledger: Ledger, accept: Callable, die: Callable, claim_one: Callable, finish: Callable
):
    job = accept(delivery=CALLBACK)
    die()
    ledger.jobs.replay("acme", job.id)
    finish(claim_one())
    assert len(ledger.deliveries.list("acme", job.id)) == 2
    ledger.jobs.erase("acme", job.id)
    assert ledger.deliveries.list("acme", job.id) == []


def test_a_job_replayed_by_many_at_once_is_replayed_once(
    ledger: Ledger, accept: Callable, die: Callable, claim_one: Callable
):
    job = accept()
    die()
    start = threading.Barrier(4)

    def replay(_: int) -> None:
        start.wait()
        try:
            assert ledger.jobs.replay("acme", job.id).state is JobState.QUEUED
        except Conflict:
            assert ledger.jobs.get("acme", job.id).state is JobState.QUEUED

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(replay, range(4)))
    assert claim_one().attempt == 1
    assert ledger.jobs.claim(MODEL, worker="w", max_images=1) == []


def test_the_results_of_a_replayed_job_outlive_the_erasing_of_its_former_life_s(
    *,
    ledger: Ledger,
    accept: Callable,
    die: Callable,
    claim_one: Callable,
    be_due: Callable,
):
    """Between its PUT and its finish, nothing but the running claim says that a result counts."""
    job = accept()
    last = die()
    ledger.blobs.put(result_key("acme", job.id, last.token), b"too late")
    ledger.jobs.replay("acme", job.id)
    anew = claim_one()
    result = ledger.blobs.put(result_key("acme", job.id, anew.token), b"{}", once=True)
    be_due("boxyard:erasures")
    ledger.sweeps.sweep()
    assert ledger.jobs.finish(anew, result, succeeded=1, failed=0)
    for _ in range(2):
        ledger.sweeps.sweep()
        be_due("boxyard:erasures")
    assert list(ledger.blobs.keys(f"acme/results/{job.id}/")) == [result.key]


def test_a_dead_job_is_replayed_or_forgotten_but_never_half(
    ledger: Ledger, accept: Callable, die: Callable, raw: redis.Redis
):
    jobs: list[JobRecord] = []
    for _ in range(10):
        jobs.append(accept(delivery=CALLBACK))
        die()
    for job in jobs:
        raw.zadd("boxyard:ended", {f"acme/{job.id}": 1})

    def replay(job: JobRecord) -> bool:
        try:
            return ledger.jobs.replay("acme", job.id).state is JobState.QUEUED
        except UnknownJob:
            return False

    with ThreadPoolExecutor(2) as pool:
        sweeping = pool.submit(ledger.sweeps.apply_retention, 10)
        replayed = [job for job in reversed(jobs) if replay(job)]
        assert sweeping.result() + len(replayed) == 10
    assert ledger.jobs.ready(MODEL) == len(replayed)
    assert {status.job.id for status in ledger.jobs.list("acme")[0]} == {job.id for job in replayed}
