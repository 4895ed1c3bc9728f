"""The real application on a real port, over the real ledger; tests play the worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread, Timer

import httpx
import pytest
import redis
import uvicorn

from boxyard_ledger import Claim, Ledger, LedgerSettings, WorkerRecord, result_key
from boxyard_producer.server import ServerSettings, create_app
from boxyard_producer.server.connections import BoundedProtocol
from boxyard_schemas import (
    DEMO_MODEL,
    Box,
    Detection,
    ImageFailure,
    ImageInfo,
    ImageOutcome,
    ImageSuccess,
    JobResult,
    Provenance,
)
from boxyard_schemas.words import utc_now
from server_process import ServerProcess, serving_process

Serve = Callable[..., httpx.Client]
Start = Callable[..., ServerProcess]

FOUND = Detection(
    box=Box(topX=0.1, topY=0.2, bottomX=0.5, bottomY=0.6),
    label="can",
    label_id=1,
    score=0.9,
    polygon=((0.1, 0.2, 0.5, 0.2, 0.5, 0.6),),
)
SEEN = ImageSuccess(boxes=(FOUND,), image=ImageInfo(width=64, height=48, sha256="0" * 64))
BROKEN = ImageFailure(code="undecodable-image", detail="this is no picture")


class Worker:
    """Plays a detect worker on the real ledger."""

    def __init__(self, ledger: Ledger, model: str) -> None:
        self._ledger, self._model = ledger, model

    def appear(self) -> None:
        record = WorkerRecord(
            id=f"worker-{self._model}",
            model=self._model,
            host="here",
            device="cpu",
            warm=True,
            classes=("carton", "can"),
            started_at=utc_now(),
        )
        self._ledger.workers.beat(record, ttl_s=60)

    def claim(self) -> Claim:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if claims := self._ledger.jobs.claim(self._model, worker="w", max_images=1):
                return claims[0]
            time.sleep(0.01)
        raise AssertionError("no job came")

    def finish(self, claim: Claim, *outcomes: ImageOutcome) -> JobResult:
        result, held = self.try_to_finish(claim, *outcomes)
        assert held
        return result

    def try_to_finish(self, claim: Claim, *outcomes: ImageOutcome) -> tuple[JobResult, bool]:
        """The result, and whether it was recorded: the job may have been cancelled or erased."""
        job = claim.job
        result = JobResult(
            job=job.id,
            images=outcomes,
            provenance=Provenance(
                model=self._model,
                weights_sha256="1" * 64,
                config_sha256="2" * 64,
                device="cpu",
                precision="fp32",
                versions={},
            ),
        )
        key = result_key(job.tenant, job.id, claim.token)
        stored = self._ledger.blobs.put(key, result.model_dump_json().encode(), once=True)
        seen = sum(outcome.status == "succeeded" for outcome in outcomes)
        failed = len(outcomes) - seen
        return result, self._ledger.jobs.finish(claim, stored, succeeded=seen, failed=failed)


@contextmanager
def serving(settings: ServerSettings, ledger: Ledger) -> Iterator[str]:
    """The application behind HTTP; yields its address."""
    config = uvicorn.Config(
        create_app(settings, ledger),
        http=BoundedProtocol,
        port=0,
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = Thread(target=server.run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{_port(server, thread)}"
    finally:
        server.should_exit = True
        thread.join()


def _port(server: uvicorn.Server, thread: Thread) -> int:
    deadline = time.monotonic() + 60
    while not server.started:
        assert thread.is_alive(), "the server did not come up"
        assert time.monotonic() < deadline, "the server did not come up in time"
        time.sleep(0.01)
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port


@pytest.fixture
def ledger_settings(ledger_settings: LedgerSettings) -> LedgerSettings:
    """The operator allows one of the callers' buckets, and Redis more time than any pause takes."""
    return ledger_settings.model_copy(
        update={"allowed_buckets": ("bucket",), "redis_timeout_s": 30.0}
    )


@pytest.fixture
def serve(ledger: Ledger) -> Iterator[Serve]:
    """Starts the server with the settings given, and a client that holds tenant a's key."""
    ledger.tenants.register("a", api_key="key-a", webhook_secret="whsec_YQ==")
    ledger.tenants.register("b", api_key="key-b", webhook_secret="whsec_Yg==")
    with ExitStack() as stack:

        def start(**settings: object) -> httpx.Client:
            made = ServerSettings.model_validate(settings)
            url = stack.enter_context(serving(made, ledger))
            client = httpx.Client(
                base_url=url, headers=bearer("key-a"), timeout=60, trust_env=False
            )
            return stack.enter_context(client)

        yield start


@pytest.fixture
def api(serve: Serve) -> httpx.Client:
    """The server with its default settings."""
    return serve()


@pytest.fixture
def start(ledger: Ledger, ledger_settings: LedgerSettings, tmp_path: Path) -> Iterator[Start]:
    """Starts the server with the settings given; tenants a and b have keys."""
    ledger.tenants.register("a", api_key="key-a", webhook_secret="whsec_YQ==")
    ledger.tenants.register("b", api_key="key-b", webhook_secret="whsec_Yg==")
    with ExitStack() as stack:

        def begin(**settings: object) -> ServerProcess:
            return stack.enter_context(serving_process(tmp_path, ledger_settings, **settings))

        yield begin


@pytest.fixture
def worker(ledger: Ledger) -> Worker:
    """Serves the demo model when told to."""
    return Worker(ledger, DEMO_MODEL)


@contextmanager
def later(seconds: float, work: Callable[[], object]) -> Iterator[None]:
    """Does it after so many seconds, beside what is inside; it is done in the end."""
    timer = Timer(seconds, work)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def looks_at_jobs(redis_url: str) -> int:
    """How often somebody has read a job's record on this Redis so far."""
    with redis.Redis.from_url(redis_url) as client:
        told = client.info("commandstats").get("cmdstat_hgetall", {})
    return int(told.get("calls", 0))


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
