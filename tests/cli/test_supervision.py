"""Processes of a stack: kept alive, and gone when they should be."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from boxyard_ledger import EmbeddedRedis, Ledger, LedgerSettings, WorkerRecord
from boxyard_producer.stack import Credentials, Service, Stack, StackSettings
from boxyard_producer.stack.environment import kept_password, operators_environment
from boxyard_producer.stack.readiness import Readiness
from boxyard_producer.stack.settings import claim_port
from boxyard_producer.stack.supervisor import Supervisor
from boxyard_schemas import DEMO_MODEL
from boxyard_schemas.errors import SetupError
from boxyard_schemas.words import utc_now
from server_process import serving_process

from .conftest import lives, until

FOREVER = "import time; print('up', flush=True); time.sleep(600)"
WITH_CHILD = (
    "import subprocess, sys, time; "
    f'child = subprocess.Popen([sys.executable, "-c", {FOREVER!r}]); '
    "print('child', child.pid, flush=True); time.sleep(600)"
)
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {FOREVER}"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Callable[[str], Service]]:
    made: list[Service] = []

    def make(code: str) -> Service:
        command = [sys.executable, "-c", code]
        made.append(Service("part", command, os.environ, tmp_path / "part.log"))
        return made[-1]

    yield make
    for each in made:
        each.kill()


def test_a_service_that_was_killed_is_started_again_and_people_are_told(
    service: Callable[[str], Service],
):
    said: list[str] = []
    part = service(FOREVER)
    supervisor = Supervisor([part], None, said.append)
    supervisor.start()
    first = part.pid
    assert first
    os.kill(first, signal.SIGKILL)
    until(lambda: supervisor.tend() or (part.pid and part.pid != first))
    assert said == ["part ended with signal SIGKILL; starting it again in 0.5 s"]
    supervisor.stop()


def test_a_service_is_started_again_after_its_log_folder_was_removed(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "part.log"
    part = Service("part", [sys.executable, "-c", FOREVER], os.environ, log)
    supervisor = Supervisor([part], None, said.append)
    supervisor.start()
    first = part.pid
    assert first
    shutil.rmtree(tmp_path / "logs")
    os.kill(first, signal.SIGKILL)
    until(lambda: supervisor.tend() or (part.pid and part.pid != first))
    until(lambda: log.exists() and "up" in log.read_text())
    supervisor.stop()


def test_a_service_that_cannot_be_started_is_tried_again_and_ends_no_other(
    tmp_path: Path, service: Callable[[str], Service]
) -> None:
    said: list[str] = []
    program = tmp_path / "program"
    program.symlink_to(sys.executable)
    part = Service("part", [str(program), "-c", FOREVER], os.environ, tmp_path / "a" / "part.log")
    other = service(FOREVER)
    supervisor = Supervisor([part, other], None, said.append)
    supervisor.start()
    first = part.pid
    assert first
    program.unlink()
    os.kill(first, signal.SIGKILL)
    until(lambda: supervisor.tend() or "part cannot be started" in "".join(said))
    assert other.ended() is None
    program.symlink_to(sys.executable)
    until(lambda: supervisor.tend() or part.pid)
    supervisor.stop()


def test_pauses_grow_while_a_service_dies_at_once(service: Callable[[str], Service]):
    part = service("raise SystemExit(3)")
    pauses = []
    for _ in range(3):
        part.start()
        until(lambda: part.ended() is not None)
        pauses.append(part.bury())
    assert pauses == [0.5, 1.0, 2.0]


def test_a_death_at_the_start_is_an_error_with_the_log_of_this_start(
    service: Callable[[str], Service], tmp_path: Path
):
    (tmp_path / "part.log").write_text("the disk is full\n")
    part = service("print('no such model'); raise SystemExit(3)")
    supervisor = Supervisor([part], None, print)
    supervisor.start()
    until(lambda: part.ended() is not None)
    with pytest.raises(SetupError, match=r"part ended with exit code 3.*\nno such model$"):
        supervisor.check()


def test_stopping_ends_the_deaf_and_what_a_service_left_behind(
    service: Callable[[str], Service], tmp_path: Path
):
    deaf, parent = service(DEAF), service(WITH_CHILD)
    supervisor = Supervisor([deaf, parent], None, print, patience_s=0.5)
    supervisor.start()
    log = tmp_path / "part.log"
    until(lambda: log.exists() and "child" in log.read_text() and log.read_text().count("up") == 2)
    (child,) = [int(line.split()[1]) for line in log.read_text().splitlines() if "child" in line]
    supervisor.stop()
    until(lambda: not lives(child))
    assert deaf.pid is parent.pid is None


def test_a_worker_of_before_makes_no_stack_ready(
    ledger: Ledger, ledger_settings: LedgerSettings, tmp_path: Path
):
    """After a kill the old worker counts until its heartbeat is over."""
    ledger.tenants.register("a", api_key="key-a", webhook_secret="whsec_YQ==")

    def beat(pid: int) -> None:
        worker = WorkerRecord(
            id=f"a-host-{pid}-a1b2c3",
            model=DEMO_MODEL,
            host="a-host",
            device="cpu",
            warm=True,
            started_at=utc_now(),
        )
        ledger.workers.beat(worker, ttl_s=600)

    with serving_process(tmp_path, ledger_settings) as server:
        known = Credentials.create(server.url).model_copy(update={"api_key": "key-a"})
        readiness = Readiness(known, DEMO_MODEL, pid=4712)
        beat(pid=4711)
        assert not readiness.model()
        beat(pid=4712)
        until(readiness.model)


def test_services_end_when_their_parent_is_killed(tmp_path: Path):
    log = tmp_path / "log"
    code = (
        "import os, pathlib, sys, time\n"
        "from boxyard_producer.stack import Service\n"
        f"service = Service('part', [sys.executable, '-c', {FOREVER!r}], os.environ, "
        f"pathlib.Path({str(log)!r}))\n"
        "service.start()\nprint(service.pid, flush=True)\ntime.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        until(lambda: log.exists() and "up" in log.read_text())
        assert lives(child)
        parent.kill()
    until(lambda: not lives(child))


def test_credentials_are_the_owners_alone_and_stay_over_restarts(tmp_path: Path):
    first = Credentials.keep(tmp_path, "http://127.0.0.1:1")
    second = Credentials.keep(tmp_path, "http://127.0.0.1:2")
    assert (tmp_path / "credentials.json").stat().st_mode & 0o777 == 0o600
    assert second == first.model_copy(update={"url": "http://127.0.0.1:2"})
    assert Credentials.find(tmp_path) == second


KEPT = Credentials.create("http://127.0.0.1:1")
WHOLE = json.loads(KEPT.model_dump_json())


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        "",
        "{",
        "[]",
        "null",
        "\0" * 100,
        b"\xff\xfe".decode("latin-1"),
        *(json.dumps({**WHOLE, name: 1}) for name in WHOLE),
        *(json.dumps({**WHOLE, name: "x"}) for name in ("url", "webhook_secret", "secret_keys")),
        json.dumps({name: text for name, text in WHOLE.items() if name != "secret_keys"}),
        json.dumps({**WHOLE, "secret_keys": WHOLE["secret_keys"][:-2]}),
    ],
)
def test_credentials_that_are_damaged_or_gone_are_restored_from_the_environment_file(
    tmp_path: Path, damaged: str | None
) -> None:
    KEPT.write(tmp_path)
    KEPT.write_environment(tmp_path, {"BOXYARD_REDIS_URL": "redis://:it's@127.0.0.1:5/0"})
    (tmp_path / "redis").mkdir()
    file = tmp_path / "credentials.json"
    if damaged is None:
        file.unlink()
    else:
        file.write_text(damaged)
        with pytest.raises(SetupError, match=r"is damaged\. Do not remove it: `boxyard up`"):
            Credentials.find(tmp_path)
    assert Credentials.keep(tmp_path, KEPT.url) == KEPT
    assert Credentials.find(tmp_path) == KEPT
    if damaged is not None:
        assert file.with_name("credentials.json.damaged").read_text() == damaged


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text + b"# caf\xe9\n",
        lambda text: b"# it's mine\n" + text,
        lambda text: text.replace(b"http://127.0.0.1:1", b""),
        lambda text: text.replace(b"http", b"\xff"),
        lambda text: re.sub(rb"(?m)^.*BOXYARD_URL=.*\n", b"", text),
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.replace(b"export ", b""),
        lambda text: text[:-5],
    ],
)
def test_keys_are_restored_from_an_environment_file_that_is_damaged_elsewhere(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    KEPT.write_environment(tmp_path, {"BOXYARD_STACK": "/it's/here"})
    (tmp_path / "redis").mkdir()
    environment = tmp_path / "env"
    environment.write_bytes(damage(environment.read_bytes()))
    assert Credentials.keep(tmp_path, KEPT.url) == KEPT


def test_sealing_keys_are_restored_without_an_api_key_beside_them(tmp_path: Path) -> None:
    KEPT.write_environment(tmp_path, {})
    (tmp_path / "redis").mkdir()
    environment = tmp_path / "env"
    text = environment.read_bytes()
    environment.write_bytes(text.replace(KEPT.api_key.encode(), b"boxyard_\xff"))
    restored = Credentials.keep(tmp_path, KEPT.url)
    assert restored.api_key != KEPT.api_key
    assert restored.model_copy(update={"api_key": KEPT.api_key}) == KEPT


@pytest.mark.parametrize("environment", [None, "", "export BOXYARD_URL=", "'", "\0"])
@pytest.mark.parametrize("credentials", [None, "{"])
def test_lost_keys_are_not_replaced_unasked_while_something_may_be_sealed_with_them(
    tmp_path: Path, credentials: str | None, environment: str | None
) -> None:
    (tmp_path / "redis").mkdir()
    for name, text in (("credentials.json", credentials), ("env", environment)):
        if text is not None:
            (tmp_path / name).write_text(text)
    with pytest.raises(SetupError, match="--new-credentials"):
        Credentials.keep(tmp_path, "http://127.0.0.1:1")


def test_a_key_that_was_revoked_is_made_anew_when_it_is_taken_out(tmp_path: Path):
    first = Credentials.keep(tmp_path, "http://127.0.0.1:1")
    file = tmp_path / "credentials.json"
    file.write_text(re.sub(r' *"api_key".*\n', "", file.read_text()))
    second = Credentials.keep(tmp_path, "http://127.0.0.1:1")
    assert second.api_key != first.api_key
    assert second.model_copy(update={"api_key": first.api_key}) == first


def test_a_taken_port_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=f"Port {port} .* is taken.*--port"):
            claim_port("127.0.0.1", port)
    assert claim_port("127.0.0.1", 0) > 0


def test_an_address_of_another_machine_is_named():
    with pytest.raises(SetupError, match=r"192\.0\.2\.1:0 cannot be listened on.*--host"):
        claim_port("192.0.2.1", 0)


def test_a_data_folder_that_cannot_be_one_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SetupError, match=r"file/data cannot be a folder of yours: .*--data"):
        Stack(StackSettings(data=tmp_path / "file" / "data", port=0), print).start()


def test_a_disk_that_takes_no_more_is_said_with_the_file(tmp_path: Path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, limits[1]))
    try:
        with pytest.raises(SetupError, match=r"credentials\.json cannot be written: "):
            Credentials.keep(tmp_path, "http://127.0.0.1:1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_shell_that_has_read_a_stacks_environment_names_none_of_its_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "redis.conf").write_text("requirepass 0123abcd\n")
    monkeypatch.setenv("BOXYARD_STACK", str(tmp_path))
    monkeypatch.setenv("BOXYARD_REDIS_URL", "redis://:0123abcd@127.0.0.1:5/0")
    monkeypatch.setenv("BOXYARD_BLOB_URL", (tmp_path / "blobs").as_uri())
    environment, other = operators_environment()
    assert other == tmp_path
    assert not {"BOXYARD_STACK", "BOXYARD_REDIS_URL", "BOXYARD_BLOB_URL"} & set(environment)


@pytest.mark.parametrize("configuration", [None, "", "garbled"])
def test_a_stack_without_its_configuration_is_known_by_the_password_in_its_environment_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configuration: str | None
) -> None:
    (tmp_path / "redis").mkdir()
    if configuration is not None:
        (tmp_path / "redis" / "redis.conf").write_text(configuration)
    password = "0123abcd" * 6
    now = {"BOXYARD_REDIS_URL": f"redis://:{password}@127.0.0.1:5/0"}
    KEPT.write_environment(tmp_path, now)
    assert kept_password(tmp_path) == password
    monkeypatch.setenv("BOXYARD_STACK", str(tmp_path))
    monkeypatch.setenv("BOXYARD_REDIS_URL", f"redis://:{password}@127.0.0.1:4/0")  # of a day before
    environment, other = operators_environment()
    assert other == tmp_path
    assert "BOXYARD_REDIS_URL" not in environment


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:6379/0", "redis://:secret@127.0.0.1:5/0", "rediss://:a@b.example/0"]
)
def test_the_address_of_an_operators_redis_names_no_password_of_an_embedded_one(
    tmp_path: Path, url: str
) -> None:
    KEPT.write_environment(tmp_path, {"BOXYARD_REDIS_URL": url})
    assert kept_password(tmp_path) is None


def test_a_shell_names_its_stacks_redis_whatever_else_the_configuration_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "redis.conf").write_bytes(b'# \xe9\nrequirepass "0123abcd"\nhz 20')
    monkeypatch.setenv("BOXYARD_STACK", str(tmp_path))
    monkeypatch.setenv("BOXYARD_REDIS_URL", "redis://:0123abcd@127.0.0.1:5/0")
    assert operators_environment()[1] == tmp_path


@pytest.mark.parametrize("configuration", [None, "", "garbled", "user ''", "requirepass another\n"])
def test_what_the_operator_set_stays_in_a_shell_that_has_read_a_stacks_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configuration: str | None
) -> None:
    (tmp_path / "redis").mkdir()
    if configuration is not None:
        (tmp_path / "redis" / "redis.conf").write_text(configuration)
    own = {"BOXYARD_REDIS_URL": "redis://127.0.0.1:6379/0", "BOXYARD_BLOB_URL": "s3://bucket"}
    monkeypatch.setenv("BOXYARD_STACK", str(tmp_path))
    for name, text in own.items():
        monkeypatch.setenv(name, text)
    environment, other = operators_environment()
    assert other is None
    assert own.items() <= environment.items()


def test_the_address_that_is_told_can_be_reached():
    assert StackSettings(host="0.0.0.0", port=80).url == "http://127.0.0.1:80"
    assert StackSettings(host="::1", port=80).url == "http://[::1]:80"


def test_a_data_folder_that_was_moved_away_is_not_made_anew(tmp_path: Path) -> None:
    told: list[str] = []
    data = tmp_path / "data"
    with EmbeddedRedis(data / "redis") as redis:
        supervisor = Supervisor([], redis, told.append)
        moved = data.rename(tmp_path / "moved")
        redis.kill()
        supervisor.tend()
        assert "holds no data of Redis" in told[-1]
        supervisor._due.clear()
        supervisor.tend()
        assert told.count(told[-1]) == 1  # though it was tried twice
        assert not data.exists()
        moved.rename(data)
        until(lambda: supervisor.tend() or redis.alive)
        redis.close()


def test_a_redis_that_does_not_come_up_is_tried_again_until_it_does(tmp_path: Path):
    said: list[str] = []
    with EmbeddedRedis(tmp_path) as redis:
        supervisor = Supervisor([], redis, said.append)
        increment = tmp_path / "appendonlydir" / "appendonly.aof.1.incr.aof"
        whole = increment.read_text()
        redis.kill()
        increment.write_text("damaged")
        supervisor.tend()
        assert "is damaged before its end" in said[-1]
        increment.write_text(whole)
        until(lambda: supervisor.tend() or redis.alive)
        redis.close()
