"""Redis over TLS: a real server, both of our clients, and every way to set it up wrongly."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from boxyard_ledger import JobRecord, Ledger, LedgerSettings
from boxyard_schemas import UploadImage, UrlImage, new_id
from boxyard_schemas.errors import SetupError
from boxyard_schemas.words import utc_now
from certificates import certificate_for
from pictures import png, scene
from process import Process, await_true
from security.valkey import Server

MODEL = "rtmdet-ins_demo"


@pytest.fixture(scope="module")
def server_command() -> str:
    """A server that was built with TLS; the one that the Python packages bring was not."""
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found and _has_tls(found):
            return found
    if os.environ.get("CI"):
        pytest.fail("CI has no Redis with TLS; .ci/fetch-redis fetches one")
    pytest.skip("there is no Redis with TLS: apt install redis-server, or .ci/fetch-redis")


def _has_tls(command: str) -> bool:
    without_certificate = subprocess.run(
        [command, "--port", "0", "--tls-port", "1"], capture_output=True, timeout=60, check=False
    )
    return b"tls-cert-file" in without_certificate.stdout


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate of the server, which is its own authority and its clients' too."""
    return certificate_for("localhost", tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate_for("localhost", tmp_path_factory.mktemp("foreign"))


@pytest.fixture(scope="module")
def port(server_command: str, own: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of a server that speaks TLS alone and wants to see a certificate."""
    command = [
        *(server_command, "--port", "0", "--tls-port", "{port}", "--bind", "127.0.0.1"),
        *("--tls-cert-file", str(own), "--tls-key-file", str(own.with_name("key.pem"))),
        *("--tls-ca-cert-file", str(own), "--tls-auth-clients", "yes"),
        *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
    ]
    with Server(tmp_path_factory.mktemp("redis"), *command) as server:
        yield server.port


Open = Callable[..., Ledger]


@pytest.fixture
def open_ledger(port: int, own: Path, tmp_path: Path) -> Iterator[Open]:
    opened: list[Ledger] = []

    def make(**changes: object) -> Ledger:
        fields = {
            "redis_url": f"rediss://localhost:{port}/0",
            "redis_ca_file": own,
            "redis_certificate_file": own,
            "redis_key_file": own.with_name("key.pem"),
            "redis_timeout_s": 30,
            "blob_url": tmp_path.as_uri(),
        }
        opened.append(Ledger.open(LedgerSettings.model_validate({**fields, **changes})))
        return opened[-1]

    yield make
    for ledger in opened:
        ledger.close()


def test_jobs_and_bells_travel_over_tls(open_ledger: Open) -> None:
    ledger = open_ledger()
    assert ledger.check_server() == []
    job = JobRecord(
        id=new_id("job"),
        tenant="acme",
        model=MODEL,
        images=(UrlImage(url="https://pictures.example/a.jpg"),),
        created_at=utc_now(),
    )
    ledger.jobs.accept(job)
    assert ledger.bells.missing(MODEL) == 0, "Celery rang over TLS too"
    (claim,) = ledger.jobs.claim(MODEL, worker="w", max_images=1)
    assert claim.job == job


def test_a_worker_hears_bells_and_does_jobs_over_tls(
    open_ledger: Open, own: Path, tmp_path: Path
) -> None:
    ledger = open_ledger()
    upload = ledger.uploads.store("acme", png(scene()))
    job = JobRecord(
        id=new_id("job"),
        tenant="acme",
        model=MODEL,
        images=(UploadImage(upload=upload.id),),
        created_at=utc_now(),
    )
    environment = {
        **os.environ,
        "BOXYARD_REDIS_URL": ledger.settings.redis_url,
        "BOXYARD_REDIS_CA_FILE": str(own),
        "BOXYARD_REDIS_CERTIFICATE_FILE": str(own),
        "BOXYARD_REDIS_KEY_FILE": str(own.with_name("key.pem")),
        "BOXYARD_BLOB_URL": ledger.settings.blob_url,
    }
    command = [sys.executable, "-m", "boxyard_worker.cli", "detect", "--detector", "standin"]
    worker = Process("detect", command, environment, tmp_path)
    try:
        worker.await_event("worker.ready")
        ledger.jobs.accept(job)
        await_true(
            lambda: ledger.jobs.get("acme", job.id).state == "succeeded", "the job", worker.tail
        )
        assert worker.stop() == 0
    finally:
        worker.close()


def test_a_server_of_another_authority_is_not_trusted(open_ledger: Open, foreign: Path) -> None:
    ledger = open_ledger(redis_ca_file=foreign)
    with pytest.raises(SetupError, match=r"certificate is not trusted.*BOXYARD_REDIS_CA_FILE"):
        ledger.check_server()
    with pytest.raises(SetupError, match="BOXYARD_REDIS_CA_FILE"):
        ledger.tenants.names()
    assert open_ledger(redis_ca_file=foreign).bells.ring(MODEL) is False


def test_the_authorities_of_the_system_do_not_know_it(open_ledger: Open) -> None:
    with pytest.raises(SetupError, match="BOXYARD_REDIS_CA_FILE"):
        open_ledger(redis_ca_file=None).check_server()


def test_a_certificate_for_another_name_is_not_trusted(open_ledger: Open, port: int) -> None:
    with pytest.raises(SetupError, match="not valid for"):
        open_ledger(redis_url=f"rediss://127.0.0.1:{port}/0").check_server()


def test_without_tls_it_is_said_that_the_port_speaks_it(open_ledger: Open, port: int) -> None:
    with pytest.raises(SetupError, match="write rediss://"):
        open_ledger(redis_url=f"redis://localhost:{port}/0").check_server()


def test_tls_to_a_port_without_it_is_said_to_be_so(open_ledger: Open, redis_url: str) -> None:
    plain = redis_url.replace("redis://127.0.0.1", "rediss://localhost")
    with pytest.raises(SetupError, match="write redis://"):
        open_ledger(redis_url=plain, redis_timeout_s=3).check_server()  # which it waits out


@pytest.mark.parametrize("shown", ["nothing", "another authority's"])
def test_a_client_must_show_a_certificate_that_the_server_takes(
    open_ledger: Open, foreign: Path, shown: str
) -> None:
    certificate = foreign if shown != "nothing" else None
    ledger = open_ledger(
        redis_certificate_file=certificate,
        redis_key_file=foreign.with_name("key.pem") if certificate else None,
    )
    with pytest.raises(SetupError, match="BOXYARD_REDIS_CERTIFICATE_FILE"):
        ledger.check_server()


def test_a_file_that_is_not_there_or_no_certificate_is_named(
    open_ledger: Open, tmp_path: Path
) -> None:
    with pytest.raises(ValidationError, match="redis_ca_file"):
        open_ledger(redis_ca_file=tmp_path / "nowhere.pem")
    with pytest.raises(SetupError, match="BOXYARD_REDIS_CA_FILE"):
        open_ledger(redis_ca_file=Path(__file__)).check_server()
