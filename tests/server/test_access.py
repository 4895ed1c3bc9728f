from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
import redis

from boxyard_ledger import EmbeddedRedis, Ledger, LedgerSettings
from boxyard_producer.server import ServerSettings
from boxyard_producer.server.shares import Shares
from boxyard_schemas.errors import Unauthorized
from process import await_true
from server_process import serving_process

from .conftest import Serve, bearer, looks_at_jobs, serving
from .test_jobs import problem, submit


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/models", "/v1/endpoints"])
def test_nothing_is_told_without_a_known_key(api: httpx.Client, path: str) -> None:
    for headers in (
        {"Authorization": ""},
        bearer("wrong"),
        {"Authorization": "Basic key-a"},
        {"Authorization": "", "X-API-Key": "wrong"},
    ):
        answer = api.get(path, headers=headers)
        problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_key_may_come_in_either_header(api: httpx.Client) -> None:
    other = {"Authorization": "", "X-API-Key": "key-a"}
    assert api.get("/v1/jobs", headers=other).status_code == 200


async def test_unknown_keys_are_looked_up_a_few_at_a_time_and_delay_no_known_one() -> None:
    shares, going = Shares(1000), asyncio.Event()
    begun = Counter[str]()

    async def look_up(key: str, address: str) -> None:
        async with shares.looking_up(key, address):
            begun[address] += 1
            await going.wait()

    async with asyncio.TaskGroup() as tasks:
        for number in range(100):
            tasks.create_task(look_up(f"unknown-{number}", "192.0.2.1"))
        await asyncio.sleep(0)
        few = begun["192.0.2.1"]
        for number in range(100):
            tasks.create_task(look_up(f"other-{number}", f"2001:db8::{number}"))
        await asyncio.sleep(0)
        assert few < begun.total() <= 3 * few < 40
        shares.remember("known", "a tenant")
        tasks.create_task(look_up("known", "192.0.2.1"))
        # A tenant is no key: whoever guesses its name takes none of its turns.
        tasks.create_task(look_up("a tenant", "192.0.2.1"))
        await asyncio.sleep(0)
        assert begun["192.0.2.1"] == few + 1
        going.set()
    assert begun.total() == 202


async def test_a_key_that_was_revoked_is_unknown_again() -> None:
    shares = Shares(1000)
    shares.remember("known", "a")
    with pytest.raises(Unauthorized):
        async with shares.looking_up("known", ""):
            raise Unauthorized("It was revoked.")
    async with AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(shares.looking_up("unknown", ""))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), shares.looking_up("known", ""):
                pass


def test_a_body_is_not_read_for_a_stranger(api: httpx.Client) -> None:
    with socket.create_connection((api.base_url.host, api.base_url.port), timeout=30) as raw:
        raw.sendall(b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert b" 401 " in raw.recv(4096).splitlines()[0]


def test_a_body_over_the_cap_is_refused_with_and_without_a_declared_length(serve: Serve) -> None:
    api = serve(max_body_bytes=100_000)
    big = b'"' + b"1" * 200_000 + b'"'
    headers = {"Content-Type": "application/json"}
    declared = api.post("/v1/jobs", content=big, headers=headers)
    assert "BOXYARD_MAX_BODY_BYTES" in str(problem(declared, 413, "too-large")["detail"])
    chunks = (big[start : start + 8192] for start in range(0, len(big), 8192))
    chunked = api.post("/v1/jobs", content=chunks, headers=headers)
    assert "BOXYARD_MAX_BODY_BYTES" in str(problem(chunked, 413, "too-large")["detail"])


def test_an_upload_that_never_ends_is_cut_at_its_cap(serve: Serve, ledger: Ledger) -> None:
    api = serve(max_upload_bytes=100_000)
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 500 * 2**20:
            sent += 65_536
            yield b"x" * 65_536

    problem(api.post("/v1/uploads", content=endless()), 413, "too-large")
    assert sent < 500 * 2**20
    assert list(ledger.blobs.keys("a/")) == []


def test_unknown_paths_and_methods_are_problems_too(api: httpx.Client) -> None:
    problem(api.get("/v1/nothing"), 404, "not-found")
    problem(api.put("/v1/models"), 405, "method-not-allowed")


def test_health_needs_no_key(api: httpx.Client) -> None:
    for path in ("/healthz", "/readyz"):
        assert api.get(path, headers={"Authorization": ""}).json() == {"status": "ok"}


def test_while_redis_is_away_callers_are_told_when_to_come_back(
    own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    settings = LedgerSettings(redis_url=own_redis.url, blob_url=tmp_path.as_uri())
    with Ledger.open(settings) as ledger, serving(ServerSettings(), ledger) as url:
        ledger.tenants.register("a", api_key="key-a", webhook_secret="whsec_YQ==")
        with httpx.Client(base_url=url, headers=bearer("key-a"), timeout=60) as api:
            where = submit(api).headers["location"]
            own_redis.kill()
            for answer in (submit(api), api.get(where), api.get("/readyz")):
                problem(answer, 503, "unavailable")
                assert int(answer.headers["retry-after"]) >= 1
            assert api.get("/healthz").status_code == 200
            own_redis.start()
            assert api.get(where).json()["state"] == "queued"
            assert submit(api).status_code == 202


def test_a_server_that_evicts_is_not_ready_and_says_why(
    own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    settings = LedgerSettings(redis_url=own_redis.url, blob_url=tmp_path.as_uri())
    with Ledger.open(settings) as ledger, serving(ServerSettings(), ledger) as url:
        with redis.Redis.from_url(own_redis.url) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        found = problem(httpx.get(f"{url}/readyz"), 503, "unavailable")
        assert "noeviction" in str(found["detail"])


def test_the_server_starts_as_a_process_knows_its_first_key_and_lets_waiters_go(
    redis_url: str, ledger_settings: LedgerSettings, tmp_path: Path
) -> None:
    first = {"api_key": "first", "webhook_secret": "whsec_YQ=="}
    with (
        serving_process(tmp_path, ledger_settings, **first) as server,
        server.client("first") as api,
        ThreadPoolExecutor(1) as people,
    ):
        where = submit(api).headers["location"]
        looks, began = looks_at_jobs(redis_url), time.monotonic()
        waiting = people.submit(api.get, where, params={"wait": 50})
        await_true(lambda: looks_at_jobs(redis_url) > looks, "the server to look at the job")
        assert server.stop() == 0
        assert waiting.result().json()["state"] == "queued"
        assert time.monotonic() - began < 45
    (accepted,) = server.events("job.accepted")
    assert accepted["tenant"] == "default"
