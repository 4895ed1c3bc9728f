"""Faults 17 to 19: Redis is full, would forget, or has no disk left."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest
import redis

from boxyard_ledger import Ledger, LedgerSettings
from chaos.callers import Caller
from chaos.faults import fault
from chaos.namespace import missing
from chaos.stack import Stack
from chaos.trial import Figures, Trial
from pictures import png, scene
from process import PATIENCE_S, await_true

_ANSWERS = 30


def knock(caller: Caller, seconds: float) -> Counter[str]:
    """What the server says to uploads for so long, and until it has said enough.

    503 must come with a Retry-After.
    """
    said: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end or said.total() < _ANSWERS:
        answer = caller.send("POST", "/v1/uploads", content=png(scene()))
        assert answer is not None, "no answer"
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) > 0
        said[str(answer.status_code)] += 1
        time.sleep(0.02)
    return said


def tell(said: Counter[str]) -> str:
    return ", ".join(f"{count} x {status}" for status, count in sorted(said.items()))


def resume(caller: Caller) -> float:
    """Seconds until a job is accepted, and has ended, again."""
    start = time.monotonic()
    job = caller.submit(caller.upload(png(scene())))
    await_true(lambda: (caller.read(job) or {}).get("state") == "succeeded", "a job to succeed")
    return round(time.monotonic() - start, 1)


@fault(17, "Redis memory full")
def test_redis_without_memory_is_503_and_loses_nothing(
    trial: Trial, figures: Figures, scale: Callable[..., int]
) -> None:
    """CONFIG SET maxmemory below what is used, under load; then as before"""
    client = trial.stack.client
    with trial.load(per_s=20):
        time.sleep(1)
        client.config_set("maxmemory", int(client.info("memory")["used_memory"]) // 2)
        try:
            said = knock(trial.a, scale(slice=2, full=60))
        finally:
            client.config_set("maxmemory", 0)
        figures["resume s"] = resume(trial.a)
    figures["answers while full"] = tell(said)
    assert {*said} == {"503"}
    trial.conclude(figures)


@fault(18, "eviction policy")
def test_no_part_starts_on_a_redis_that_would_evict(tmp_path: Path, figures: Figures) -> None:
    """maxmemory-policy allkeys-lru, and then each part started"""
    with Stack(tmp_path) as stack:
        stack.client.config_set("maxmemory-policy", "allkeys-lru")
        parts = [stack.serve(ready=False), stack.detect(ready=False)]
        parts += [stack.deliver(), stack.sweep()]
        codes = [part.process.wait(PATIENCE_S) for part in parts]
        for part, code in zip(parts, codes, strict=True):
            assert code == 1, f"{part.name}: {part.tail()}"
            assert "maxmemory-policy is allkeys-lru" in part.text()
            assert "CONFIG SET maxmemory-policy noeviction" in part.text()
    figures["parts that refuse"] = len(codes)


class Up(Stack):
    """`boxyard up`: what a user without a process manager runs, and what restarts Redis."""

    def __enter__(self) -> Self:
        data = self.folder / "small" / "data"
        words = [sys.executable, "-m", "boxyard_producer.cli", "up", "--detector", "standin"]
        words += ["--data", str(data), "--port", "0"]
        self.up = self._part("up", words, COLUMNS="200")
        self.up.await_alive(lambda: "Boxyard is up" in self.up.text())
        credentials = json.loads((data / "credentials.json").read_text())
        url = _redis_url_below(self.up.pid)
        settings = LedgerSettings(
            redis_url=url,
            blob_url=str(self.settings["blob_url"]),
            secret_keys=credentials["secret_keys"],
        )
        self.url, self.ledger = credentials["url"], Ledger.open(settings)
        self.client = redis.Redis.from_url(url, decode_responses=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.ledger.close()
        self.up.send(signal.SIGINT)
        assert self.up.process.wait(PATIENCE_S) == 0


def _redis_url_below(pid: int) -> str:
    """What the services are told, which no list of processes shows."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        for variable in Path(f"/proc/{child}/environ").read_text().split("\0"):
            name, _, value = variable.partition("=")
            if name == "BOXYARD_REDIS_URL":
                return value
    raise AssertionError("no service knows a Redis")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    if why := missing():
        pytest.skip(why)
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Not a byte is left on the folder's disk."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(512)):
                pass
        except OSError:
            yield
    ballast.unlink()


@fault(19, "disk full")
def test_a_full_disk_is_503_and_everything_goes_on_when_there_is_space(
    small_disk: Path, figures: Figures, scale: Callable[..., int]
) -> None:
    """`boxyard up` on a small disk that is filled under load; then the space is freed"""
    blobs = (small_disk / "blobs").as_uri()
    with Up(small_disk.parent, blob_url=blobs) as stack, Trial(stack) as trial:
        with trial.load(per_s=10):
            time.sleep(1)
            with filled(small_disk):
                said = knock(trial.a, scale(slice=2, full=60))
            figures["resume s"] = resume(trial.a)
        figures["answers while full"] = tell(said)
        figures["restarts of Redis"] = stack.up.text().count("redis ended")
        assert said["503"] > 10 * (said.total() - said["503"])
        trial.conclude(figures)
