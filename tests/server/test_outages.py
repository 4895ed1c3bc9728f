"""Redis or the blob store away, stalled, full or read-only: 503, soon, and no job in between."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
import redis

from boxyard_ledger import EmbeddedRedis, Ledger, LedgerSettings
from boxyard_producer import AsyncClient, Client
from boxyard_schemas import DEMO_MODEL, Job
from process import await_true
from server_process import ServerProcess, serving_process

from .conftest import bearer
from .test_jobs import problem, submit

INLINE = [{"base64": "/9j/4AAQ"}]


STALL_S, SHORT_STALL_S = 8.0, 3.0
"""Redis' time limit where a test stops Redis."""
THREADS = 40
"""Of the server, for what waits for Redis."""


@pytest.fixture
def timeout_s() -> float:
    """Redis' time limit: more than any pause takes, but where a test says another one."""
    return 30.0


@pytest.fixture
def settings(own_redis: EmbeddedRedis, timeout_s: float, tmp_path: Path) -> LedgerSettings:
    return LedgerSettings(
        redis_url=own_redis.url,
        blob_url=(tmp_path / "blobs").as_uri(),
        redis_timeout_s=timeout_s,
    )


@pytest.fixture
def server(settings: LedgerSettings, tmp_path: Path) -> Iterator[ServerProcess]:
    with Ledger.open(settings) as ledger:
        ledger.tenants.register("a", api_key="key-a", webhook_secret="whsec_YQ==")
    with serving_process(tmp_path, settings) as started:
        yield started


@pytest.fixture
def api(server: ServerProcess) -> Iterator[httpx.Client]:
    with server.client("key-a") as client:
        yield client


