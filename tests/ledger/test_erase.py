"""Erasing: a job goes with all that was its own, whatever happens meanwhile, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from boxyard_ledger import (
    Claim,
    DeliveryAttempt,
    DeliveryState,
    Idempotency,
    JobRecord,
    Ledger,
    result_key,
    upload_key,
)
from boxyard_schemas import Callback, Delivery, JobState, UploadImage
from boxyard_schemas.errors import UnknownJob
from boxyard_schemas.words import utc_now

from .conftest import MODEL

CALLBACK = Delivery(callback=Callback(url="https://receiver.example/hook"))
ERASURES = "boxyard:erasures"


@pytest.fixture
def store_and_finish(ledger: Ledger) -> Callable[[Claim], bool]:
    """Does what a worker does when it is done."""

    def end(claim: Claim) -> bool:
        return ledger.jobs.finish(claim, put_result(ledger, claim), succeeded=1, failed=0)

    return end


def put_result(ledger: Ledger, claim: Claim) -> object:
    return ledger.blobs.put(
        result_key(claim.job.tenant, claim.job.id, claim.token), b"{}", once=True
    )


def upload(ledger: Ledger, tenant: str = "acme") -> UploadImage:
    return UploadImage(upload=ledger.uploads.store(tenant, b"pixels").id)


def blobs(ledger: Ledger) -> set[str]:
    return {*ledger.blobs.keys("acme/"), *ledger.blobs.keys("other/")}


def is_gone(ledger: Ledger, job: JobRecord) -> bool:
    try:
        ledger.jobs.get(job.tenant, job.id)
    except UnknownJob:
        return job.id not in {status.job.id for status in ledger.jobs.list(job.tenant)[0]}
    return False


def test_an_erased_job_leaves_no_trace(
    *,
    ledger: Ledger,
    make_job: Callable,
    claim_one: Callable,
    store_and_finish: Callable,
    raw: redis.Redis,
    be_due: Callable,
):
    job = make_job(images=(upload(ledger), upload(ledger)), delivery=CALLBACK)
    ledger.jobs.accept(job, idempotency=Idempotency("key", "body"))
    store_and_finish(claim_one())
    ledger.jobs.erase("acme", job.id)
    assert is_gone(ledger, job)
    assert blobs(ledger) == set()
    assert ledger.deliveries.list("acme", job.id) == []
    be_due(ERASURES)
    assert ledger.sweeps.sweep().erased == 3
    ledger.deliveries.claim(worker="d")
    left = {name for name in raw.keys("boxyard:*") if not name.endswith(("drained", "submissions"))}
    assert left == {"boxyard:models", f"boxyard:drained:{MODEL}", "boxyard:blob-store"}


@pytest.mark.parametrize("end", ["pending", "sending", "exhausted", "delivered"])
def test_deliveries_go_with_their_job_however_they_stand(
    *,
    ledger: Ledger,
    accept: Callable,
    claim_one: Callable,
    store_and_finish: Callable,
    raw: redis.Redis,
    end: str,
):
    job = accept(delivery=CALLBACK)
    store_and_finish(claim_one())
    if end != "pending":
        (held,) = ledger.deliveries.claim(worker="d")
    if end in ("exhausted", "delivered"):
        attempt = DeliveryAttempt(at=utc_now(), outcome=end)
        ledger.deliveries.record(held, attempt, state=DeliveryState(end))
    ledger.jobs.erase("acme", job.id)
    assert raw.keys("*:delivery:*") + raw.keys("*:exhausted") == []
    assert ledger.deliveries.claim(worker="d") == []


def test_the_worker_of_an_erased_job_is_refused_and_what_it_stored_goes(
    ledger: Ledger, accept: Callable, claim_one: Callable, be_due: Callable
):
    job = accept()
    held = claim_one()
    ledger.jobs.erase("acme", job.id)
    assert ledger.jobs.renew([held]) == {job.id}
    result = put_result(ledger, held)
    assert not ledger.jobs.finish(held, result, succeeded=1, failed=0)
    assert not ledger.jobs.requeue(held, reason="x")
    assert is_gone(ledger, job)
    ledger.sweeps.sweep()
    assert blobs(ledger) == {result.key}, "its worker may still be writing"
    be_due(ERASURES)
    ledger.sweeps.sweep()
    assert blobs(ledger) == set()


def test_a_job_that_waits_is_erased_and_claimed_by_nobody(
    ledger: Ledger, accept: Callable, raw: redis.Redis
):
    job = accept(expires_at=utc_now())
    ledger.jobs.erase("acme", job.id)
    assert ledger.jobs.claim(MODEL, worker="w", max_images=1) == []
    assert raw.exists("boxyard:expiries", "boxyard:ended", f"boxyard:ready:{MODEL}:normal") == 0


def test_an_unknown_job_and_another_tenant_s_cannot_be_erased(ledger: Ledger, accept: Callable):
    job = accept()
    with pytest.raises(UnknownJob):
        ledger.jobs.erase("other", job.id)
    assert ledger.jobs.get("acme", job.id).state is JobState.QUEUED
    ledger.jobs.erase("acme", job.id)
    with pytest.raises(UnknownJob):
        ledger.jobs.erase("acme", job.id)


def test_a_job_erased_by_many_at_once_is_erased_once(
    ledger: Ledger, make_job: Callable, raw: redis.Redis
):
    kept = upload(ledger)
    for _ in range(10):
        job = make_job(images=(upload(ledger), kept))
        ledger.jobs.accept(job)
        start = threading.Barrier(4)

        def erase(_: int, job: JobRecord = job, start: threading.Barrier = start) -> None:
            start.wait()
            try:
                ledger.jobs.erase("acme", job.id)
            except UnknownJob:
                assert is_gone(ledger, job)

        ledger.jobs.accept(make_job(images=(kept,)))
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(erase, range(4)))
        assert is_gone(ledger, job)
        assert blobs(ledger) == {upload_key("acme", kept.upload)}
        assert raw.get("boxyard:acme:stored-bytes") == "6"


def test_a_job_that_is_erased_while_its_worker_finishes_leaves_nothing(
    *, ledger: Ledger, accept: Callable, be_due: Callable, raw: redis.Redis
):
    jobs = [accept(delivery=CALLBACK) for _ in range(30)]
    claims = ledger.jobs.claim(MODEL, worker="w", max_images=30)

    def work() -> None:
        for claim in claims:
            ledger.jobs.finish(claim, put_result(ledger, claim), succeeded=1, failed=0)

    def erase() -> None:
        for job in jobs:
            ledger.jobs.erase("acme", job.id)

    with ThreadPoolExecutor(2) as pool:
        for done in (pool.submit(work), pool.submit(erase)):
            done.result()
    be_due(ERASURES)
    ledger.sweeps.sweep()
    assert all(is_gone(ledger, job) for job in jobs)
    assert blobs(ledger) == set()
    assert raw.keys("*:delivery:*") + raw.keys("*:job:*") == []


def test_a_shared_upload_goes_with_its_last_job(
    ledger: Ledger, make_job: Callable, raw: redis.Redis
):
    shared, own = upload(ledger), upload(ledger)
    first, second = make_job(images=(shared, own)), make_job(images=(shared,))
    for job in (first, second):
        ledger.jobs.accept(job)
    ledger.jobs.erase("acme", first.id)
    assert blobs(ledger) == {upload_key("acme", shared.upload)}
    ledger.jobs.erase("acme", second.id)
    assert blobs(ledger) == set()
    assert raw.keys("*upload*") == []


def test_a_blob_store_that_is_away_only_delays(
    *, ledger: Ledger, make_job: Callable, be_due: Callable, tmp_path: Path
):
    job = make_job(images=(upload(ledger),))
    ledger.jobs.accept(job)
    (tmp_path / "blobs").rename(tmp_path / "away")
    (tmp_path / "blobs").write_bytes(b"no store")
    ledger.jobs.erase("acme", job.id)
    assert is_gone(ledger, job)
    assert ledger.sweeps.sweep().erased == 0
    (tmp_path / "blobs").unlink()
    (tmp_path / "away").rename(tmp_path / "blobs")
    assert ledger.sweeps.sweep().erased == 0, "it is left alone for a while"
    be_due(ERASURES)
    assert ledger.sweeps.sweep().erased == 4
    assert blobs(ledger) == set()


def test_a_blob_that_resists_keeps_no_other_waiting(
    ledger: Ledger, make_job: Callable, be_due: Callable, tmp_path: Path
):
    jobs = [make_job(images=(upload(ledger),)) for _ in range(3)]
    stubborn = tmp_path / "blobs" / upload_key("acme", jobs[0].images[0].upload)
    stubborn.unlink()
    (stubborn / "a folder that cannot be deleted like a file").mkdir(parents=True)
    for job in jobs:
        ledger.jobs.accept(job)
        ledger.jobs.cancel("acme", job.id)
    be_due("boxyard:ended")
    assert ledger.sweeps.apply_retention(10) == 3
    assert ledger.sweeps.erase_blobs(limit=2) + ledger.sweeps.erase_blobs(limit=5) == 5
    assert blobs(ledger) == set()
    be_due(ERASURES)
    stubborn.joinpath("a folder that cannot be deleted like a file").rmdir()
    stubborn.rmdir()
    assert ledger.sweeps.sweep().erased == 7


def test_what_a_crash_left_to_erase_another_process_erases(
    ledger: Ledger, make_job: Callable, be_due: Callable
):
    job = make_job(images=(upload(ledger),))
    ledger.jobs.accept(job)
    ledger.jobs.cancel("acme", job.id)
    be_due("boxyard:ended")
    assert ledger.sweeps.apply_retention(10) == 1
    assert blobs(ledger) != set(), "here the process died"
    with Ledger.open(ledger.settings) as another:
        assert another.sweeps.sweep().erased == 2
    assert blobs(ledger) == set()


def test_retention_takes_what_is_old_and_nothing_else(
    *,
    ledger: Ledger,
    make_job: Callable,
    claim_one: Callable,
    store_and_finish: Callable,
    raw: redis.Redis,
    be_due: Callable,
):
    shared = upload(ledger)
    old = make_job(images=(shared, upload(ledger)), age_s=9)
    young = make_job(images=(shared,), age_s=8)
    foreign = make_job(tenant="other", images=(upload(ledger, "other"),), age_s=7)
    loose = upload(ledger)
    for job in (old, young, foreign):
        ledger.jobs.accept(job)
        store_and_finish(claim_one())
    before = blobs(ledger)
    raw.zadd("boxyard:ended", {f"acme/{old.id}": 1})
    swept = ledger.sweeps.sweep()
    be_due(ERASURES)
    ledger.sweeps.sweep()
    assert swept.forgotten == 1
    assert is_gone(ledger, old)
    gone = {result_key("acme", old.id, 1), upload_key("acme", old.images[1].upload)}
    assert before - blobs(ledger) == gone
    assert upload_key("acme", loose.upload) in blobs(ledger)
    for job in (young, foreign):
        status = ledger.jobs.get(job.tenant, job.id)
        assert ledger.blobs.get(status.result.key) == b"{}"


def test_results_of_lost_claims_go_when_the_job_has_ended(
    *,
    ledger: Ledger,
    accept: Callable,
    claim_one: Callable,
    store_and_finish: Callable,
    end_leases: Callable,
    be_due: Callable,
):
    job = accept()
    zombie = claim_one()
    put_result(ledger, zombie)
    end_leases()
    ledger.sweeps.sweep()
    winner = claim_one()
    ledger.sweeps.sweep()
    assert len(blobs(ledger)) == 1, "the job has not ended"
    assert store_and_finish(winner)
    ledger.sweeps.sweep()
    assert blobs(ledger) == {result_key("acme", job.id, winner.token)}
    put_result(ledger, zombie)
    be_due(ERASURES)
    ledger.sweeps.sweep()
    assert blobs(ledger) == {ledger.jobs.get("acme", job.id).result.key}


def test_a_job_that_ended_at_its_first_claim_leaves_nothing_to_look_for(
    ledger: Ledger, accept: Callable, claim_one: Callable, finish: Callable, raw: redis.Redis
):
    accept()
    finish(claim_one())
    assert raw.exists(ERASURES) == 0
