"""Faults 40, 41 and 48: records that cannot be read, indexes without records, and long records."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
import redis

from boxyard_ledger import JobRecord, keys
from boxyard_schemas import Priority, UrlImage, new_id
from boxyard_schemas.errors import TooManyRequests
from boxyard_schemas.words import utc_now
from chaos.faults import fault
from chaos.stack import MODEL
from chaos.trial import Figures, Trial
from pictures import png, scene
from process import await_true


def make_job(
    tenant: str,
    url: str = "https://pictures.example/a.jpg",
    images: int = 1,
    model: str = MODEL,
) -> JobRecord:
    """A job older than all others, and so first in its index."""
    return JobRecord(
        id=new_id("job"),
        tenant=tenant,
        model=model,
        images=(UrlImage(url=url),) * images,
        priority=Priority.HIGH,
        created_at=utc_now() - timedelta(days=1),
    )


def damage(client: redis.Redis, key: str, number: int) -> None:
    record = json.loads(client.hget(key, "record"))
    match number % 5:
        case 0:
            client.hset(key, "record", json.dumps({**record, "version": 2}))
        case 1:
            client.hset(key, "record", b"\xff\xfe{")
        case 2:
            client.hset(key, "images", "many")
        case 3:
            client.delete(key)
            client.set(key, "junk")
        case _:
            client.hdel(key, "record")


@fault(40, "records that cannot be read")
def test_records_that_cannot_be_read_stop_no_other_job(
    trial: Trial, figures: Figures, scale: Callable[..., int]
) -> None:
    """jobs first in the queue, a worker, a tenant's facts: newer, cut, junk or retyped"""
    ledger, client = trial.stack.ledger, trial.stack.client
    tenant = f"z{trial.number}-{trial.seed:08x}"
    with trial.load(per_s=20):
        for number in range(count := scale(slice=50, full=2_000)):
            job = make_job(tenant, model="unserved")
            ledger.jobs.accept(job)
            damage(client, keys.job(tenant, job.id), number)
            client.zadd(keys.ready(MODEL, Priority.HIGH), {keys.member(tenant, job.id): 1})
        client.sadd(keys.WORKERS, "odd")
        client.set(
            keys.worker("odd"), json.dumps({"id": "odd", "model": MODEL, "classes": [1]}), 60
        )
        client.hset(keys.tenant_facts(tenant), "queued_jobs", "many")
        for caller in trial.callers:
            assert caller.insist("GET", "/v1/jobs").status_code == 200
            assert caller.insist("GET", "/v1/models").status_code == 200
    assert all(worker.alive for worker in trial.stack.parts)
    waiting = keys.ready(MODEL, Priority.HIGH)
    await_true(lambda: not client.zcount(waiting, 1, 1), "all to be set aside", trial.logs)
    figures["damaged"] = count
    figures["quarantined"] = ledger.quarantine.count()
    trial.conclude(figures)
    client.srem(keys.WORKERS, "odd")


@fault(41, "index entries without a record")
def test_index_entries_without_a_record_block_nothing_behind_them(
    trial: Trial, figures: Figures, scale: Callable[..., int]
) -> None:
    """thousands of entries first in the indexes of ready, leased, expiring and ended jobs"""
    client = trial.stack.client
    count = scale(slice=2_000, full=200_000)
    indexes = [keys.ready(MODEL, Priority.HIGH), keys.LEASES, keys.EXPIRIES, keys.ENDED]
    for index in indexes:
        for start in range(0, count, 1_000):
            client.zadd(index, {f"gone/{new_id('job')}": 1 for _ in range(start, start + 1_000)})
    job = trial.a.submit(trial.a.upload(png(scene())), delivery=trial.callback(trial.a))
    trial.conclude(figures)
    assert job
    await_true(
        lambda: not any(client.zcount(index, 1, 1) for index in indexes),
        "the indexes to be rid of them",
        trial.logs,
        scale(slice=60, full=600),
    )
    figures["entries"] = count * len(indexes)


@fault(48, "a tenant's record bytes")
def test_a_tenant_fills_its_quota_of_record_bytes_and_not_redis(
    trial: Trial, figures: Figures, scale: Callable[..., int]
) -> None:
    """jobs of 64 URLs of 2 kB each, as fast as they are taken, until they are refused"""
    ledger, client = trial.stack.ledger, trial.stack.client
    tenant = f"y{trial.number}-{trial.seed:08x}"
    ledger.tenants.create(tenant)
    bound = scale(slice=4, full=200) * 2**20
    ledger.tenants.set_quota(tenant, queued_bytes=bound)
    long = "https://pictures.example/" + "a" * 2_000
    before = client.info("memory")["used_memory"]
    sent: list[JobRecord] = []

    def fill() -> None:
        while True:
            # Of a model that no worker serves: they stay queued.
            job = make_job(tenant, long, 64, model="unserved")
            ledger.jobs.accept(job)
            sent.append(job)

    with pytest.raises(TooManyRequests) as refused:
        fill()
    assert refused.value.data["limit"] == "queued-bytes"
    assert len(sent) > 0.9 * bound // len(sent[0].model_dump_json())
    grown = client.info("memory")["used_memory"] - before
    assert grown < 1.2 * bound + 2**23
    trial.a.submit(trial.a.upload(png(scene())))
    for job in sent:
        ledger.jobs.erase(tenant, job.id)
    assert not client.exists(keys.record_bytes(tenant))
    figures["Redis grew by MB"] = round(grown / 1e6, 1)
    trial.conclude(figures)
