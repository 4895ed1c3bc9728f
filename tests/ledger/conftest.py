from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from boxyard_ledger import (
    Claim,
    EmbeddedRedis,
    JobRecord,
    Ledger,
    LedgerSettings,
    ResultReference,
    result_key,
)
from boxyard_ledger.blobs import StoreIdentity
from boxyard_ledger.connection import Connection
from boxyard_schemas import Delivery, UrlImage, new_id
from boxyard_schemas.words import utc_now

MODEL = "rtmdet-ins_demo"

MakeJob = Callable[..., JobRecord]


@pytest.fixture
def connection(ledger_settings: LedgerSettings) -> Iterator[Connection]:
    """Commands of the test's own."""
    opened = Connection(ledger_settings)
    yield opened
    opened.close()


@pytest.fixture
def identity(connection: Connection) -> StoreIdentity:
    """Redis remembers no store yet."""
    return StoreIdentity(connection)


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that pauses leaves no blob to a later round of erasing."""
    monkeypatch.setattr("boxyard_ledger.erasures._PATIENCE_S", 60)


@pytest.fixture
def ledger_settings(ledger_settings: LedgerSettings) -> LedgerSettings:
    """Patient: only the tests of stalls mean a Redis that answers late."""
    return ledger_settings.model_copy(update={"redis_timeout_s": 30})


@pytest.fixture
def own_ledger(own_redis: EmbeddedRedis, tmp_path: Path) -> Iterator[Ledger]:
    settings = LedgerSettings(
        redis_url=own_redis.url, redis_timeout_s=3, blob_url=(tmp_path / "blobs").as_uri()
    )
    with Ledger.open(settings) as opened:
        yield opened


@pytest.fixture
def make_job() -> MakeJob:
    """A job of `images`, pictures or their number, that begins to wait `age_s` seconds ago."""

    def make(*, images: Any = 1, age_s: float = 0, **fields: Any) -> JobRecord:
        if isinstance(images, int):
            images = (UrlImage(url="https://pictures.example/a.jpg"),) * images
        known: dict[str, Any] = {
            "id": new_id("job"),
            "tenant": "acme",
            "model": MODEL,
            "images": images,
            "created_at": utc_now() - timedelta(seconds=age_s),
        }
        return JobRecord(**{**known, **fields})

    return make


@pytest.fixture
def accept(ledger: Ledger, make_job: MakeJob) -> MakeJob:
    """Makes a job and accepts it."""

    def make(**fields: Any) -> JobRecord:
        job = make_job(**fields)
        ledger.jobs.accept(job)
        return job

    return make


@pytest.fixture
def claim_one(ledger: Ledger) -> Callable[[], Claim]:
    def claim() -> Claim:
        (claimed,) = ledger.jobs.claim(MODEL, worker="w", max_images=1)
        return claimed

    return claim


@pytest.fixture
def finish(ledger: Ledger) -> Callable[..., bool]:
    """Finishes a claim with a result that nobody stored."""

    def end(claim: Claim, *, succeeded: int = 1, failed: int = 0) -> bool:
        key = result_key(claim.job.tenant, claim.job.id, claim.token)
        result = ResultReference(key=key, sha256="0" * 64, size=2)
        return ledger.jobs.finish(claim, result, succeeded=succeeded, failed=failed)

    return end


@pytest.fixture
def raw(redis_url: str) -> Iterator[redis.Redis]:
    """The server itself, to make time pass and to look at what is kept."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def end_leases(be_due: Callable[[str], None]) -> Callable[[], None]:
    """Makes every lease, of jobs and of receivers, end now."""

    def end() -> None:
        for index in ("boxyard:leases", "boxyard:receiver-leases"):
            be_due(index)

    return end


@pytest.fixture
def cancelled(ledger: Ledger, accept: MakeJob) -> Callable[..., JobRecord]:
    """A job that ended: its deliveries are due."""

    def make(delivery: Delivery, **fields: object) -> JobRecord:
        job = accept(delivery=delivery, **fields)
        ledger.jobs.cancel(job.tenant, job.id)
        return job

    return make


@pytest.fixture
def trusted(raw: redis.Redis) -> Callable[[str], None]:
    """A receiver that took deliveries lately: it gets several at once."""

    def trust(receiver: str) -> None:
        raw.set(f"boxyard:receiver:acme/{receiver}:streak", 99)

    return trust


@pytest.fixture
def be_due(raw: redis.Redis) -> Callable[[str], None]:
    """Makes all that an index holds due now."""

    def make(index: str) -> None:
        for member in raw.zrange(index, 0, -1):
            raw.zadd(index, {member: 1})

    return make
