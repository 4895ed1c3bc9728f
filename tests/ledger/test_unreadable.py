"""What cannot be read in Redis is skipped, listed, and fails nobody else."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from random import Random
from typing import Any

import pytest
import redis

from boxyard_ledger import (
    Claim,
    DeliveryAttempt,
    DeliveryState,
    Idempotency,
    JobRecord,
    Ledger,
    WorkerRecord,
)
from boxyard_schemas import (
    Callback,
    Delivery,
    EndpointRequest,
    JobState,
    Priority,
    Scope,
    UploadImage,
    UrlImage,
    new_id,
)
from boxyard_schemas.errors import BoxyardError, UnknownJob, Unreadable
from boxyard_schemas.words import utc_now

from .conftest import MODEL, MakeJob

JUNK = (
    b"\xff\xfe\x00junk",
    b"",
    b"{",
    b"[]",
    b"null",
    b'"text"',
    b"-1",
    b"nan",
    b"1e999",
    b"00",
    b"-0",
    b"\xd9\xa3",
    b"9" * 400,
)
CALLBACK = Delivery(callback=Callback(url="https://receiver.example/hook"))


def bump(raw: redis.Redis, key: str, version: Any = 2) -> str:
    """Rewrites a job's record as a newer version's."""
    record = json.loads(raw.hget(key, "record"))
    newer = json.dumps({**record, "version": version, "images": {"in": "another form"}})
    raw.hset(key, "record", newer)
    return newer


def claim_all(ledger: Ledger) -> list[str]:
    claimed = list[str]()
    while claims := ledger.jobs.claim(MODEL, worker="w", max_images=4):
        claimed += [claim.job.id for claim in claims]
    return claimed


def spoil(raw: redis.Redis, job: JobRecord, how: str) -> None:
    key = f"boxyard:acme:job:{job.id}"
    match how:
        case "missing":
            raw.delete(key)
        case "wrong-type":
            raw.delete(key)
            raw.rpush(key, "junk")
        case "version-2":
            bump(raw, key)
        case "another-version":
            bump(raw, key, "two")
        case "no-json":
            raw.hset(key, "record", b"\xff\xfe{")
        case "cut":
            raw.hset(key, "record", raw.hget(key, "record")[:60])
        case "another-job":
            other = json.loads(raw.hget(key, "record")) | {"tenant": "other"}
            raw.hset(key, "record", json.dumps(other, separators=(",", ":")))
        case "odd-strikes":
            raw.hset(key, "strikes", "[1, 2, 3, 4, 5]")
        case _:
            name, _, value = how.partition("=")
            raw.hset(key, name, value) if value else raw.hdel(key, name)


WAYS = (
    *("missing", "wrong-type", "version-2", "another-version", "no-json", "cut", "another-job"),
    *("odd-strikes", "images", "token", "attempts", "record", "state"),
    *("images=junk", "token=nan", "attempts=1e9", "token=-1", "state=junk", "strikes=junk"),
    *("token=00", "attempts=007", "images=+1", "token=9999999999999999", "attempts= 1"),
)


@pytest.mark.parametrize("how", WAYS)
def test_a_job_that_cannot_be_read_stops_no_claim_and_no_chunk_mate(
    ledger: Ledger, accept: MakeJob, raw: redis.Redis, how: str
):
    bad = [accept(age_s=100 - n) for n in range(3)]
    good = [accept(age_s=3 - n) for n in range(3)]
    for job in bad:
        spoil(raw, job, how)
    assert claim_all(ledger) == [job.id for job in good]
    assert raw.zcard("boxyard:leases") == 3
    listed = {status.job.id for status in ledger.jobs.list("acme")[0]}
    assert {job.id for job in good} <= listed
    assert ledger.jobs.ready(MODEL) == 0
    assert len(ledger.quarantine.all()) >= 3


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("index", ["leases", "expiries", "ended"])
def test_a_job_that_cannot_be_read_stops_no_sweep(  # noqa: PLR0917 - fixtures
    ledger: Ledger,
    accept: MakeJob,
    finish: Callable[..., bool],
    be_due: Callable[[str], None],
    raw: redis.Redis,
    how: str,
    index: str,
):
    jobs = [accept(expires_at=utc_now(), delivery=CALLBACK) for _ in range(4)]
    raw.delete("boxyard:expiries")
    if index == "expiries":
        raw.zadd("boxyard:expiries", {f"acme/{job.id}": 1 for job in jobs})
    else:
        claims = ledger.jobs.claim(MODEL, worker="w", max_images=4)
        assert len(claims) == 4
        if index == "ended":
            assert all(map(finish, claims))
    for job in jobs[:3]:
        spoil(raw, job, how)
    be_due(f"boxyard:{index}")
    ledger.sweeps.sweep_records(limit=2)
    ledger.sweeps.sweep_records(limit=2)
    left = raw.zrange(f"boxyard:{index}", 0, -1)
    assert f"acme/{jobs[3].id}" not in left
    assert left == []


def test_entries_without_a_record_block_neither_the_head_of_an_index_nor_a_sweep(
    ledger: Ledger, accept: MakeJob, raw: redis.Redis, finish: Callable[..., bool]
):
    gone = {f"acme/{new_id('job')}": 1 for _ in range(3000)}
    for index in ("leases", "expiries", "ended", f"ready:{MODEL}:normal", f"ready:{MODEL}:high"):
        raw.zadd(f"boxyard:{index}", gone)
    job = accept()
    (claim,) = ledger.jobs.claim(MODEL, worker="w", max_images=1)
    assert claim.job == job
    raw.zadd("boxyard:leases", {f"acme/{job.id}": 2})
    swept = ledger.sweeps.sweep_records(limit=500)
    assert swept.leases == 1
    assert swept.quarantined == 6000  # a claim takes those of the expiries along
    (again,) = ledger.jobs.claim(MODEL, worker="w", max_images=1)
    finish(again)
    assert len(ledger.quarantine.all()) <= 10_000


def test_a_newer_versions_job_stays_whole_and_runs_once_it_can_be_read(
    ledger: Ledger, accept: MakeJob, raw: redis.Redis, monkeypatch: pytest.MonkeyPatch
):
    job = accept(expires_at=utc_now())
    raw.zrem("boxyard:expiries", f"acme/{job.id}")
    key = f"boxyard:acme:job:{job.id}"
    known = raw.hget(key, "record")
    newer = bump(raw, key)
    assert claim_all(ledger) == []
    ledger.sweeps.sweep()
    assert raw.hget(key, "record") == newer
    assert raw.hmget(key, "state", "attempts") == ["queued", "0"]
    (entry,) = ledger.quarantine.all()
    assert (entry.reason, entry.member) == ("version-2", f"acme/{job.id}")
    with pytest.raises(Unreadable, match="newer version"):
        ledger.jobs.get("acme", job.id)

    monkeypatch.setattr("boxyard_ledger.quarantine._KNOWN_VERSION", 2)
    raw.hset(key, "record", known)
    with Ledger.open(ledger.settings) as upgraded:
        assert upgraded.sweeps.sweep().restored >= 1
    assert claim_all(ledger) == [job.id]
    assert job.id not in {each.member for each in ledger.quarantine.all()}


def test_an_operator_puts_back_or_deletes_what_was_set_aside(
    ledger: Ledger, accept: MakeJob, raw: redis.Redis
):
    jobs = [accept(), accept()]
    for job in jobs:
        raw.hset(f"boxyard:acme:job:{job.id}", "images", "x")
    assert claim_all(ledger) == []
    first, second = ledger.quarantine.all()
    for job in jobs:
        raw.hset(f"boxyard:acme:job:{job.id}", "images", "1")
    assert ledger.quarantine.restore(first)
    assert not ledger.quarantine.restore(first)
    assert ledger.quarantine.delete(second)
    assert claim_all(ledger) == [first.member.removeprefix("acme/")]
    assert ledger.quarantine.count() == 0


def test_a_key_of_a_wrong_type_is_renamed_and_can_be_put_back_once_its_type_is_right(
    ledger: Ledger, accept: MakeJob, raw: redis.Redis
):
    raw.set("boxyard:leases", "junk")
    job = accept()
    assert claim_all(ledger) == [job.id]
    (entry,) = ledger.quarantine.all()
    assert (entry.reason, entry.source) == ("wrong-type", "boxyard:leases")
    assert raw.get(entry.place) == "junk"
    assert not ledger.quarantine.restore(entry), "the key is in use"
    raw.delete("boxyard:leases")
    assert not ledger.quarantine.restore(entry), "the key cannot be a string"
    assert raw.get(entry.place) == "junk"
    raw.delete(entry.place)
    raw.zadd(entry.place, {"acme/job": 1})
    assert ledger.quarantine.restore(entry)
    assert raw.zscore("boxyard:leases", "acme/job") == 1


@pytest.mark.parametrize("make", ["SET {} x", "HSET {} a b", "SADD {} x", "XADD {} * a b"])
def test_a_renamed_key_of_any_wrong_type_is_not_put_back(
    ledger: Ledger, accept: MakeJob, raw: redis.Redis, make: str
):
    raw.execute_command(*make.format("boxyard:leases").split())
    assert claim_all(ledger) == []
    accept()
    assert len(claim_all(ledger)) == 1
    raw.delete("boxyard:leases")
    (entry,) = ledger.quarantine.all()
    assert not ledger.quarantine.restore(entry)
    assert ledger.quarantine.delete(entry)
    assert not raw.exists(entry.place)


def test_an_idempotency_key_whose_job_was_lost_takes_the_next_job(
    ledger: Ledger, make_job: MakeJob, raw: redis.Redis
):
    idempotency = Idempotency("order-7", "f")
    lost, second = make_job(), make_job()
    ledger.jobs.accept(lost, idempotency=idempotency)
    raw.delete(f"boxyard:acme:job:{lost.id}")
    assert ledger.jobs.find("acme", idempotency) is None
    assert ledger.jobs.accept(second, idempotency=idempotency)[1]
    found = ledger.jobs.find("acme", idempotency)
    assert found
    assert found.job.id == second.id


def test_a_worker_whose_heartbeat_cannot_be_read_hides_no_other(ledger: Ledger, raw: redis.Redis):
    good = WorkerRecord(
        id="good", model=MODEL, host="h", device="cpu", warm=True, started_at=utc_now()
    )
    ledger.workers.beat(good, ttl_s=60)
    odd = json.loads(good.model_dump_json()) | {"id": "odd", "classes": [0, 1]}
    raw.sadd("boxyard:workers", "odd", "newer", b"\xff")
    raw.set("boxyard:worker:odd", json.dumps(odd))
    raw.set("boxyard:worker:newer", json.dumps({**odd, "version": 2}))
    raw.rpush(b"boxyard:worker:\xff", "junk")
    for _ in range(2):
        assert ledger.workers.all() == [good]
        assert ledger.census.take().workers[MODEL].warm == 1
    assert len([each for each in ledger.quarantine.all() if "worker" in each.place]) >= 2
    assert ledger.census.take().quarantined >= 2


def test_a_delivery_that_cannot_be_read_stops_no_other_of_its_receiver(
    ledger: Ledger, cancelled: Callable[..., JobRecord], raw: redis.Redis
):
    jobs = [cancelled(CALLBACK) for _ in range(6)]
    ids = [ledger.deliveries.list("acme", job.id)[0].delivery.id for job in jobs]
    names = [f"boxyard:acme:delivery:{name}" for name in ids]
    raw.hset(
        names[0], "record", json.dumps(json.loads(raw.hget(names[0], "record")) | {"version": 2})
    )
    raw.delete(names[1])
    raw.hset(names[2], "attempts", "many")
    cut = raw.hget(names[3], "record")[:40]
    raw.hset(names[3], "record", cut)
    other = raw.hget(names[4], "record").replace("receiver.example", "another.example")
    raw.hset(names[4], "record", other)
    pending = "boxyard:receiver:acme/https://receiver.example:443/hook:pending"
    raw.zadd(pending, {f"acme/{new_id('dlv')}": 1 for _ in range(500)})
    (claim,) = ledger.deliveries.claim(worker="d")
    assert claim.delivery.id == ids[5]
    assert raw.zcard(pending) == 0
    assert raw.hget(names[3], "state") == "pending"
    line = DeliveryAttempt(at=utc_now(), outcome="delivered")
    assert ledger.deliveries.record(claim, line, state=DeliveryState.DELIVERED)
    assert raw.exists("boxyard:receiver-leases") == 0
    assert len(ledger.deliveries.list("acme", jobs[5].id)) == 1
    with pytest.raises(Unreadable):
        ledger.deliveries.get("acme", ids[0])


def test_receivers_that_are_held_for_good_keep_no_other_from_its_turn(
    ledger: Ledger, cancelled: Callable[..., JobRecord], raw: redis.Redis
):
    held = [f"acme/https://held.example:443/{number}" for number in range(100)]
    raw.zadd("boxyard:receivers", dict.fromkeys(held, 1))
    raw.zadd("boxyard:receiver-leases", dict.fromkeys(held, float("inf")))
    cancelled(CALLBACK)
    claims = [claim for _ in range(3) for claim in ledger.deliveries.claim(worker="d")]
    assert [claim.delivery.target for claim in claims] == ["https://receiver.example/hook"]


class Populated:
    """A ledger in which a tenant has one of each, and another must never notice."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        for tenant in ("acme", "other"):
            with suppress(BoxyardError):
                ledger.tenants.create(tenant)
        self.key = ledger.api_keys.create("acme", name="k", scopes=[Scope.READ])[1]
        self.other_key = ledger.api_keys.create("other", name="k", scopes=[Scope.READ])[1]
        ledger.tenants.set_quota("acme", queued_jobs=1000)
        endpoint = ledger.endpoints.add("acme", EndpointRequest(url="https://end.example/"))
        self.delivery = Delivery(callback=CALLBACK.callback, endpoint=endpoint.id)
        ledger.uploads.store("acme", b"loose")
        upload = UploadImage(upload=ledger.uploads.store("acme", b"named").id)
        self.make("acme", images=(upload,), idempotency=Idempotency("k", "f"))
        self.end(JobState.CANCELLED)
        self.end(JobState.FAILED)
        self.make("acme")
        self.claim()
        self.make("acme")

    def make(self, tenant: str, *, idempotency: Idempotency | None = None, **fields: Any) -> str:
        job = JobRecord(
            **{
                "id": new_id("job"),
                "tenant": tenant,
                "model": MODEL,
                "images": (UrlImage(url="https://pictures.example/a.jpg"),),
                "delivery": self.delivery if tenant == "acme" else Delivery(),
                "created_at": utc_now(),
                **fields,
            }
        )
        return self.ledger.jobs.accept(job, idempotency=idempotency)[0].job.id

    def claim(self) -> list[Claim]:
        return self.ledger.jobs.claim(MODEL, worker="w", max_images=1)

    def end(self, state: JobState) -> None:
        job = self.make("acme")
        if state is JobState.CANCELLED:
            self.ledger.jobs.cancel("acme", job)
            return
        for claim in self.ledger.deliveries.claim(worker="d"):
            line = DeliveryAttempt(at=utc_now(), outcome="status-500")
            self.ledger.deliveries.record(claim, line, state=DeliveryState.EXHAUSTED)

    def look(self) -> None:
        """Whatever reads, for the tenant whose records were damaged."""
        ledger = self.ledger
        for state in (None, *JobState):
            for status in ledger.jobs.list("acme", state=state)[0]:
                ledger.deliveries.list("acme", status.job.id)
        ledger.deliveries.exhausted("acme")
        ledger.deliveries.replay_exhausted("acme")
        ledger.endpoints.list("acme")
        ledger.api_keys.list("acme")
        ledger.tenants.quota("acme")
        for tenant in ledger.tenants.names():
            ledger.tenants.quota(tenant)
        ledger.workers.all()
        ledger.jobs.waiting()
        ledger.census.take()
        ledger.quarantine.all()
        ledger.seal_clear()
        ledger.reseal()

    def others_go_on(self) -> None:
        ledger, other = self.ledger, self.make("other", priority=Priority.LOW)
        claims = list[Claim]()
        while found := ledger.jobs.claim(MODEL, worker="w", max_images=8):
            claims += found
        (mine,) = [claim for claim in claims if claim.job.id == other]
        assert ledger.jobs.renew([mine]) == set()
        assert ledger.jobs.get("other", other).state is JobState.RUNNING
        ledger.sweeps.sweep()
        while ledger.deliveries.claim(worker="d"):
            pass
        ledger.deliveries.release_expired_leases(100)
        ledger.deliveries.next_due()
        assert other in {status.job.id for status in ledger.jobs.list("other")[0]}
        ledger.jobs.cancel("other", other)
        ledger.jobs.erase("other", other)
        with pytest.raises(UnknownJob):
            ledger.jobs.get("other", other)


