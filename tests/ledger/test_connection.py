from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest
import redis

from boxyard_ledger import EmbeddedRedis, Ledger
from boxyard_schemas.errors import SetupError, Unavailable
from process import await_true

from .conftest import MODEL


@pytest.fixture
def configure(own_redis: EmbeddedRedis) -> Iterator[Callable[..., object]]:
    with redis.Redis.from_url(own_redis.url) as client:
        yield client.config_set


def _is_back(ledger: Ledger) -> bool:
    try:
        ledger.check_server()
    except Unavailable:
        return False
    return True


def test_the_embedded_server_forgets_nothing(ledger: Ledger):
    assert ledger.check_server() == []


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
def test_a_server_that_evicts_is_refused_and_the_way_out_said(
    own_ledger: Ledger, configure: Callable, policy: str
):
    configure("maxmemory-policy", policy)
    with pytest.raises(SetupError, match="CONFIG SET maxmemory-policy noeviction"):
        own_ledger.check_server()


@pytest.mark.parametrize(
    ("name", "value", "warning"),
    [("appendonly", "no", "appendonly yes"), ("appendfsync", "everysec", "appendfsync always")],
)
def test_a_server_that_syncs_too_little_is_warned_of(
    own_ledger: Ledger, configure: Callable, name: str, value: str, warning: str
):
    configure(name, value)
    (said,) = own_ledger.check_server()
    assert warning in said


def test_a_server_that_forbids_config_is_warned_of(own_redis: EmbeddedRedis, own_ledger: Ledger):
    with redis.Redis.from_url(own_redis.url) as client:
        client.acl_setuser("default", enabled=True, nopass=True, commands=["+@all", "-config"])
    (said,) = own_ledger.check_server()
    assert "forbids CONFIG" in said


def test_a_server_that_is_gone_is_unavailable_and_then_back(
    own_redis: EmbeddedRedis, own_ledger: Ledger, make_job: Callable
):
    job = make_job()
    own_ledger.jobs.accept(job)
    own_redis.kill()
    with pytest.raises(Unavailable) as caught:
        own_ledger.jobs.accept(make_job())
    assert caught.value.data["retry_after_s"] > 0
    own_redis.start()
    assert own_ledger.jobs.get("acme", job.id).job == job
    own_ledger.jobs.accept(make_job())


def test_accepted_jobs_outlive_every_crash_of_the_server(
    own_redis: EmbeddedRedis, own_ledger: Ledger, make_job: Callable
):
    accepted = []
    for _ in range(5):
        accepted += [own_ledger.jobs.accept(make_job())[0].job.id for _ in range(10)]
        own_redis.kill()
        own_redis.start()
    claims = own_ledger.jobs.claim(MODEL, worker="w", max_images=100)
    assert sorted(claim.job.id for claim in claims) == sorted(accepted)


def test_a_server_that_stalls_is_unavailable_and_not_waited_for(
    own_redis: EmbeddedRedis, own_ledger: Ledger, make_job: Callable
):
    own_ledger.jobs.accept(make_job())
    assert own_redis.pid
    os.kill(own_redis.pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable):
            own_ledger.jobs.accept(make_job())
    finally:
        os.kill(own_redis.pid, signal.SIGCONT)
    await_true(lambda: _is_back(own_ledger), "the server")
    own_ledger.jobs.accept(make_job())


def test_a_full_server_takes_no_job_but_lets_work_drain(
    own_ledger: Ledger, make_job: Callable, configure: Callable
):
    job, other = make_job(age_s=1), make_job()
    own_ledger.jobs.accept(job)
    own_ledger.jobs.accept(other)
    configure("maxmemory", 1)
    late = make_job()
    with pytest.raises(Unavailable):
        own_ledger.jobs.accept(late)
    held, second = own_ledger.jobs.claim(MODEL, worker="w", max_images=2)
    assert own_ledger.jobs.requeue(second, reason="full")
    assert own_ledger.jobs.cancel("acme", held.job.id).state == "cancelled"
    configure("maxmemory", 0)
    assert own_ledger.jobs.accept(late)[1]
    assert own_ledger.jobs.ready(MODEL) == 2


def test_a_wrong_password_is_the_operator_s_to_mend(own_redis: EmbeddedRedis, own_ledger: Ledger):
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("requirepass", "secret")
    wrong = own_redis.url.replace("redis://", "redis://:guess@")
    settings = own_ledger.settings.model_copy(update={"redis_url": wrong})
    with Ledger.open(settings) as stranger, pytest.raises(SetupError, match="BOXYARD_REDIS_URL"):
        stranger.check_server()


def test_a_subscription_outlives_a_crash_of_the_server(
    own_redis: EmbeddedRedis, own_ledger: Ledger, make_job: Callable
):
    with own_ledger.jobs.subscribe() as feed:
        own_redis.kill()
        with pytest.raises(Unavailable):
            feed.next(timeout=1)
        own_redis.start()
        feed.next(timeout=1)
        job = make_job()
        own_ledger.jobs.accept(job)
        own_ledger.jobs.cancel("acme", job.id)
        await_true(lambda: feed.next(timeout=1) == ("acme", job.id), "news of the job")


def test_a_bell_rings_at_once_after_a_crash_of_the_server(
    own_redis: EmbeddedRedis, own_ledger: Ledger, make_job: Callable
):
    own_ledger.jobs.accept(make_job(model="another"))
    own_redis.kill()
    own_redis.start()
    own_ledger.jobs.accept(make_job())
    assert own_ledger.bells.missing(MODEL) == 0


def test_killed_connections_are_made_again_without_a_word(
    own_redis: EmbeddedRedis, own_ledger: Ledger, make_job: Callable
):
    with redis.Redis.from_url(own_redis.url) as client:
        for _ in range(5):
            assert own_ledger.jobs.accept(make_job())[1]
            client.client_kill_filter(_type="normal", skipme=True)
    assert own_ledger.jobs.ready(MODEL) == 5
