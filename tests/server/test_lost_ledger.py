"""A Redis that lost its data under a running server is named as that, not as a wrong key."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from boxyard_ledger import EmbeddedRedis, Ledger, LedgerSettings
from boxyard_schemas import DEMO_MODEL
from server_process import ServerProcess, serving_process

KEY, SECRET = "key-of-the-operator", "whsec_YQ=="
JOB = {"model": DEMO_MODEL, "images": [{"url": "https://example.com/1.jpg"}]}


@pytest.fixture
def settings(own_redis: EmbeddedRedis, tmp_path: Path) -> LedgerSettings:
    return LedgerSettings(
        redis_url=own_redis.url, blob_url=(tmp_path / "blobs").as_uri(), redis_timeout_s=30
    )


@pytest.fixture
def server(settings: LedgerSettings, tmp_path: Path) -> Iterator[ServerProcess]:
    """With a key that the operator gave at the start."""
    with serving_process(tmp_path, settings, api_key=KEY, webhook_secret=SECRET) as started:
        yield started


@pytest.fixture
def unattended(settings: LedgerSettings, tmp_path: Path) -> Iterator[ServerProcess]:
    """With tenants and keys that were made since, and none given at the start."""
    with Ledger.open(settings) as ledger:
        ledger.tenants.register("a", api_key=KEY, webhook_secret=SECRET)
    with serving_process(tmp_path, settings) as started:
        yield started


def flush(own_redis: EmbeddedRedis) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        client.flushall()


def get(api: httpx.Client, path: str) -> httpx.Response:
    """An answer that was made after the call: readiness is shared for up to a second."""
    if path == "/readyz":
        time.sleep(1.1)
    return api.get(path)


def assert_lost(answer: httpx.Response) -> None:
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("Redis lost its data")


@pytest.mark.parametrize("path", ["/readyz", "/v1/jobs", "/v1/models"])
def test_the_first_to_notice_is_told_and_the_operators_key_works_again(
    server: ServerProcess, own_redis: EmbeddedRedis, path: str
):
    with server.client(KEY) as api:
        assert api.post("/v1/jobs", json=JOB).status_code == 202
        flush(own_redis)
        assert_lost(get(api, path))
        assert get(api, "/readyz").status_code == 200
        assert api.post("/v1/jobs", json=JOB).status_code == 202
        assert api.post("/v1/uploads", content=b"\xff\xd8\xff").status_code == 201
    assert server.await_event("ledger.lost")["level"] == "critical"


def test_a_key_that_went_with_the_data_is_refused_with_the_reason(
    server: ServerProcess, own_redis: EmbeddedRedis
):
    with server.client("key-of-another") as api:
        answer = api.get("/v1/jobs")
        assert (answer.status_code, "lost" in answer.json()["detail"]) == (401, False)
        flush(own_redis)
        assert_lost(api.get("/v1/jobs"))
        answer = api.get("/v1/jobs")
        assert answer.status_code == 401
        assert "Redis lost its data" in answer.json()["detail"]


def test_without_a_key_of_the_operators_it_is_said_until_there_is_a_tenant_again(
    unattended: ServerProcess, own_redis: EmbeddedRedis, settings: LedgerSettings
):
    with unattended.client(KEY) as api:
        assert api.get("/v1/jobs").status_code == 200
        flush(own_redis)
        for path in ("/readyz", "/v1/jobs", "/readyz"):
            assert_lost(get(api, path))
        with Ledger.open(settings) as ledger:
            ledger.tenants.register("a", api_key=KEY, webhook_secret=SECRET)
        assert api.get("/v1/jobs").status_code == 200
        assert get(api, "/readyz").status_code == 200
        flush(own_redis)
        assert_lost(get(api, "/readyz"))
    lost = [line["found"] is None for line in unattended.events("ledger.lost")]
    assert lost == [True, False, True], "each loss is logged once"


def test_data_that_is_put_back_is_taken_again(server: ServerProcess, own_redis: EmbeddedRedis):
    with redis.Redis.from_url(own_redis.url) as client, server.client(KEY) as api:
        kept = {name: client.dump(name) for name in client.keys("*")}
        flush(own_redis)
        for name, value in kept.items():
            client.restore(name, 0, value)
        assert api.get("/v1/jobs").status_code == 200
        assert get(api, "/readyz").status_code == 200