@contextmanager
def stopped(server: EmbeddedRedis) -> Iterator[None]:
    assert server.pid
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def assert_unavailable(answer: httpx.Response) -> None:
    problem(answer, 503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1


def await_accepted(api: httpx.Client) -> None:
    await_true(lambda: submit(api).status_code == 202, "a job to be accepted")


@pytest.mark.parametrize("timeout_s", [STALL_S])
def test_a_hundred_callers_of_a_stalled_redis_are_all_answered_within_its_time_limit(
    own_redis: EmbeddedRedis, server: ServerProcess
) -> None:
    limits = httpx.Limits(max_connections=None)
    headers = {"Authorization": "Bearer key-a"}
    with (
        httpx.Client(
            base_url=server.url, headers=headers, timeout=120, trust_env=False, limits=limits
        ) as api,
        ThreadPoolExecutor(100) as pool,
    ):
        where = submit(api).headers["location"]
        calls: tuple[Callable[[], httpx.Response], ...] = (
            lambda: submit(api),
            lambda: submit(api, images=INLINE),
            lambda: api.get(where, params={"wait": 50}),
            lambda: api.post("/v1/uploads", content=b"\xff\xd8\xff"),
            lambda: api.get("/v1/models"),
        )
        with stopped(own_redis):
            began = time.monotonic()
            asked = [pool.submit(calls[number % len(calls)]) for number in range(100)]
            assert api.get("/healthz").status_code == 200
            assert time.monotonic() - began < STALL_S
            for answer in asked:
                assert_unavailable(answer.result())
            # The first ones wait their time out; nobody waits for a thread of theirs, to wait anew.
            waited = [answer for answer in asked if "Timeout" in answer.result().json()["detail"]]
            assert 0 < len(waited) <= THREADS
            assert_unavailable(submit(api))
        await_accepted(api)


def _submitted(kind: type[Client | AsyncClient], url: str) -> Job:
    async def awaited(client: AsyncClient) -> Job:
        async with client:
            return await client.submit(DEMO_MODEL, "https://example.com/1.jpg")

    client = kind(url, "key-a")
    if isinstance(client, AsyncClient):
        return asyncio.run(awaited(client))
    with client:
        return client.submit(DEMO_MODEL, "https://example.com/1.jpg")


@pytest.mark.parametrize("timeout_s", [SHORT_STALL_S])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_client_that_submits_while_redis_stalls_comes_back_and_has_one_job(
    own_redis: EmbeddedRedis,
    server: ServerProcess,
    api: httpx.Client,
    kind: type[Client | AsyncClient],
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with stopped(own_redis):
            submitted = pool.submit(_submitted, kind, server.url)
            server.await_event("request.answered", status=503)
            assert not submitted.done()
        job = submitted.result()
    assert [each["id"] for each in api.get("/v1/jobs").json()["jobs"]] == [job.id]


def test_while_redis_is_full_nothing_is_accepted_and_what_is_there_can_be_read(
    own_redis: EmbeddedRedis, api: httpx.Client
) -> None:
    where = submit(api).headers["location"]
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory", "1")
        assert_unavailable(submit(api))
        assert_unavailable(submit(api, images=INLINE))
        assert api.get(where).json()["state"] == "queued"
        client.config_set("maxmemory", "0")
    assert submit(api).status_code == 202


def test_while_redis_is_read_only_nothing_is_accepted_and_what_is_there_can_be_read(
    own_redis: EmbeddedRedis, api: httpx.Client
) -> None:
    where = submit(api).headers["location"]
    with redis.Redis.from_url(own_redis.url) as client:
        client.replicaof("127.0.0.1", "1")
        for answer in (submit(api), api.post(f"{where}/cancel"), api.delete(where)):
            assert_unavailable(answer)
        assert api.get("/v1/models").status_code in (200, 503)
        client.replicaof("no", "one")
    await_accepted(api)
    assert api.get(where).json()["state"] == "queued"


def test_a_password_that_redis_no_longer_takes_is_nothing_that_a_caller_can_mend(
    own_redis: EmbeddedRedis, server: ServerProcess, api: httpx.Client
) -> None:
    submit(api)
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("requirepass", "changed")
        client.client_kill_filter(_type="normal", skipme=True)
        assert_unavailable(submit(api))
        assert "changed" not in server.text()
        client.config_set("requirepass", "")
    await_accepted(api)


def test_while_the_blob_store_fails_jobs_with_pictures_wait_and_none_of_them_is_left_over(
    settings: LedgerSettings, api: httpx.Client, tmp_path: Path
) -> None:
    assert submit(api, images=INLINE).status_code == 202
    blobs = tmp_path / "blobs"
    blobs.rename(tmp_path / "away")
    blobs.write_text("a file where the folder was")
    assert_unavailable(submit(api, images=INLINE))
    assert_unavailable(api.post("/v1/uploads", content=b"\xff\xd8\xff"))
    assert submit(api).status_code == 202
    blobs.unlink()
    assert_unavailable(submit(api, images=INLINE))
    (tmp_path / "away").rename(blobs)
    assert submit(api, images=INLINE * 3).status_code == 202
    with Ledger.open(settings) as ledger:
        assert len(list(ledger.blobs.keys("a/uploads/"))) == 4


class Deaf:
    """A blob store that takes connections and never says a word."""

    def __init__(self, listening: socket.socket) -> None:
        listening.settimeout(60)
        self._socket, self._taken = listening, list[socket.socket]()
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"

    def await_callers(self, count: int) -> None:
        """Until so many have connected."""
        while len(self._taken) < count:
            self._taken.append(self._socket.accept()[0])

    def close(self) -> None:
        for taken in self._taken:
            taken.close()


@pytest.fixture
def deaf() -> Iterator[Deaf]:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=200) as listening,
        closing(Deaf(listening)) as deaf,
    ):
        yield deaf


@pytest.fixture
def hanging(settings: LedgerSettings, deaf: Deaf, tmp_path: Path) -> Iterator[ServerProcess]:
    """A server whose blob store hangs."""
    with Ledger.open(settings) as ledger:
        ledger.tenants.register("a", api_key="key-a", webhook_secret="whsec_YQ==")
    away = settings.model_copy(update={"blob_url": "s3://bucket/"})
    bucket = {"s3_endpoint_url": deaf.url, "s3_access_key_id": "k", "s3_secret_access_key": "s"}
    with serving_process(tmp_path, away, **bucket) as started:
        yield started


