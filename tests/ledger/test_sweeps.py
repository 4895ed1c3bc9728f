from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import redis

from boxyard_ledger import BlobMissing, Claim, Ledger, result_key, upload_key
from boxyard_schemas import Callback, Delivery, JobState, UploadImage
from boxyard_schemas.errors import UnknownJob
from boxyard_schemas.words import utc_now

from .conftest import MODEL


def test_a_lost_worker_s_job_is_ready_again_without_a_strike(
    ledger: Ledger, accept: Callable, claim_one: Callable, end_leases: Callable
):
    job = accept()
    claim_one()
    assert ledger.sweeps.release_expired_leases(10) == 0
    end_leases()
    assert ledger.sweeps.release_expired_leases(10) == 1
    status = ledger.jobs.get("acme", job.id)
    assert (status.state, status.strikes) == (JobState.QUEUED, (0,))
    assert claim_one() == Claim(job=job, token=2, attempt=2, strikes=(0,))


def test_a_job_that_loses_every_worker_is_dead(
    ledger: Ledger, accept: Callable, claim_one: Callable, end_leases: Callable
):
    job = accept()
    for _ in range(ledger.settings.max_attempts):
        claim_one()
        end_leases()
        ledger.sweeps.release_expired_leases(10)
    status = ledger.jobs.get("acme", job.id)
    assert (status.state, status.attempts) == (JobState.DEAD, 20)
    assert status.reason == "Gave up after 20 attempts; the last: The worker's lease ended."


def test_jobs_not_started_in_time_expire(ledger: Ledger, accept: Callable):
    late = accept(expires_at=utc_now() - timedelta(seconds=1))
    accept(expires_at=utc_now() + timedelta(seconds=60))
    assert ledger.sweeps.expire_jobs(10) == 1
    assert ledger.jobs.get("acme", late.id).state is JobState.EXPIRED
    assert ledger.jobs.ready(MODEL) == 1


def test_one_tick_is_bounded(ledger: Ledger, accept: Callable):
    for _ in range(5):
        accept(expires_at=utc_now() - timedelta(seconds=1))
    assert [ledger.sweeps.expire_jobs(2) for _ in range(4)] == [2, 2, 1, 0]


def test_two_sweepers_at_once_release_each_job_once(
    ledger: Ledger, accept: Callable, end_leases: Callable
):
    for _ in range(20):
        accept()
    ledger.jobs.claim(MODEL, worker="w", max_images=20)
    end_leases()
    with ThreadPoolExecutor(2) as pool:
        released = list(pool.map(lambda _: ledger.sweeps.release_expired_leases(50), range(2)))
    assert sum(released) == 20
    assert ledger.jobs.ready(MODEL) == 20


def test_lost_bells_ring_again(ledger: Ledger, accept: Callable, raw: redis.Redis):
    accept()
    raw.delete(f"detect.{MODEL}")
    assert ledger.sweeps.sweep().bells == 1
    assert ledger.sweeps.sweep().bells == 0
    assert raw.llen(f"detect.{MODEL}") == 1


@pytest.fixture
def age(raw: redis.Redis) -> Callable[[Ledger], None]:
    """Makes every job that ended so old that its retention is over."""

    def make(ledger: Ledger) -> None:
        for member in raw.zrange("boxyard:ended", 0, -1):
            raw.zincrby("boxyard:ended", -1000 * ledger.settings.retention_s - 1, member)

    return make


def test_retention_removes_a_job_with_all_that_was_its_own(
    ledger: Ledger, accept: Callable, claim_one: Callable, raw: redis.Redis, age: Callable
):
    callback = Delivery(callback=Callback(url="https://receiver.example/hook"))
    job = accept(delivery=callback)
    kept = accept(priority="low")
    held = claim_one()
    ledger.blobs.put(result_key("acme", job.id, 7), b"a loser's")
    result = ledger.blobs.put(result_key("acme", job.id, held.token), b"{}")
    ledger.jobs.finish(held, result, succeeded=1, failed=0)
    ledger.deliveries.claim(worker="d")
    assert ledger.sweeps.apply_retention(10) == 0, "its retention is not over"
    age(ledger)
    swept = ledger.sweeps.sweep()
    assert (swept.forgotten, swept.erased) == (1, 1)
    with pytest.raises(UnknownJob):
        ledger.jobs.get("acme", job.id)
    assert [status.job.id for status in ledger.jobs.list("acme")[0]] == [kept.id]
    assert ledger.deliveries.list("acme", job.id) == []
    assert not list(ledger.blobs.keys("acme/results/"))
    assert raw.keys(f"*{job.id}*") + raw.keys("*delivery*") == []
    assert raw.zrange("boxyard:acme:jobs", 0, -1) == [kept.id]
    assert raw.exists("boxyard:acme:jobs:succeeded", "boxyard:ended") == 0


def test_an_upload_stays_while_a_job_needs_it(ledger: Ledger, make_job: Callable, age: Callable):
    upload = UploadImage(upload=ledger.uploads.store("acme", b"pixels").id)
    key = upload_key("acme", upload.upload)
    jobs = [make_job().model_copy(update={"images": (upload, upload)}) for _ in range(2)]
    for job in jobs:
        ledger.jobs.accept(job)
    for job, stays in zip(jobs, (True, False), strict=True):
        ledger.jobs.cancel("acme", job.id)
        age(ledger)
        assert ledger.sweeps.sweep().forgotten == 1
        assert (key in ledger.blobs.keys(key)) is stays


def test_what_a_deliverer_holds_may_be_forgotten_under_it(
    *,
    ledger: Ledger,
    accept: Callable,
    claim_one: Callable,
    finish: Callable,
    age: Callable,
    end_leases: Callable,
    raw: redis.Redis,
):
    callback = Delivery(callback=Callback(url="https://receiver.example/hook"))
    accept(delivery=callback)
    finish(claim_one())
    ledger.deliveries.claim(worker="d")
    age(ledger)
    ledger.sweeps.apply_retention(10)
    end_leases()
    assert ledger.sweeps.sweep().receivers == 1
    assert ledger.deliveries.claim(worker="d") == []
    assert raw.keys("*delivery*") + raw.keys("*receiver*") == []


def test_a_receiver_whose_deliveries_were_forgotten_is_due_no_more(
    ledger: Ledger, accept: Callable, age: Callable
):
    job = accept(delivery=Delivery(callback=Callback(url="https://receiver.example/hook")))
    ledger.jobs.cancel("acme", job.id)
    age(ledger)
    ledger.sweeps.apply_retention(10)
    assert ledger.deliveries.claim(worker="d") == []
    assert ledger.deliveries.next_due() is None


def test_a_blob_that_is_gone_already_does_not_stop_retention(
    ledger: Ledger, accept: Callable, age: Callable
):
    job = accept()
    ledger.jobs.cancel("acme", job.id)
    age(ledger)
    assert ledger.sweeps.sweep().forgotten == 1
    with pytest.raises(BlobMissing):
        ledger.blobs.get(result_key("acme", job.id, 1))
