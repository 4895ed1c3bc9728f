"""The quarantine itself: what it costs, how much it holds, and what an operator does with it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import redis
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from boxyard_ledger import Idempotency, JobRecord, Ledger, Quarantined, WorkerRecord
from boxyard_schemas import (
    Callback,
    Delivery,
    EndpointRequest,
    JobState,
    UploadImage,
    UrlImage,
    new_id,
)
from boxyard_schemas.errors import UnknownJob, UnknownUpload, Unreadable
from boxyard_schemas.words import utc_now

from .conftest import MODEL, MakeJob

READY = f"boxyard:ready:{MODEL}:normal"
CALLBACK = Delivery(callback=Callback(url="https://receiver.example/hook"))


def find(ledger: Ledger, text: str) -> Quarantined:
    (entry,) = [each for each in ledger.quarantine.all() if text in each.place]
    return entry


def claim(ledger: Ledger) -> list[JobRecord]:
    return [each.job for each in ledger.jobs.claim(MODEL, worker="w", max_images=8)]


def test_a_record_that_was_noted_costs_no_command_at_the_next_read(
    ledger: Ledger, accept: MakeJob, raw: redis.Redis
):
    raw.hset(f"boxyard:acme:job:{accept().id}", "record", "{")

    def listing() -> int:
        before = raw.info("commandstats")
        ledger.jobs.list("acme")
        after = raw.info("commandstats")
        names = ("cmdstat_time", "cmdstat_hsetnx")
        return sum(
            after.get(name, {"calls": 0})["calls"] - before.get(name, {"calls": 0})["calls"]
            for name in names
        )

    assert listing() > 0
    assert listing() == 0
    assert ledger.quarantine.count() == 1


def test_a_process_remembers_so_many_places_that_it_has_noted(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("boxyard_ledger.quarantine._MOST_NOTED", 3)
    for number in range(10):
        ledger.quarantine.note(f"boxyard:worker:{number}", "unreadable")
    assert len(ledger.quarantine._noted) == 3
    assert ledger.quarantine.count() == 10


def test_a_full_list_counts_what_holds_no_data_and_lists_every_record(
    ledger: Ledger, accept: MakeJob, raw: redis.Redis
):
    job = accept()
    raw.hset(f"boxyard:acme:job:{job.id}", "images", "x")
    fill = {f"filler {number}": '{"reason":"missing","at":1}' for number in range(10_000)}
    raw.hset("boxyard:quarantine", mapping=fill)
    raw.set("boxyard:quarantine:unlisted", "junk")
    raw.zadd(READY, {f"acme/{new_id('job')}": 1 for _ in range(50)})
    raw.zadd("boxyard:erasures", {"junk": 1})
    assert claim(ledger) == []
    ledger.sweeps.sweep()
    ledger.quarantine.note("boxyard:worker:x", "unreadable")
    assert raw.zcard(READY) == raw.zcard("boxyard:erasures") == 0
    assert ledger.quarantine.count() == 10_001
    assert find(ledger, job.id).reason == "incomplete"
    assert ledger.quarantine.unlisted() == 52
    raw.hdel("boxyard:quarantine", *fill)
    assert ledger.quarantine.delete(find(ledger, job.id))
    assert ledger.quarantine.unlisted() == 0


def test_the_log_and_the_metric_say_the_true_reason(
    ledger: Ledger, accept: MakeJob, raw: redis.Redis
):
    jobs = [accept(age_s=9 - number) for number in range(3)]
    raw.hset(f"boxyard:acme:job:{jobs[0].id}", "images", "x")
    raw.hset(f"boxyard:acme:job:{jobs[1].id}", "state", "running")
    raw.delete(f"boxyard:acme:job:{jobs[2].id}")
    with capture_logs() as lines:
        claim(ledger)
    found = {(line["reason"], line["count"]) for line in lines}
    assert found == {("incomplete", 1), ("not-queued", 1), ("missing", 1)}
    text = generate_latest(ledger.registry).decode()
    for kind in ("damaged", "wrong-state", "missing"):
        assert f'boxyard_unreadable_records_total{{reason="{kind}"}} 1.0' in text


DAMAGES: tuple[dict[str, str], ...] = (
    {"images": "x"},
    {"token": "nan"},
    {"record": "{"},
    {"bytes": "inf", "images": "x"},
    {"state": "odd"},
)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_job_that_an_operator_deletes_is_forgotten_and_no_longer_counted(
    ledger: Ledger, raw: redis.Redis, make_job: MakeJob, damage: dict[str, str]
):
    upload = ledger.uploads.store("acme", b"image")
    job = make_job(images=(UploadImage(upload=upload.id),))
    ledger.jobs.accept(job, idempotency=Idempotency("key", "print"))
    raw.hset(f"boxyard:acme:job:{job.id}", mapping=damage)
    assert claim(ledger) == []
    assert ledger.quarantine_review.delete(find(ledger, job.id))
    assert ledger.quarantine.count() == 0
    with pytest.raises(UnknownJob):
        ledger.jobs.get("acme", job.id)
    for state in (None, *JobState):
        assert ledger.jobs.list("acme", state=state) == ([], None)
    assert raw.hmget("boxyard:acme:record-bytes", "open", "ended") == [None, None]
    if "record" not in damage:
        assert not raw.exists("boxyard:acme:uploads", "boxyard:acme:record-bytes")
        ledger.sweeps.sweep()
        assert list(ledger.blobs.keys("")) == []
        with pytest.raises(UnknownUpload):
            ledger.jobs.accept(make_job(images=(UploadImage(upload=upload.id),)))
    left = {name for name in raw.scan_iter("boxyard:*") if job.id in name}
    assert left == set()
    assert ledger.jobs.accept(make_job(), idempotency=Idempotency("key", "print"))[1]


def test_deleting_a_job_whose_hash_was_lost_frees_its_tenants_quota(
    ledger: Ledger, accept: MakeJob, raw: redis.Redis
):
    job = accept()
    raw.delete(f"boxyard:acme:job:{job.id}")
    assert claim(ledger) == []
    assert raw.zcard("boxyard:acme:jobs:queued") == 0
    assert ledger.quarantine_review.delete(find(ledger, job.id))
    assert not raw.exists("boxyard:acme:record-bytes", "boxyard:acme:jobs")


def test_deleting_an_ended_job_that_cannot_be_read_removes_its_deliveries(
    ledger: Ledger, accept: MakeJob, raw: redis.Redis
):
    job = accept(delivery=CALLBACK)
    ledger.jobs.cancel("acme", job.id)
    raw.hset(f"boxyard:acme:job:{job.id}", "record", "[]")
    with pytest.raises(Unreadable):
        ledger.jobs.get("acme", job.id)
    assert ledger.quarantine_review.delete(find(ledger, job.id))
    assert ledger.deliveries.claim(worker="d") == []
    left = set(raw.scan_iter("boxyard:acme:*"))
    assert left <= {"boxyard:acme:submissions", "boxyard:acme:drained"}


def test_deleting_a_stray_entry_keeps_the_job_that_it_names(
    ledger: Ledger, accept: MakeJob, raw: redis.Redis
):
    running, ended = accept(), accept()
    ledger.jobs.cancel("acme", ended.id)
    assert claim(ledger) == [running]
    raw.zadd(READY, {f"acme/{job.id}": 1 for job in (running, ended)})
    assert claim(ledger) == []
    for job in (running, ended):
        assert ledger.quarantine_review.delete(find(ledger, job.id))
    assert ledger.jobs.get("acme", running.id).state is JobState.RUNNING
    assert ledger.jobs.get("acme", ended.id).state is JobState.CANCELLED


def test_a_restored_job_still_expires_and_one_that_expires_in_quarantine_leaves_it(
    ledger: Ledger, accept: MakeJob, raw: redis.Redis
):
    restored, ends = (accept(expires_at=utc_now() + timedelta(hours=1)) for _ in range(2))
    for job in (restored, ends):
        raw.hset(f"boxyard:acme:job:{job.id}", "images", "x")
    assert claim(ledger) == []
    raw.hset(f"boxyard:acme:job:{restored.id}", "images", "1")
    assert ledger.quarantine.restore(find(ledger, restored.id))
    raw.zadd("boxyard:expiries", {f"acme/{job.id}": 1 for job in (restored, ends)}, xx=True)
    assert ledger.sweeps.sweep().expired == 2
    assert ledger.sweeps.sweep().expired == 0
    for job in (restored, ends):
        assert ledger.jobs.get("acme", job.id).state is JobState.EXPIRED
    assert ledger.quarantine.count() == 0


def test_a_claim_that_is_undone_gives_the_job_its_expiry_back(
    ledger: Ledger, accept: MakeJob, raw: redis.Redis
):
    job = accept(expires_at=utc_now() + timedelta(hours=1))
    key, expiry = f"boxyard:acme:job:{job.id}", raw.zscore("boxyard:expiries", f"acme/{job.id}")
    known = raw.hget(key, "record")
    raw.hset(key, "record", known.replace('"parameters":{', '"parameters":{"max_detections":-5,'))
    raw.hset(key, "strikes", "[0, 0, 0]")
    assert claim(ledger) == []
    assert raw.zscore("boxyard:expiries", f"acme/{job.id}") == expiry
    assert raw.zcard("boxyard:leases") == 0


def test_what_was_repaired_in_its_place_leaves_the_list(
    ledger: Ledger, accept: MakeJob, raw: redis.Redis
):
    places: dict[tuple[str, str], Any] = {}

    def spoil(key: str, field: str) -> None:
        places[key, field] = raw.hget(key, field)
        raw.hset(key, field, "{")

    ledger.tenants.create("acme")
    job = accept()
    endpoint = ledger.endpoints.add("acme", EndpointRequest(url="https://end.example/"))
    ledger.tenants.set_quota("acme", queued_jobs=5)
    spoil(f"boxyard:acme:job:{job.id}", "record")
    spoil("boxyard:acme:endpoints", endpoint.id)
    spoil("boxyard:acme:tenant", "queued_jobs")
    raw.sadd("boxyard:workers", "w")
    raw.set("boxyard:worker:w", "{")
    raw.sadd("boxyard:models", "no name")
    ledger.jobs.list("acme")
    ledger.endpoints.list("acme")
    ledger.tenants.quota("acme")
    ledger.workers.all()
    ledger.jobs.models()
    assert len(ledger.quarantine_review.all()) == 5
    for (key, field), value in places.items():
        raw.hset(key, field, value)
    raw.srem("boxyard:models", "no name")
    worker = WorkerRecord(
        id="w", model=MODEL, host="h", device="cpu", warm=True, started_at=utc_now()
    )
    raw.set("boxyard:worker:w", worker.model_dump_json())
    assert ledger.quarantine_review.all() == []
    assert ledger.quarantine.count() == 0


def test_a_delivery_list_that_names_another_tenants_delivery_leaves_it(
    ledger: Ledger, accept: MakeJob, raw: redis.Redis
):
    other = accept(tenant="other", delivery=CALLBACK)
    ledger.jobs.cancel("other", other.id)
    (foreign,) = raw.lrange(f"boxyard:other:job:{other.id}:deliveries", 0, -1)
    job = accept()
    raw.rpush(f"boxyard:acme:job:{job.id}:deliveries", foreign)
    ledger.jobs.erase("acme", job.id)
    assert len(ledger.deliveries.list("other", other.id)) == 1


def test_a_list_of_a_wrong_type_makes_room_for_a_new_one(
    ledger: Ledger, accept: MakeJob, raw: redis.Redis
):
    raw.set("boxyard:quarantine", "junk")
    raw.hset(f"boxyard:acme:job:{accept().id}", "images", "x")
    assert claim(ledger) == []
    assert ledger.quarantine.count() == 1


@pytest.mark.parametrize("junk", ["nan", "inf", "-inf", "1e999", "-5", "x", "0x", ""])
def test_no_number_of_a_tenant_stops_its_own_submissions_or_lifts_a_bound(
    ledger: Ledger, make_job: MakeJob, raw: redis.Redis, junk: str
):
    for field in ("open", "ended", "uploads"):
        raw.hset("boxyard:acme:record-bytes", field, junk)
    for field in ("queued_jobs", "jobs_per_minute", "queued_bytes", "record_bytes", "stored_bytes"):
        raw.hset("boxyard:acme:tenant", field, junk)
    raw.set("boxyard:acme:submissions", junk)
    raw.set("boxyard:acme:stored-bytes", junk)
    for number in ("1", junk):
        raw.hset("boxyard:acme:drained", number, junk)
    job = make_job(images=(UploadImage(upload=ledger.uploads.store("acme", b"x").id),))
    ledger.jobs.accept(job)
    ledger.jobs.cancel("acme", job.id)
    ledger.jobs.erase("acme", job.id)
    assert not raw.hexists("boxyard:acme:record-bytes", "open")


def test_a_job_that_names_an_image_by_url_is_deleted_by_its_place(
    ledger: Ledger, accept: MakeJob, raw: redis.Redis
):
    job = accept(images=(UrlImage(url="https://pictures.example/a.jpg"),))
    newer = json.loads(raw.hget(f"boxyard:acme:job:{job.id}", "record")) | {"version": 3}
    raw.hset(f"boxyard:acme:job:{job.id}", "record", json.dumps(newer))
    with pytest.raises(Unreadable):
        ledger.jobs.get("acme", job.id)
    assert ledger.quarantine_review.delete(find(ledger, job.id))
    assert claim(ledger) == []
    assert ledger.quarantine.count() == 0
