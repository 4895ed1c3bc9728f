"""The small programs and images of the stack."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from moto.server import ThreadedMotoServer

from boxyard_ledger import JobRecord, Ledger, LedgerSettings, WorkerRecord
from boxyard_ledger.embedded import find_server
from boxyard_schemas import JobState, UrlImage, new_id
from boxyard_schemas.words import utc_now
from process import await_true

from .conftest import ROOT, Services

DOCKERFILES = sorted((ROOT / "deploy").glob("*.Dockerfile"))


def run(script: str, **environment: str) -> int:
    path = ROOT / "deploy" / script
    return subprocess.run(
        [sys.executable, path], env={**os.environ, **environment}, check=False
    ).returncode


def test_the_bucket_is_made_once_and_found_after() -> None:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "BOXYARD_BLOB_URL": "s3://boxyard/blobs",
        "BOXYARD_S3_ENDPOINT_URL": f"http://{host}:{port}",
        "BOXYARD_S3_ACCESS_KEY_ID": "key",
        "BOXYARD_S3_SECRET_ACCESS_KEY": "secret",
    }
    try:
        assert run("create_bucket.py", **settings) == 0
        assert run("create_bucket.py", **settings) == 0
    finally:
        server.stop()
    assert run("create_bucket.py", **settings) != 0


def test_a_detect_worker_is_healthy_once_it_is_warm(ledger: Ledger, redis_url: str) -> None:
    def worker(host: str, *, warm: bool) -> WorkerRecord:
        return WorkerRecord(
            id=host, model="m", host=host, device="cpu", warm=warm, started_at=utc_now()
        )

    def healthy() -> bool:
        return run("detect_health.py", BOXYARD_REDIS_URL=redis_url) == 0

    ledger.workers.beat(worker("another-machine", warm=True), 60)
    assert not healthy()
    ledger.workers.beat(worker(socket.gethostname(), warm=False), 60)
    assert not healthy()
    ledger.workers.beat(worker(socket.gethostname(), warm=True), 60)
    assert healthy()


def test_valkey_runs_as_the_stack_starts_it_and_forgets_nothing(
    services: Services, stack_with_secrets: Path, tmp_path: Path
) -> None:
    env = dict(
        line.split("=", 1)
        for line in (stack_with_secrets / ".env").read_text().split()
        if line.startswith("BOXYARD_") and "=" in line
    )
    known = {
        "/etc/valkey/users.acl": str(stack_with_secrets / "deploy" / "users.acl"),
        "${BOXYARD_REDIS_MAXMEMORY:-1gb}": env["BOXYARD_REDIS_MAXMEMORY"],
    }
    words = [known.get(word, word) for word in services["valkey"]["command"]]
    password = env["BOXYARD_REDIS_SERVER_PASSWORD"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [find_server(), *words[1:], "--port", str(port), "--bind", "127.0.0.1"]
    settings = LedgerSettings(
        redis_url=f"redis://server:{password}@127.0.0.1:{port}/0", blob_url=tmp_path.as_uri()
    )
    picture = UrlImage.model_validate({"url": "https://example.com/a.jpg"})
    job = JobRecord(
        id=new_id("job"), tenant="acme", model="m", images=(picture,), created_at=utc_now()
    )
    for start in ("fresh", "after a kill"):
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
        try:
            wait_for_server(port, env["BOXYARD_REDIS_MONITOR_PASSWORD"])
            with Ledger.open(settings) as ledger:
                assert ledger.check_server() == []
                if start == "fresh":
                    ledger.jobs.accept(job)
                assert ledger.jobs.get("acme", job.id).state is JobState.QUEUED
        finally:
            process.kill()
            process.wait()


def wait_for_server(port: int, password: str) -> None:
    def answers() -> bool:
        try:
            return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    with redis.Redis(port=port, username="monitor", password=password) as client:
        await_true(answers, "the server")


@pytest.mark.parametrize("age_s", [0, 600])
def test_a_pulse_is_felt_while_it_is_young(services: Services, tmp_path: Path, age_s: int) -> None:
    pulse = tmp_path / "pulse"
    pulse.touch()
    os.utime(pulse, (time.time() - age_s,) * 2)
    kind, test = services["deliver"]["healthcheck"]["test"]
    assert (kind, services["deliver"]["environment"]["BOXYARD_PULSE_FILE"]) == (
        "CMD-SHELL",
        "/tmp/pulse",
    )
    done = subprocess.run(["sh", "-c", test.replace("/tmp/pulse", str(pulse))], check=False)
    assert (done.returncode == 0) is (age_s == 0)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_can_be_based_elsewhere_and_runs_without_root(path: Path) -> None:
    lines = path.read_text().splitlines()
    first = next(line for line in lines if not line.startswith("#"))
    assert first.startswith("ARG BASE=")
    assert not any(line.startswith("# syntax=") for line in lines)
    assert re.fullmatch(r"USER [1-9]\d*:[1-9]\d*", [x for x in lines if x.startswith("USER")][-1])
    for line in lines:
        if "pip install" in line:
            assert "--no-deps" in line
            assert "--require-hashes" in line or line.endswith(" .")


def test_the_producers_image_holds_no_torch() -> None:
    dockerfile = (ROOT / "deploy" / "producer.Dockerfile").read_text()
    (locked,) = re.findall(r"--require-hashes -r (\S+)", dockerfile)
    names = set(re.findall(r"^([\w-]+)==", (ROOT / locked).read_text(), re.MULTILINE))
    assert {"fastapi", "redis", "standardwebhooks"} <= names
    assert not names & {"torch", "torchvision", "numpy", "opencv-python-headless", "mmdet"}


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_what_an_image_copies_is_there_and_is_not_ignored(path: Path) -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*"
    text = path.read_text()
    for name, default in re.findall(r"^ARG (\w+)=(\S+)$", text, re.MULTILINE):
        text = text.replace(f"${{{name}}}", default)
    for words in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        *sources, _ = words.split()
        for source in sources:
            assert (ROOT / source).exists()
            top = source.split("/")[0]
            assert any(line.startswith(f"!{top}") for line in ignored), source


def test_a_secret_that_was_left_empty_is_made_and_the_others_stay(stack_with_secrets: Path) -> None:
    file = stack_with_secrets / ".env"
    whole = file.read_text()
    file.write_text(
        re.sub(
            "^BOXYARD_REDIS_DETECT_PASSWORD=.*$",
            r"BOXYARD_REDIS_DETECT_PASSWORD=",
            whole,
            flags=re.M,
        )
    )
    subprocess.run([stack_with_secrets / "deploy" / "new-env.sh"], check=True, capture_output=True)
    before, after = (
        dict(re.findall(r"^(\w+)=(.*)$", each, re.M)) for each in (whole, file.read_text())
    )
    assert {name for name in before if before[name] != after[name]} == {
        "BOXYARD_REDIS_DETECT_PASSWORD"
    }
    assert after["BOXYARD_REDIS_DETECT_PASSWORD"]


def test_a_variable_of_env_that_compose_does_not_pass_on_is_named(stack_with_secrets: Path) -> None:
    with (stack_with_secrets / ".env").open("a") as file:
        file.write("BOXYARD_GRAFANA_PROT=3001\n")
    done = subprocess.run(
        [stack_with_secrets / "deploy" / "new-env.sh"], check=True, capture_output=True, text=True
    )
    (line,) = done.stderr.splitlines()
    assert "BOXYARD_GRAFANA_PROT" in line
