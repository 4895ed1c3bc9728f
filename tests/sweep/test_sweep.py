"""The sweep loop puts right what others left, however many of it run."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from beside import beside
from boxyard_ledger import EmbeddedRedis, JobRecord, Ledger, LedgerSettings
from boxyard_schemas import JobState, new_id
from boxyard_schemas.images import UrlImage
from boxyard_schemas.words import utc_now
from boxyard_worker.pulse import Pulse
from boxyard_worker.sweep import sweep
from process import await_true

MODEL = "rtmdet-ins_demo"
COMMAND = "from boxyard_worker.sweep import SweepSettings, run; run(SweepSettings())"


@pytest.fixture
def ledger(ledger_settings: LedgerSettings) -> Iterator[Ledger]:
    quick = ledger_settings.model_copy(update={"lease_s": 0.2})
    with Ledger.open(quick) as opened:
        yield opened


def accept(ledger: Ledger) -> str:
    image = UrlImage(url="https://example.org/a.jpg")
    job = JobRecord(
        id=new_id("job"), tenant="acme", model=MODEL, images=(image,), created_at=utc_now()
    )
    return ledger.jobs.accept(job)[0].job.id


def sweeping(ledger: Ledger) -> AbstractContextManager[None]:
    return beside(lambda stop: sweep(ledger, stop, Pulse(None), interval_s=0.05))


def test_a_job_whose_worker_died_is_ready_again_once_though_two_sweep(ledger: Ledger) -> None:
    jobs = [accept(ledger) for _ in range(20)]
    ledger.jobs.claim(MODEL, worker="dies", max_images=20)
    with sweeping(ledger), sweeping(ledger):
        await_true(lambda: ledger.jobs.ready(MODEL) == 20, "all jobs to be ready")
    claims = ledger.jobs.claim(MODEL, worker="lives", max_images=100)
    assert sorted(claim.job.id for claim in claims) == sorted(jobs)
    assert {claim.attempt for claim in claims} == {2}


def test_what_was_swept_is_logged_and_an_idle_tick_is_not(ledger: Ledger) -> None:
    job = accept(ledger)
    ledger.jobs.claim(MODEL, worker="dies", max_images=1)
    with capture_logs() as lines, sweeping(ledger):
        queued = JobState.QUEUED
        await_true(lambda: ledger.jobs.get("acme", job).state is queued, "the job to be queued")
        await_true(lambda: bool(lines), "a line in the log")
        time.sleep(0.3)
    swept = [line for line in lines if line["event"] == "swept"]
    assert sum(line.get("leases", 0) for line in swept) == 1
    assert all(any(line.get(name) for name in ("leases", "bells")) for line in swept)


def test_it_goes_on_when_redis_comes_back(ledger_settings: LedgerSettings, tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "own-redis") as server:
        own = ledger_settings.model_copy(update={"redis_url": server.url, "lease_s": 0.2})
        with Ledger.open(own) as ledger, sweeping(ledger):
            server.kill()
            time.sleep(0.3)
            server.start()
            accept(ledger)
            ledger.jobs.claim(MODEL, worker="dies", max_images=1)
            await_true(lambda: ledger.jobs.ready(MODEL) == 1, "the job to be ready")


def test_a_blob_store_that_hangs_keeps_no_lost_job_waiting(ledger: Ledger) -> None:
    lose_a_result(ledger)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        hanging = ledger.settings.model_copy(
            update={
                "blob_url": "s3://yard/blobs",
                "s3_endpoint_url": f"http://127.0.0.1:{silent.getsockname()[1]}",
                "s3_access_key_id": "me",
                "s3_secret_access_key": SecretStr("secret"),
            }
        )
        with Ledger.open(hanging) as opened, sweeping(opened):
            connection, _ = silent.accept()
            accept(opened)
            opened.jobs.claim(MODEL, worker="dies", max_images=1)
            await_true(lambda: opened.jobs.ready(MODEL) == 1, "the job to be ready")
            silent.close()
            connection.close()


def lose_a_result(ledger: Ledger) -> None:
    """Ends a job that was claimed twice: what its first worker stored must be erased."""
    job = accept(ledger)
    for _ in range(2):
        (claim,) = ledger.jobs.claim(MODEL, worker="w", max_images=1)
        ledger.jobs.requeue(claim, reason="again")
    ledger.jobs.cancel("acme", job)


def test_sigterm_ends_it_cleanly(ledger: Ledger, redis_url: str, tmp_path: Path) -> None:
    pulse = tmp_path / "pulse"
    environment = {
        **os.environ,
        "BOXYARD_REDIS_URL": redis_url,
        "BOXYARD_SWEEP_INTERVAL_S": "0.05",
        "BOXYARD_PULSE_FILE": str(pulse),
    }
    accept(ledger)
    ledger.jobs.claim(MODEL, worker="dies", max_images=1)
    process = subprocess.Popen([sys.executable, "-c", COMMAND], env=environment)
    try:
        await_true(lambda: ledger.jobs.ready(MODEL) == 1, "the job to be ready")
        await_true(pulse.exists, "a pulse")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