def test_a_blob_store_that_hangs_keeps_nobody_waiting_who_does_not_need_it(
    hanging: ServerProcess, deaf: Deaf
) -> None:
    limits = httpx.Limits(max_connections=None)
    with (
        httpx.Client(
            base_url=hanging.url, headers=bearer("key-a"), timeout=120, limits=limits
        ) as api,
        ThreadPoolExecutor(80) as pool,
    ):
        began = time.monotonic()
        stuck = [pool.submit(api.post, "/v1/uploads", content=b"\xff\xd8\xff") for _ in range(40)]
        stuck += [pool.submit(submit, api, images=INLINE) for _ in range(40)]
        deaf.await_callers(32)  # all threads that wait for blobs
        others = time.monotonic()
        for _ in range(5):
            where = submit(api).headers["location"]
            assert api.get(where).json()["state"] == "queued"
        assert time.monotonic() - others < 25
        for answer in stuck:
            assert_unavailable(answer.result())
        assert 25 < time.monotonic() - began < 100


def test_a_server_that_is_stopped_while_the_blob_store_hangs_still_answers(
    hanging: ServerProcess, deaf: Deaf
) -> None:
    with hanging.client("key-a") as api, ThreadPoolExecutor(3) as pool:
        stuck = [pool.submit(api.post, "/v1/uploads", content=b"\xff\xd8\xff") for _ in range(3)]
        deaf.await_callers(3)
        hanging.send(signal.SIGTERM)
        for answer in stuck:
            assert_unavailable(answer.result())


def test_a_picture_that_comes_when_the_server_stops_and_the_blob_store_hangs_is_answered_too(
    hanging: ServerProcess,
) -> None:
    def half_and_half() -> Iterator[bytes]:
        yield b"\xff\xd8\xff"
        hanging.send(signal.SIGTERM)
        await_true(lambda: "Shutting down" in hanging.text(), "the server to stop", hanging.tail)
        yield b"x"

    with hanging.client("key-a") as api:
        assert_unavailable(api.post("/v1/uploads", content=half_and_half()))


def test_a_refused_job_leaves_no_picture_behind(
    api: httpx.Client, settings: LedgerSettings
) -> None:
    unknown = {"upload": "upl_" + "0" * 32}
    problem(submit(api, images=[*INLINE, unknown]), 404, "unknown-upload")
    with Ledger.open(settings) as ledger:
        assert list(ledger.blobs.keys("a/")) == []


def test_a_bound_that_is_reached_names_itself_and_says_when_to_come_back(
    server: ServerProcess, settings: LedgerSettings, api: httpx.Client
) -> None:
    assert submit(api).status_code == 202
    with Ledger.open(settings) as ledger:
        ledger.tenants.set_quota("a", queued_jobs=1)
        refused = submit(api, images=INLINE)
        found = problem(refused, 429, "too-many-requests")
        assert found["limit"] == "queued-per-tenant"
        assert refused.headers["retry-after"] == str(found["retry_after_s"])
        ledger.tenants.set_quota("a", queued_jobs=10, jobs_per_minute=1)
        _await_limit(api, "jobs-per-minute")
        ledger.tenants.set_quota("a", stored_bytes=1)
        found = problem(api.post("/v1/uploads", content=b"\xff\xd8\xff"), 429, "too-many-requests")
        assert found["limit"] == "stored-bytes"
        assert list(ledger.blobs.keys("a/")) == []


def _await_limit(api: httpx.Client, limit: str) -> None:
    for _ in range(10):
        answer = submit(api)
        if answer.status_code == 429:
            assert answer.json()["limit"] == limit
            return
    raise AssertionError(f"{limit} was never reached")


def test_one_key_is_one_job_also_when_the_bound_is_reached_meanwhile(
    settings: LedgerSettings, api: httpx.Client
) -> None:
    body = {"model": DEMO_MODEL, "images": INLINE}
    key = {"Idempotency-Key": "once"}
    first = api.post("/v1/jobs", json=body, headers=key)
    with Ledger.open(settings) as ledger:
        ledger.tenants.set_quota("a", queued_jobs=1, jobs_per_minute=1, stored_bytes=1)
        again = api.post("/v1/jobs", json=body, headers=key)
        assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
        other = {**body, "priority": "high"}
        problem(api.post("/v1/jobs", json=other, headers=key), 409, "idempotency-conflict")
        assert len(list(ledger.blobs.keys("a/"))) == 1
