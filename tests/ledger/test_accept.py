from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import redis

from boxyard_ledger import Idempotency, Ledger
from boxyard_schemas import JobState, UploadImage, UrlImage
from boxyard_schemas.errors import IdempotencyConflict, InvalidRequest, UnknownJob
from boxyard_schemas.words import utc_now


def test_an_accepted_job_is_queued_and_reads_back_as_it_was(ledger: Ledger, make_job: Callable):
    job = make_job(images=3, metadata={"order": "7"}, warnings=("slow",))
    status, created = ledger.jobs.accept(job)
    assert created
    assert status == ledger.jobs.get("acme", job.id)
    assert (status.job, status.state, status.strikes) == (job, JobState.QUEUED, (0, 0, 0))


def test_another_tenant_cannot_see_or_cancel_a_job(ledger: Ledger, accept: Callable):
    job = accept()
    for look in (ledger.jobs.get, ledger.jobs.cancel):
        with pytest.raises(UnknownJob):
            look("other", job.id)
    assert ledger.jobs.list("other") == ([], None)
    assert ledger.jobs.get("acme", job.id).state is JobState.QUEUED


def test_accepting_the_same_record_again_is_the_same_job(ledger: Ledger, make_job: Callable):
    job = make_job()
    assert ledger.jobs.accept(job)[1]
    assert ledger.jobs.accept(job)[1]
    assert ledger.jobs.ready(job.model) == 1


def test_accepting_a_running_job_again_does_not_start_it_anew(
    ledger: Ledger, accept: Callable, claim_one: Callable, finish: Callable
):
    job = accept()
    held = claim_one()
    ledger.jobs.accept(job)
    assert ledger.jobs.ready(job.model) == 0
    assert finish(held)


def test_an_idempotency_key_stands_for_its_first_job(ledger: Ledger, make_job: Callable):
    key = Idempotency("key", "body")
    first, _ = ledger.jobs.accept(make_job(), idempotency=key)
    again, created = ledger.jobs.accept(make_job(), idempotency=key)
    assert (again, created) == (first, False)
    assert ledger.jobs.ready(first.job.model) == 1


def test_an_idempotency_key_with_another_body_is_refused(ledger: Ledger, make_job: Callable):
    ledger.jobs.accept(make_job(), idempotency=Idempotency("key", "body"))
    with pytest.raises(IdempotencyConflict):
        ledger.jobs.accept(make_job(), idempotency=Idempotency("key", "another"))


def test_idempotency_keys_of_two_tenants_are_two(ledger: Ledger, make_job: Callable):
    key = Idempotency("key", "body")
    for tenant in ("acme", "other"):
        assert ledger.jobs.accept(make_job(tenant=tenant), idempotency=key)[1]


def test_concurrent_twins_make_one_job(ledger: Ledger, make_job: Callable):
    barrier = threading.Barrier(8)

    def submit(_: int) -> tuple[str, bool]:
        job = make_job()
        barrier.wait()
        status, created = ledger.jobs.accept(job, idempotency=Idempotency("key", "body"))
        return status.job.id, created

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(submit, range(8)))
    assert len({job_id for job_id, _ in answers}) == 1
    assert sum(created for _, created in answers) == 1


def test_an_idempotency_key_is_kept_until_its_job_is_forgotten(
    ledger: Ledger, make_job: Callable, raw: redis.Redis
):
    key = Idempotency("key", "body")
    first, _ = ledger.jobs.accept(make_job(), idempotency=key)
    (name,) = raw.keys("boxyard:acme:idempotency:*")
    assert raw.ttl(name) == -1
    ledger.jobs.cancel("acme", first.job.id)
    assert ledger.jobs.accept(make_job(), idempotency=key)[0].job == first.job
    ledger.jobs.erase("acme", first.job.id)
    assert ledger.jobs.find("acme", key) is None
    assert ledger.jobs.accept(make_job(), idempotency=key)[1]


def test_the_job_of_an_idempotency_key_can_be_found(ledger: Ledger, make_job: Callable):
    key = Idempotency("key", "body")
    assert ledger.jobs.find("acme", key) is None
    accepted, _ = ledger.jobs.accept(make_job(), idempotency=key)
    assert ledger.jobs.find("acme", key) == accepted
    assert ledger.jobs.find("other", key) is None
    with pytest.raises(IdempotencyConflict):
        ledger.jobs.find("acme", Idempotency("key", "another"))


