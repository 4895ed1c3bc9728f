"""The doctor: what is wrong, and how to mend it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import redis
from typer.testing import CliRunner

from boxyard_ledger import Ledger, LedgerSettings
from boxyard_producer.cli.application import app
from boxyard_producer.diagnosis import Finding
from boxyard_producer.diagnosis.services import examine_server, examine_stores
from boxyard_producer.diagnosis.worker import examine_worker

from .conftest import Boxyard, RunningStack


@pytest.fixture
def stores(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("BOXYARD_REDIS_URL", redis_url)
    monkeypatch.setenv("BOXYARD_BLOB_URL", (tmp_path / "blobs").as_uri())
    return redis_url


def look() -> dict[str, Finding]:
    return {finding.name: finding for finding in examine_stores()}


def test_healthy_stores_are_ok_and_nothing_is_left_in_them(stores: str, tmp_path: Path):
    assert {name: finding.ok for name, finding in look().items()} == {
        "Redis": True,
        "blob store": True,
    }
    left = [path.name for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
    assert left == [".boxyard-store"]  # the store's own id


def test_a_redis_that_forgets_is_wrong_and_its_mending_is_said(stores: str):
    with redis.Redis.from_url(stores) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            found = look()["Redis"]
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert found.wrong
    assert "noeviction" in found.detail


def test_a_redis_that_is_away_is_wrong(stores: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BOXYARD_REDIS_URL", "redis://127.0.0.1:9/0")
    assert look()["Redis"].wrong


def test_a_setting_that_does_not_fit_is_wrong_and_its_password_is_not_said(
    stores: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BOXYARD_REDIS_URL", "http://:hush@here")
    (found,) = look().values()
    assert found.wrong
    assert found.detail.startswith("BOXYARD_REDIS_URL: write redis://")
    assert "hush" not in found.detail


def test_a_blob_store_that_cannot_be_written_is_wrong(
    stores: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("BOXYARD_BLOB_URL", (tmp_path / "file" / "blobs").as_uri())
    assert look()["blob store"].wrong


def test_what_is_not_set_is_said_and_not_held_wrong(monkeypatch: pytest.MonkeyPatch):
    for name in ("BOXYARD_REDIS_URL", "BOXYARD_BLOB_URL", "BOXYARD_URL"):
        monkeypatch.delenv(name, raising=False)
    findings = [*examine_stores(), examine_server()]
    assert [finding.ok for finding in findings] == [False] * 3
    assert not any(finding.wrong for finding in findings)
    assert all(". .boxyard/env" in finding.mend for finding in findings)


def test_the_server_is_asked_with_the_key(stack: RunningStack, monkeypatch: pytest.MonkeyPatch):
    for name, value in stack.environment.items():
        monkeypatch.setenv(name, value)
    assert examine_server().ok
    monkeypatch.setenv("BOXYARD_API_KEY", "wrong")
    assert examine_server().wrong


def test_a_worker_that_cannot_say_how_it_is_is_wrong_and_its_last_words_are_shown():
    code = "import sys; sys.exit('Illegal instruction')"
    (found,) = examine_worker([sys.executable, "-c", code])
    assert found.wrong
    assert found.detail == "Illegal instruction"


def test_the_doctor_asks_the_worker_and_fails_only_for_what_is_wrong(boxyard: Boxyard):
    done = boxyard("doctor", "--json")
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"Python", "torch", "operators", "Redis", "server"} <= {
        each["name"] for each in findings
    }
    wrong = any(each["required"] and not each["ok"] for each in findings)
    assert done.returncode == int(wrong)


def test_records_that_cannot_be_read_are_counted_and_listed_and_can_be_deleted(stores: str):
    with redis.Redis.from_url(stores) as client:
        client.set("boxyard:leases", "junk")
        with Ledger.open(LedgerSettings(redis_url=stores)) as ledger:
            ledger.sweeps.sweep_records()
    found = look()["records"]
    assert not found.ok
    assert "1 could not be read (1 wrong-type), the newest: boxyard:quarantine:" in found.detail
    listed = CliRunner().invoke(app, ["quarantine", "list", "--json"])
    place = json.loads(listed.stdout)["place"]
    assert place.endswith(":boxyard:leases")
    shown = CliRunner().invoke(app, ["quarantine"])
    assert "wrong-type" in shown.stdout
    with redis.Redis.from_url(stores) as client:
        client.hset("boxyard:quarantine", b"a \xff", b'{"reason":"\xfe","at":1}')
    assert r"1 \udcfe, 1 wrong-type" in look()["records"].detail
    assert r"a \udcff; boxyard:quarantine:" in look()["records"].detail
    assert CliRunner().invoke(app, ["quarantine", "delete", place, r"a \udcff"]).exit_code == 0
    assert "records" not in look()