def every_key(raw: redis.Redis) -> list[bytes]:
    return sorted(raw.scan_iter("boxyard:*"))


GLOBAL = {b"boxyard:api-keys", b"boxyard:tenants"}
"""Whose loss is a loss of keys and tenants, the other tenant's too."""


@pytest.fixture
def binary(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.mark.parametrize("seed", range(int(os.environ.get("DAMAGES", "15"))))
def test_no_damage_to_any_key_fails_another_tenant(ledger: Ledger, binary: redis.Redis, seed: int):
    random = Random(seed)
    populated = Populated(ledger)
    for _ in range(random.randint(1, 4)):
        damage(binary, random.choice(every_key(binary)), random)
    populated.look()
    populated.others_go_on()
    populated.look()
    populated.others_go_on()
    with suppress(Unreadable):
        ledger.api_keys.authenticate(populated.key)


def damage(raw: redis.Redis, key: bytes, random: Random) -> None:
    junk, kind = random.choice(JUNK), raw.type(key)
    how = random.choice(["delete", "retype", "member", "value", "drop", "version"])
    print(how, key, junk)
    if how == "delete" and key not in GLOBAL:
        raw.delete(key)
    elif how == "retype" and key not in GLOBAL:
        raw.delete(key)
        raw.set(key, junk) if kind == b"list" else raw.rpush(key, junk)
    elif kind == b"hash":
        damage_hash(raw, key, how, junk, random)
    elif kind == b"zset":
        raw.zadd(key, {junk: random.choice([0, 1, -1, 1e18, float("inf")])})
    elif kind == b"set":
        raw.sadd(key, junk)
    elif kind == b"list":
        raw.lpush(key, junk)
    else:
        raw.set(key, junk)


def damage_hash(raw: redis.Redis, key: bytes, how: str, junk: bytes, random: Random) -> None:
    field = random.choice(sorted(raw.hkeys(key)))
    value = raw.hget(key, field)
    if how == "drop" and key not in GLOBAL:
        raw.hdel(key, field)
    elif how == "version" and value.startswith(b"{"):
        raw.hset(key, field, json.dumps(json.loads(value) | {"version": 2}))
    elif how == "value" and key not in GLOBAL:
        raw.hset(key, field, junk)
    else:
        raw.hset(key, junk or b"junk", junk)
