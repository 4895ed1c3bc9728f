"""The answer to a step is lost on its way: the step happened once, and the caller hears of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
import redis

from boxyard_ledger import Idempotency, Ledger, LedgerSettings, ResultReference
from boxyard_ledger.scripts import read_script
from boxyard_schemas import JobState
from boxyard_schemas.errors import UnknownJob
from chaos.proxy import Proxy

from .conftest import MODEL
from .outcomes import EXHAUSTED, PENDING, record, to

T = TypeVar("T")


@pytest.fixture
def proxy(redis_url: str) -> Iterator[Proxy]:
    with Proxy(int(redis_url.rpartition(":")[2].partition("/")[0])) as opened:
        yield opened


@pytest.fixture
def shaky(proxy: Proxy, ledger_settings: LedgerSettings) -> Iterator[Ledger]:
    """A ledger whose way to Redis can be cut."""
    settings = ledger_settings.model_copy(update={"redis_url": proxy.redis_url})
    with Ledger.open(settings) as opened:
        yield opened


@pytest.fixture
def lose(proxy: Proxy, raw: redis.Redis) -> Callable[[str, Callable[[], T]], T]:
    """Calls while the answer to the first run of a script is lost."""

    def call(script: str, step: Callable[[], T]) -> T:
        sha, text = read_script(script)
        raw.script_load(text)
        with proxy.hold(b"EVALSHA", sha.encode()) as hold, ThreadPoolExecutor(1) as pool:
            done = pool.submit(step)
            hold.wait()
            hold.drop()
            return done.result(30)

    return call


@pytest.mark.parametrize("key", [None, Idempotency("key", "body")])
def test_a_job_is_accepted_once(
    *, shaky: Ledger, make_job: Callable, lose: Callable, key: Idempotency | None
):
    job = make_job()
    status, created = lose("accept", lambda: shaky.jobs.accept(job, idempotency=key))
    assert (status.job, created) == (job, True)
    assert shaky.jobs.ready(MODEL) == 1


def test_a_job_of_a_full_queue_is_accepted_once(
    shaky: Ledger, make_job: Callable, lose: Callable, raw: redis.Redis
):
    raw.hset("boxyard:acme:tenant", mapping={"queued_jobs": 1, "jobs_per_minute": 1})
    job = make_job()
    assert lose("accept", lambda: shaky.jobs.accept(job))[1]


def test_a_result_is_recorded_once(
    shaky: Ledger, accept: Callable, claim_one: Callable, lose: Callable
):
    job = accept()
    claim, result = claim_one(), ResultReference(key="acme/x", sha256="0" * 64, size=1)
    assert lose("finish", lambda: shaky.jobs.finish(claim, result, succeeded=1, failed=0))
    assert shaky.jobs.get("acme", job.id).result == result


def test_a_job_is_cancelled_once(shaky: Ledger, accept: Callable, lose: Callable):
    job = accept()
    status = lose("cancel", lambda: shaky.jobs.cancel("acme", job.id))
    assert status.state is JobState.CANCELLED


def test_a_dead_job_is_replayed_once(
    shaky: Ledger, accept: Callable, claim_one: Callable, lose: Callable
):
    job = accept()
    for _ in range(shaky.settings.max_attempts):
        shaky.jobs.requeue(claim_one(), reason="no luck")
    status = lose("replay", lambda: shaky.jobs.replay("acme", job.id))
    assert (status.state, status.attempts) == (JobState.QUEUED, 0)
    assert shaky.jobs.ready(MODEL) == 1


@pytest.mark.parametrize("script", ["cancel", "forget"])
def test_a_job_is_erased_once(shaky: Ledger, accept: Callable, lose: Callable, script: str):
    job = accept()
    lose(script, lambda: shaky.jobs.erase("acme", job.id))
    with pytest.raises(UnknownJob):
        shaky.jobs.get("acme", job.id)


def test_a_delivery_is_replayed_once(shaky: Ledger, cancelled: Callable, lose: Callable):
    cancelled(to("https://receiver.example/hook"))
    (claim,) = shaky.deliveries.claim(worker="d")
    record(shaky, claim, EXHAUSTED)
    name = claim.delivery.id
    status = lose("replay_deliveries", lambda: shaky.deliveries.replay("acme", name))
    assert status.state is PENDING


def test_a_tenant_is_made_once_and_its_maker_has_the_secret(
    shaky: Ledger, ledger: Ledger, proxy: Proxy
):
    with proxy.hold(b"HSETNX", answer=True) as hold, ThreadPoolExecutor(1) as pool:
        made = pool.submit(shaky.tenants.create, "new")
        hold.wait()
        hold.drop()
        secret = made.result(30)
    assert ledger.tenants.webhook_secrets("new") == [secret]
    assert "new" in ledger.tenants.names()


def test_an_upload_is_counted_once(shaky: Ledger, lose: Callable, raw: redis.Redis):
    upload = lose("store_upload", lambda: shaky.uploads.store("acme", b"pixels"))
    assert raw.hgetall("boxyard:acme:uploads") == {upload.id: "6"}
    assert raw.get("boxyard:acme:stored-bytes") == "6"
    lose("drop_upload", lambda: shaky.uploads.discard("acme", upload.id))
    assert raw.exists("boxyard:acme:uploads", "boxyard:acme:stored-bytes") == 0
