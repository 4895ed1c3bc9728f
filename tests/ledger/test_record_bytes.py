"""The bytes of a tenant's records in Redis are counted exactly, and bounded."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
import redis

from boxyard_ledger import (
    Claim,
    DeliveryAttempt,
    DeliveryState,
    Idempotency,
    JobRecord,
    Ledger,
    LedgerSettings,
    ResultReference,
    result_key,
)
from boxyard_schemas import Callback, Delivery, UploadImage, UrlImage
from boxyard_schemas.errors import TooManyRequests
from boxyard_schemas.words import utc_now

from .conftest import MODEL, MakeJob

LONG = "https://pictures.example/" + "a" * 4000
BOOKS = "boxyard:acme:record-bytes"


def size(job: JobRecord) -> int:
    """What a job without deliveries counts, about."""
    return len(job.model_dump_json()) + 1400


def sum_up(raw: redis.Redis) -> dict[str, str]:
    """What the books must say, by the jobs that are there."""
    sums = {"open": 0, "ended": 0, "uploads": 256 * raw.hlen("boxyard:acme:uploads")}
    for key in raw.scan_iter("boxyard:acme:job:job_*"):
        if not key.endswith(":deliveries"):
            state, counted = raw.hmget(key, "state", "bytes")
            sums["open" if state in ("queued", "running") else "ended"] += int(counted)
    return {name: str(value) for name, value in sums.items() if value}


@pytest.mark.parametrize("seed", range(4))
def test_the_books_are_the_sum_over_the_records_whatever_happens(
    ledger_settings: LedgerSettings, make_job: MakeJob, raw: redis.Redis, seed: int
):
    random = Random(seed)
    strict = LedgerSettings(**{**dict(ledger_settings), "max_attempts": 2})
    with Ledger.open(strict) as ledger:
        actor = Actor(ledger, make_job, raw, random)
        for _ in range(60):
            random.choice(actor.steps)()
            assert raw.hgetall(BOOKS) == sum_up(raw)
        for job in actor.jobs:
            ledger.jobs.erase("acme", job.id)
        for upload in list(raw.hkeys("boxyard:acme:uploads")):
            ledger.uploads.discard("acme", upload)
    assert raw.exists(BOOKS) == 0


class Actor:
    """Does to a tenant's jobs what callers, workers and time do."""

    def __init__(self, ledger: Ledger, make_job: MakeJob, raw: redis.Redis, random: Random) -> None:
        self.ledger, self.make_job, self.raw, self.random = ledger, make_job, raw, random
        self.jobs: list[JobRecord] = []
        self.claims: list[Claim] = []
        self.steps: list[Callable[[], object]] = [
            *(self.accept, self.accept, self.claim, self.finish, self.requeue, self.cancel),
            *(self.replay, self.erase, self.lose_leases, self.expire, self.forget, self.upload),
        ]

    def accept(self) -> None:
        images = [UrlImage(url=LONG[: self.random.randint(40, 4000)])]
        if uploads := sorted(self.raw.hkeys("boxyard:acme:uploads")):
            images.append(UploadImage(upload=self.random.choice(uploads)))
        delivery = Delivery()
        if self.random.random() < 0.5:
            delivery = Delivery(callback=Callback(url=LONG[: self.random.randint(40, 1900)]))
        job = self.make_job(images=tuple(images), delivery=delivery)
        self.ledger.jobs.accept(job)
        self.jobs.append(job)

    def upload(self) -> None:
        self.ledger.uploads.store("acme", b"pixels")

    def claim(self) -> None:
        self.claims += self.ledger.jobs.claim(MODEL, worker="w", max_images=2)

    def finish(self) -> None:
        if self.claims:
            claim = self.claims.pop()
            key = result_key("acme", claim.job.id, claim.token)
            result = ResultReference(key=key, sha256="0" * 64, size=2)
            self.ledger.jobs.finish(claim, result, succeeded=1, failed=0)

    def requeue(self) -> None:
        if self.claims:
            self.ledger.jobs.requeue(self.claims.pop(), reason="test")

    def one(self) -> JobRecord | None:
        return self.random.choice(self.jobs) if self.jobs else None

    def cancel(self) -> None:
        if job := self.one():
            self.ledger.jobs.cancel("acme", job.id)

    def replay(self) -> None:
        if (job := self.one()) and self.ledger.jobs.get("acme", job.id).state == "dead":
            self.ledger.jobs.replay("acme", job.id)

    def erase(self) -> None:
        if job := self.one():
            self.ledger.jobs.erase("acme", job.id)
            self.jobs.remove(job)

    def lose_leases(self) -> None:
        self.due("boxyard:leases")
        self.ledger.sweeps.sweep_records()

    def expire(self) -> None:
        if job := self.one():
            self.raw.zadd("boxyard:expiries", {f"acme/{job.id}": 1})
            self.ledger.sweeps.sweep_records()

    def forget(self) -> None:
        self.due("boxyard:ended")
        self.due("boxyard:loose-uploads")
        self.ledger.sweeps.sweep_records()
        self.jobs = [job for job in self.jobs if self.raw.exists(f"boxyard:acme:job:{job.id}")]

    def due(self, index: str) -> None:
        for member in self.raw.zrange(index, 0, -1):
            self.raw.zadd(index, {member: 1})