def test_a_listing_goes_from_new_to_old_page_by_page(ledger: Ledger, accept: Callable):
    ids = sorted(accept().id for _ in range(5))
    first, cursor = ledger.jobs.list("acme", limit=2)
    second, cursor = ledger.jobs.list("acme", limit=2, cursor=cursor)
    third, end = ledger.jobs.list("acme", limit=2, cursor=cursor)
    assert [status.job.id for status in first + second + third] == ids[::-1]
    assert end is None


def test_a_listing_can_be_of_one_state(ledger: Ledger, accept: Callable):
    kept, cancelled = accept(), accept()
    ledger.jobs.cancel("acme", cancelled.id)
    for state, job in ((JobState.QUEUED, kept), (JobState.CANCELLED, cancelled)):
        (status,), _ = ledger.jobs.list("acme", state=state)
        assert status.job.id == job.id
    assert ledger.jobs.list("acme", state=JobState.RUNNING) == ([], None)


def test_a_cursor_of_nobody_is_an_invalid_request(ledger: Ledger):
    with pytest.raises(InvalidRequest):
        ledger.jobs.list("acme", cursor="[x")


def test_all_that_a_job_leaves_carries_its_tenant_but_the_global_indexes(
    ledger: Ledger, make_job: Callable, raw: redis.Redis
):
    upload = UploadImage(upload=ledger.uploads.store("acme", b"pixels").id)
    soon = utc_now() + timedelta(seconds=60)
    job = make_job().model_copy(update={"images": (upload,), "expires_at": soon})
    ledger.jobs.accept(job, idempotency=Idempotency("key", "body"))
    indexes = {
        "boxyard:models",
        "boxyard:expiries",
        "boxyard:blob-store",
        f"boxyard:ready:{job.model}:normal",
        f"detect.{job.model}",
    }
    names = {name for name in raw.keys("*") if not name.startswith("_kombu")}
    assert indexes <= names
    assert all(name.startswith("boxyard:acme:") for name in names - indexes)


def test_a_page_of_jobs_reads_no_record(ledger: Ledger, accept: Callable, raw: redis.Redis):
    url = "https://pictures.example/" + "a" * 1900
    ids = [accept(images=(UrlImage(url=url),) * 64, metadata={"a": "b"}).id for _ in range(20)]
    before = raw.info("stats")["total_net_output_bytes"]
    page, _ = ledger.jobs.list("acme")
    assert raw.info("stats")["total_net_output_bytes"] - before < 40_000
    assert [status.view() for status in page] == [
        ledger.jobs.get("acme", job_id).view() for job_id in reversed(ids)
    ]


@pytest.mark.parametrize(
    ("field", "junk"),
    [
        *(("head", "{"), ("head", None), ("record", "{"), ("record", ""), ("record", None)),
        *(("strikes", "[1,2]"), ("result", "{"), ("state", "odd"), ("attempts", "-1")),
    ],
)
def test_a_job_whose_record_or_head_was_damaged_is_listed_only_if_it_can_be_read(
    ledger: Ledger, accept: Callable, raw: redis.Redis, field: str, junk: str | None
):
    whole, odd = accept(), accept()
    key = f"boxyard:acme:job:{odd.id}"
    raw.hset(key, field, junk) if junk is not None else raw.hdel(key, field)
    listed = {status.job.id for status in ledger.jobs.list("acme")[0]}
    assert listed - {odd.id} == {whole.id}
    # The head is a copy: without it the record says all.
    assert (odd.id in listed) == (field == "head")
    assert ledger.quarantine.count() == (field != "head")


def test_a_head_of_another_job_shows_nothing_of_it(
    ledger: Ledger, accept: Callable, raw: redis.Redis
):
    other, job = accept(tenant="other", metadata={"secret": "x"}), accept()
    raw.hset(
        f"boxyard:acme:job:{job.id}", "head", raw.hget(f"boxyard:other:job:{other.id}", "head")
    )
    (status,), _ = ledger.jobs.list("acme")
    assert (status.job.id, status.job.metadata) == (job.id, {})
