"""What whoever watches a stack is told, held to what was done to it."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Callable

import pytest
import redis
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from boxyard_ledger import (
    Claim,
    EmbeddedRedis,
    Idempotency,
    Ledger,
    LedgerSettings,
    StackGauges,
    exposed,
)
from boxyard_schemas import Callback, Delivery, Priority
from boxyard_schemas.errors import SetupError
from ports import hold_port
from process import await_true

from .conftest import MODEL, MakeJob
from .test_workers import worker

OTHER = "vfnet_r50_fpn_1x_coco"
Labels = frozenset[tuple[str, str]]


def read(registry: CollectorRegistry) -> dict[tuple[str, Labels], float]:
    return parse(generate_latest(registry).decode())


def parse(text: str) -> dict[tuple[str, Labels], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def one(found: dict[tuple[str, Labels], float], name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


@pytest.fixture
def gauges(ledger: Ledger) -> CollectorRegistry:
    ledger.registry.register(StackGauges(ledger.census.take))
    return ledger.registry


def test_an_empty_stack_has_no_queues_and_says_that_redis_answers(gauges: CollectorRegistry):
    found = read(gauges)
    assert one(found, "boxyard_redis_up") == 1
    assert one(found, "boxyard_redis_stalled") == 0
    assert one(found, "boxyard_jobs_running") == 0
    assert not any(name == "boxyard_jobs_ready" for name, _ in found)


@pytest.mark.parametrize("junk", [b"\xff\xfe", b"a b", b"", b"x" * 201, b"\xed\xa0\x80", b"a\n"])
def test_what_is_no_name_in_a_set_of_names_is_quarantined_and_hides_no_figure(
    gauges: CollectorRegistry, ledger: Ledger, accept: MakeJob, redis_url: str, junk: bytes
):
    accept()
    ledger.workers.beat(worker("w"), 60)
    sets = ("models", "workers", "served-models", "tenants", "receivers")
    with redis.Redis.from_url(redis_url) as raw:
        for name in sets[:-1]:
            raw.sadd(f"boxyard:{name}", junk)
        raw.zadd("boxyard:receivers", {junk: 1})
        raw.set(b"boxyard:worker:" + junk, b'{"id":"\xff"}')
    found = read(gauges)
    assert one(found, "boxyard_jobs_ready", model=MODEL, priority="normal") == 1
    assert one(found, "boxyard_workers", model="m", state="warm") == 1
    assert {dict(labels)["model"] for name, labels in found if name == "boxyard_bells"} == {MODEL}
    assert ledger.served_models.names() == {"m"}
    assert ledger.tenants.names() == []
    odd = junk.decode(errors="surrogateescape")
    places = {f"boxyard:{name} {odd}" for name in ("models", "served-models", "tenants")}
    assert places <= {entry.place for entry in ledger.quarantine_review.all()}
    with redis.Redis.from_url(redis_url) as raw:
        for name in sets[:-1]:
            raw.srem(f"boxyard:{name}", junk)
    assert not places & {entry.place for entry in ledger.quarantine_review.all()}


def test_a_queue_says_its_depth_and_how_long_its_oldest_job_waits(
    gauges: CollectorRegistry, ledger: Ledger, accept: MakeJob, claim_one: Callable[[], Claim]
):
    accept(age_s=500, priority=Priority.HIGH)
    accept(age_s=300, priority=Priority.LOW)
    accept(age_s=90, model=OTHER)
    claim_one()
    found = read(gauges)
    assert one(found, "boxyard_jobs_ready", model=MODEL, priority="high") == 0
    assert one(found, "boxyard_jobs_ready", model=MODEL, priority="low") == 1
    assert one(found, "boxyard_oldest_ready_job_seconds", model=MODEL) == pytest.approx(300, abs=9)
    assert one(found, "boxyard_oldest_ready_job_seconds", model=OTHER) == pytest.approx(90, abs=9)
    assert one(found, "boxyard_bells", model=OTHER) == 1
    assert one(found, "boxyard_jobs_running") == 1


def test_a_model_with_jobs_and_without_workers_shows_a_nought(
    gauges: CollectorRegistry, ledger: Ledger, accept: MakeJob
):
    accept()
    for name, warm in (("a", True), ("b", True), ("c", False)):
        ledger.workers.beat(worker(name, warm=warm), ttl_s=60)
    found = read(gauges)
    assert one(found, "boxyard_workers", model="m", state="warm") == 2
    assert one(found, "boxyard_workers", model="m", state="loading") == 1
    assert one(found, "boxyard_workers", model=MODEL, state="warm") == 0


def test_a_delivery_that_is_due_shows_its_lag(
    gauges: CollectorRegistry, cancelled: MakeJob, raw: redis.Redis
):
    cancelled(delivery=Delivery(callback=Callback.model_validate({"url": "https://a.example/x"})))
    (receiver,) = raw.zrange("boxyard:receivers", 0, -1)
    raw.zincrby("boxyard:receivers", -120_000, receiver)
    found = read(gauges)
    assert one(found, "boxyard_receivers_due") == 1
    assert one(found, "boxyard_delivery_lag_seconds") == pytest.approx(120, abs=9)


def test_every_step_of_a_job_is_counted_once(
    ledger: Ledger,
    accept: MakeJob,
    claim_one: Callable[[], Claim],
    finish: Callable[..., bool],
    make_job: MakeJob,
):
    key = Idempotency("a key", "of one body")
    for job in (make_job(), make_job()):  # the second one is the first one's twin
        ledger.jobs.accept(job, idempotency=key)
    assert ledger.jobs.requeue(claim_one(), reason="again")
    claim = claim_one()
    assert finish(claim)
    ledger.jobs.cancel(claim.job.tenant, claim.job.id)  # it has ended
    late = accept()
    ledger.jobs.cancel(late.tenant, late.id)
    found = read(ledger.registry)
    assert one(found, "boxyard_jobs_accepted_total", model=MODEL) == 2
    assert one(found, "boxyard_job_attempts_total", model=MODEL) == 2
    assert one(found, "boxyard_jobs_requeued_total", model=MODEL) == 1
    assert one(found, "boxyard_jobs_ended_total", model=MODEL, state="succeeded") == 1
    assert one(found, "boxyard_jobs_ended_total", model=MODEL, state="cancelled") == 1


def test_no_figure_names_a_tenant(
    gauges: CollectorRegistry, accept: MakeJob, claim_one: Callable[[], Claim]
):
    accept(tenant="a-tenant-of-ours")
    accept(tenant="a-tenant-of-ours")
    claim_one()
    assert b"a-tenant-of-ours" not in generate_latest(gauges)


def test_many_scrapes_read_redis_once_a_second(
    gauges: CollectorRegistry, accept: MakeJob, raw: redis.Redis
):
    accept()
    before, began = _readings(raw), time.monotonic()
    for _ in range(20):
        read(gauges)
    assert 1 <= _readings(raw) - before <= 1 + (time.monotonic() - began)


def _readings(raw: redis.Redis) -> int:
    known: dict[str, dict[str, int]] = raw.info("commandstats")
    return known.get("cmdstat_zcount", {"calls": 0})["calls"]


def _exchanges(raw: redis.Redis) -> int:
    """How often Redis has read from a connection."""
    known: dict[str, int] = raw.info("stats")
    return known["total_reads_processed"]


def test_the_figures_of_many_models_and_workers_are_read_together(ledger: Ledger, raw: redis.Redis):
    raw.sadd("boxyard:models", *(f"model-{number}" for number in range(500)))
    for number in range(100):
        ledger.workers.beat(worker(f"w{number}"), ttl_s=60)
    before = _exchanges(raw)
    figures = ledger.census.take()
    assert _exchanges(raw) - before < 250, "not one by one"
    assert len(figures.queues) == 500
    assert figures.workers["m"].warm == 100


def test_a_scrape_while_redis_is_silent_is_answered_with_what_the_process_knows(
    own_redis: EmbeddedRedis, own_ledger: Ledger, make_job: MakeJob
):
    own_ledger.registry.register(StackGauges(own_ledger.census.take))
    own_ledger.jobs.accept(make_job())
    assert own_redis.pid
    os.kill(own_redis.pid, signal.SIGSTOP)
    began = time.monotonic()
    found = read(own_ledger.registry)
    assert time.monotonic() - began < 20  # the time limit of this ledger is three seconds
    assert one(found, "boxyard_redis_up") == 0
    assert one(found, "boxyard_jobs_accepted_total", model=MODEL) == 1
    assert not any(name == "boxyard_jobs_ready" for name, _ in found)
    assert one(read(own_ledger.registry), "boxyard_redis_stalled") == 1
    os.kill(own_redis.pid, signal.SIGCONT)
    await_true(lambda: one(read(own_ledger.registry), "boxyard_redis_up") == 1, "Redis")
    found = read(own_ledger.registry)
    assert one(found, "boxyard_jobs_ready", model=MODEL, priority="normal") == 1


def test_nothing_is_listened_on_unless_a_port_is_set(ledger: Ledger):
    with exposed(ledger.registry, ledger.settings):
        pass
    assert ledger.settings.metrics_port is None
    assert ledger.settings.metrics_host == "127.0.0.1"


def test_figures_are_served_on_the_port_that_is_set_and_no_longer_than_the_process_runs(
    ledger: Ledger, ledger_settings: LedgerSettings, accept: MakeJob
):
    accept()
    port = hold_port()
    url = f"http://127.0.0.1:{port}/metrics"
    settings = ledger_settings.model_copy(update={"metrics_port": port})
    with exposed(ledger.registry, settings):
        with urllib.request.urlopen(url, timeout=60) as answer:
            found = parse(answer.read().decode())
        assert one(found, "process_resident_memory_bytes") > 0
        assert not any(name.endswith("_created") for name, _ in found)
        with (
            pytest.raises(SetupError, match="BOXYARD_METRICS_PORT"),
            exposed(CollectorRegistry(), settings),
        ):
            pass
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=60)