def refused(ledger: Ledger, job: JobRecord) -> str:
    with pytest.raises(TooManyRequests) as caught:
        ledger.jobs.accept(job)
    assert caught.value.data["retry_after_s"] > 0
    return str(caught.value.data["limit"])


def test_a_tenant_may_not_fill_redis_with_long_records(
    ledger_settings: LedgerSettings, make_job: MakeJob
):
    heavy = (UrlImage(url=LONG),) * 64
    bounded = LedgerSettings(**{**dict(ledger_settings), "max_queued_bytes": 2**20})
    with Ledger.open(bounded) as ledger:
        for _ in range(2**20 // size(make_job(images=heavy))):
            ledger.jobs.accept(make_job(images=heavy))
        assert refused(ledger, make_job(images=heavy)) == "queued-bytes"
        assert ledger.jobs.accept(make_job(images=heavy, tenant="other"))[1]
        ledger.tenants.create("acme")
        ledger.tenants.set_quota("acme", queued_bytes=2**21)
        assert ledger.jobs.accept(make_job(images=heavy))[1]


def test_ended_jobs_and_uploads_count_until_they_are_forgotten(
    ledger_settings: LedgerSettings, make_job: MakeJob
):
    job = make_job(images=(UrlImage(url=LONG),) * 2)
    bounded = LedgerSettings(**{**dict(ledger_settings), "max_record_bytes": size(job) + 600})
    with Ledger.open(bounded) as ledger:
        ledger.jobs.accept(job)
        ledger.jobs.cancel("acme", job.id)
        assert refused(ledger, make_job(images=(UrlImage(url=LONG),))) == "record-bytes"
        for _ in range(2):
            ledger.uploads.store("acme", b"x")
        with pytest.raises(TooManyRequests, match="record-bytes"):
            ledger.uploads.store("acme", b"x")
        ledger.uploads.store("other", b"x")
        ledger.jobs.erase("acme", job.id)
        ledger.uploads.store("acme", b"x")


def short(number: int) -> dict[str, object]:
    return {}


def long_images(number: int) -> dict[str, object]:
    return {"images": (UrlImage(url=LONG[:1900]),) * 16}


def short_callback(number: int) -> dict[str, object]:
    return {"delivery": Delivery(callback=Callback(url="https://a.example/hook"))}


def long_callback(number: int) -> dict[str, object]:
    return {"delivery": Delivery(callback=Callback(url=f"{LONG[:1900]}{number}"))}


def long_query(number: int) -> dict[str, object]:
    url = f"https://a.example/{number}?{'q' * 1900}"
    return {"delivery": Delivery(callback=Callback(url=url))}


def bucket(number: int) -> dict[str, object]:
    return {"delivery": Delivery(s3=f"s3://bucket-{number}/{'p' * 900}")}


@pytest.mark.parametrize(
    "fields", [short, long_images, short_callback, long_callback, long_query, bucket]
)
def test_what_is_counted_is_about_what_redis_takes(
    ledger: Ledger,
    make_job: MakeJob,
    raw: redis.Redis,
    fields: Callable[[int], dict[str, object]],
):
    def taken() -> int:
        names = list(raw.scan_iter("boxyard:*", count=10_000))
        pipeline = raw.pipeline(transaction=False)
        for name in names:
            pipeline.memory_usage(name, samples=0)
        return sum(pipeline.execute())

    def counted() -> int:
        return sum(int(value) for value in raw.hvals(BOOKS))

    def work(numbers: range) -> None:
        for number in numbers:
            job = make_job(**fields(number))
            ledger.jobs.accept(job, idempotency=Idempotency(f"{number}" * 40, "fingerprint" * 4))
            reserved = counted()
            ledger.jobs.cancel("acme", job.id) if number % 2 else end(ledger, raw)
            assert counted() <= reserved
        for claim in ledger.deliveries.claim(worker="d"):
            line = DeliveryAttempt(at=utc_now(), outcome="status-500", detail="no" * 40)
            ledger.deliveries.record(claim, line, state=DeliveryState.PENDING, again_in_s=99)

    work(range(1000, 1010))  # scripts, indexes
    before = taken(), counted()
    work(range(2000, 2040))
    ratio = (taken() - before[0]) / (counted() - before[1])
    assert 0.4 < ratio < 1.05


def end(ledger: Ledger, raw: redis.Redis) -> None:
    (claim,) = ledger.jobs.claim(MODEL, worker="w", max_images=1)
    result = ResultReference(
        key=result_key("acme", claim.job.id, claim.token), sha256="0" * 64, size=2
    )
    ledger.jobs.finish(claim, result, succeeded=1, failed=0)
