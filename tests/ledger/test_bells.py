from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
import redis
from structlog.testing import capture_logs

from boxyard_ledger import EmbeddedRedis, Ledger, LedgerSettings
from boxyard_ledger.bells import count_missing
from boxyard_schemas import DETECT_TASK, Priority, detect_queue
from process import await_true

from .conftest import MODEL

QUEUE = detect_queue(MODEL)


@pytest.mark.parametrize(
    ("ready", "bells", "missing"),
    [(0, 0, 0), (1, 0, 1), (1, 1, 0), (32, 0, 1), (33, 0, 2), (33, 1, 1), (33, 9, 0), (9999, 0, 4)],
)
def test_a_queue_lacks_a_bell_for_each_chunk_up_to_a_bound(ready: int, bells: int, missing: int):
    assert count_missing(ready=ready, bells=bells, chunk=32, max_bells=4) == missing


def test_a_burst_rings_once_for_each_chunk(ledger: Ledger, accept: Callable, raw: redis.Redis):
    for number in range(40):
        accept(priority=list(Priority)[number % 3])
    assert raw.llen(QUEUE) == 2
    assert ledger.bells.missing(MODEL) == 0


def test_a_bell_names_its_model_and_carries_no_job(
    ledger: Ledger, accept: Callable, raw: redis.Redis
):
    job = accept()
    message = raw.lindex(QUEUE, 0)
    assert job.id not in message
    envelope = json.loads(message)
    assert envelope["headers"]["task"] == DETECT_TASK
    assert envelope["content-type"] == "application/json"
    assert raw.llen(QUEUE) == 1


def test_a_job_that_is_given_back_rings(
    ledger: Ledger, accept: Callable, claim_one: Callable, raw: redis.Redis
):
    accept()
    held = claim_one()
    raw.delete(QUEUE)
    ledger.jobs.requeue(held, reason="x")
    assert raw.llen(QUEUE) == 1


def test_every_missing_bell_can_be_rung_at_once(ledger: Ledger, accept: Callable, raw: redis.Redis):
    for _ in range(40):
        accept()
    raw.delete(QUEUE)
    assert ledger.bells.ring_missing(MODEL) == 2
    assert ledger.bells.ring_missing(MODEL) == 0


def test_a_job_is_accepted_though_its_bell_is_refused(
    own_redis: EmbeddedRedis, own_ledger: Ledger, make_job: Callable
):
    with redis.Redis.from_url(own_redis.url) as client:
        client.acl_setuser("default", enabled=True, nopass=True, commands=["+@all", "-lpush"])
        with capture_logs() as logs:
            assert own_ledger.jobs.accept(make_job())[1]
        assert [entry["event"] for entry in logs] == ["bell-not-rung"]
        client.acl_setuser("default", enabled=True, nopass=True, commands=["+@all"])
    assert own_ledger.sweeps.sweep().bells == 1


def test_ringing_where_nobody_is_gives_up_at_once(
    own_redis: EmbeddedRedis, own_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
):
    own_redis.kill()
    monkeypatch.setattr(own_ledger.bells, "missing", lambda model: 1)
    begin = time.monotonic()
    assert not own_ledger.bells.ring(MODEL)
    assert time.monotonic() - begin < 30


def test_ringing_over_lines_that_are_cut_fails_in_no_unknown_way(
    own_redis: EmbeddedRedis, own_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(own_ledger.bells, "missing", lambda model: 1)
    storm_is_over, rung = Event(), set[bool]()

    def ring() -> None:
        while not storm_is_over.is_set():
            rung.add(own_ledger.bells.ring(MODEL))

    def cut_lines(client: redis.Redis) -> bool:
        client.client_kill_filter(_type="normal", skipme=True)
        return rung == {True, False}

    with ThreadPoolExecutor(4) as ringers, redis.Redis.from_url(own_redis.url) as client:
        ends = [ringers.submit(ring) for _ in range(4)]
        try:
            for _ in range(60):
                cut_lines(client)
                time.sleep(0.02)
            await_true(lambda: cut_lines(client), "bells that ring, and bells that do not")
        finally:
            storm_is_over.set()
        for end in ends:
            end.result()
    assert own_ledger.bells.ring(MODEL)


_LISTENER = """
import sys
from boxyard_ledger import LedgerSettings, make_app
from boxyard_schemas import DETECT_TASK

app = make_app(LedgerSettings())
heard = []

@app.task(name=DETECT_TASK)
def detect(version, model):
    open(sys.argv[1], "a").write(model + "\\n")

app.worker_main(["worker", "--pool=threads", "--concurrency=2", "-Q", sys.argv[2], "-l", "WARNING"])
"""


def test_a_listener_hears_each_bell_and_leaves_none_unacknowledged(
    ledger: Ledger,
    ledger_settings: LedgerSettings,
    accept: Callable,
    raw: redis.Redis,
    tmp_path: Path,
):
    heard = tmp_path / "heard"
    heard.touch()
    accept()
    listener = subprocess.Popen(
        [sys.executable, "-c", _LISTENER, str(heard), QUEUE],
        env={**os.environ, "BOXYARD_REDIS_URL": ledger_settings.redis_url},
    )
    try:
        await_true(lambda: heard.read_text() == f"{MODEL}\n", "the bell")
        raw.client_kill_filter(_type="normal", skipme=True)
        # The job waits on, so each look rings again until one is heard.
        await_true(
            lambda: ledger.bells.ring(MODEL) and heard.read_text().count(MODEL) > 1, "another"
        )
        assert raw.keys("unacked*") == []
    finally:
        listener.terminate()
        assert listener.wait(60) == 0
