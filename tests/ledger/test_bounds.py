"""What is over a bound is refused, and told when to come back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from boxyard_ledger import Idempotency, Ledger, LedgerSettings
from boxyard_schemas import Priority
from boxyard_schemas.errors import TooManyRequests

from .conftest import MODEL

FACTS = "boxyard:acme:tenant"


@pytest.fixture
def bounded(ledger_settings: LedgerSettings) -> Iterator[Callable[..., Ledger]]:
    """A ledger with other bounds."""
    opened: list[Ledger] = []

    def make(**bounds: int) -> Ledger:
        opened.append(Ledger.open(ledger_settings.model_copy(update=bounds)))
        return opened[-1]

    yield make
    for ledger in opened:
        ledger.close()


def refused(ledger: Ledger, job: object, **options: object) -> dict[str, object]:
    with pytest.raises(TooManyRequests) as caught:
        ledger.jobs.accept(job, **options)
    assert str(caught.value.data["retry_after_s"]) in caught.value.detail
    return caught.value.data


def test_a_model_s_queue_has_a_bound_over_all_priorities_and_tenants(
    bounded: Callable, make_job: Callable
):
    ledger = bounded(max_queued_per_model=3)
    for priority in Priority:
        ledger.jobs.accept(make_job(priority=priority))
    late = make_job(tenant="other")
    assert refused(ledger, late) == {"retry_after_s": 30, "limit": "queued-per-model"}
    assert ledger.jobs.list("other") == ([], None)
    assert ledger.jobs.accept(make_job(model="another"))[1]
    ledger.jobs.claim(MODEL, worker="w", max_images=1)
    assert ledger.jobs.accept(late)[1]


def test_a_tenant_s_queue_has_a_bound_over_all_models(
    bounded: Callable, make_job: Callable, raw: redis.Redis
):
    ledger = bounded(max_queued_per_tenant=2)
    for model in ("one", "two"):
        ledger.jobs.accept(make_job(model=model))
    assert refused(ledger, make_job(model="three"))["limit"] == "queued-per-tenant"
    assert ledger.jobs.accept(make_job(tenant="other"))[1]
    raw.hset(FACTS, "queued_jobs", 3)
    assert ledger.jobs.accept(make_job())[1]
    assert refused(ledger, make_job())["limit"] == "queued-per-tenant"


def test_a_minute_s_jobs_may_come_at_once_and_then_each_waits_for_its_share(
    ledger: Ledger, make_job: Callable, raw: redis.Redis
):
    raw.hset(FACTS, "jobs_per_minute", 5)
    began = time.monotonic()
    for _ in range(5):
        ledger.jobs.accept(make_job())
    told = refused(ledger, make_job())
    assert told["limit"] == "jobs-per-minute"
    passed = time.monotonic() - began
    assert 11 - passed <= told["retry_after_s"] <= 12, "a fifth of a minute"
    assert ledger.jobs.accept(make_job(tenant="other"))[1]
    sooner(raw, 12)
    assert ledger.jobs.accept(make_job())[1]
    assert refused(ledger, make_job())["limit"] == "jobs-per-minute"


def test_a_quota_of_no_jobs_lets_none_in(ledger: Ledger, make_job: Callable, raw: redis.Redis):
    raw.hset(FACTS, "jobs_per_minute", 0)
    assert refused(ledger, make_job())["retry_after_s"] == 60


def test_a_clock_that_was_set_back_does_not_lock_a_tenant_out(
    ledger: Ledger, make_job: Callable, raw: redis.Redis
):
    raw.hset(FACTS, "jobs_per_minute", 60)
    raw.set("boxyard:acme:submissions", 1000 * (time.time() + 3600))
    assert ledger.jobs.accept(make_job())[1]


def test_what_is_refused_counts_against_no_rate(
    ledger: Ledger, make_job: Callable, raw: redis.Redis
):
    raw.hset(FACTS, mapping={"jobs_per_minute": 2, "queued_jobs": 1})
    first = make_job()
    ledger.jobs.accept(first)
    for _ in range(10):
        assert refused(ledger, make_job())["limit"] == "queued-per-tenant"
    ledger.jobs.cancel("acme", first.id)
    assert ledger.jobs.accept(make_job())[1]


def test_who_asks_again_for_its_job_meets_no_bound(
    ledger: Ledger, make_job: Callable, raw: redis.Redis
):
    key, job = Idempotency("key", "body"), make_job()
    ledger.jobs.accept(job, idempotency=key)
    raw.hset(FACTS, mapping={"jobs_per_minute": 0, "queued_jobs": 0})
    assert ledger.jobs.accept(make_job(), idempotency=key)[0].job == job
    assert ledger.jobs.accept(job)[0].job == job, "sent again after a lost answer"


def test_a_bound_holds_though_many_submit_at_once(bounded: Callable, make_job: Callable):
    ledger = bounded(max_queued_per_tenant=25)

    def submit(_: int) -> bool:
        try:
            return ledger.jobs.accept(make_job())[1]
        except TooManyRequests:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(submit, range(80))) == 25
    assert ledger.jobs.ready(MODEL) == 25


def test_retry_after_is_the_time_in_which_a_twentieth_of_the_queue_drains(
    bounded: Callable, make_job: Callable, raw: redis.Redis
):
    ledger = bounded(max_queued_per_model=100)
    for _ in range(100):
        ledger.jobs.accept(make_job())
    assert refused(ledger, make_job())["retry_after_s"] == 30, "nothing drains"
    # 60 jobs in the last minute: one a second; 5 are a twentieth of the bound.
    drain(raw, f"boxyard:drained:{MODEL}", [10] * 6)
    assert 5 <= refused(ledger, make_job())["retry_after_s"] <= 6


@pytest.mark.parametrize(("counts", "seconds"), [([1], 300), ([1_000_000] * 6, 1)])
def test_retry_after_is_between_a_second_and_five_minutes(
    *, ledger: Ledger, make_job: Callable, raw: redis.Redis, counts: list[int], seconds: int
):
    raw.hset(FACTS, "queued_jobs", 2000)
    raw.zadd("boxyard:acme:jobs:queued", {str(number): 0 for number in range(2000)})
    drain(raw, "boxyard:acme:drained", counts)
    assert refused(ledger, make_job())["retry_after_s"] == seconds


def test_each_end_counts_for_its_model_and_its_tenant(
    ledger: Ledger, accept: Callable, claim_one: Callable, finish: Callable, raw: redis.Redis
):
    ended, cancelled = accept(age_s=1), accept()
    finish(claim_one())
    ledger.jobs.cancel("acme", cancelled.id)
    for name in (f"boxyard:drained:{ended.model}", "boxyard:acme:drained"):
        assert sum(map(int, raw.hvals(name))) == 2
        assert 60 < raw.ttl(name) <= 70


def test_what_ended_more_than_a_minute_ago_is_forgotten(
    ledger: Ledger, accept: Callable, raw: redis.Redis
):
    name = f"boxyard:drained:{MODEL}"
    drain(raw, name, [1] * 20)
    before = set(map(int, raw.hkeys(name)))
    ledger.jobs.cancel("acme", accept().id)
    kept = set(map(int, raw.hkeys(name)))
    now = max(kept)
    six_and_now = set(range(now - 6, now + 1))
    assert kept == six_and_now & (before | {now})


def sooner(raw: redis.Redis, seconds: float) -> None:
    """As if the tenant had submitted all that it did `seconds` earlier."""
    ahead = float(raw.get("boxyard:acme:submissions"))
    raw.set("boxyard:acme:submissions", ahead - 1000 * seconds)


def drain(raw: redis.Redis, name: str, counts: list[int]) -> None:
    """As if so many jobs had ended in each of the windows before this one."""
    window = raw.time()[0] // 10
    for index, count in enumerate(counts):
        raw.hset(name, window - len(counts) + index, count)
