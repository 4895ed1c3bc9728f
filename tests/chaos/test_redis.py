"""Faults 10 to 13: Redis dies, is copied, stalls, and throws its clients out."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest
import redis

from boxyard_ledger import EmbeddedRedis, keys
from chaos.faults import fault
from chaos.history import Refused
from chaos.recovery import percentile
from chaos.trial import Figures, Trial
from pictures import png, scene
from process import Process, await_true

Scale = Callable[..., int]
_FILES = "appendonlydir"
Stall = Callable[[Trial, float], AbstractContextManager[None]]


@fault(10, "Redis crash")
def test_redis_killed_at_random_moments_forgets_nothing(
    trial: Trial, figures: Figures, scale: Scale
) -> None:
    """kill -9 of Redis under load, and a start on its append-only file"""
    kills, resumed = scale(slice=2, full=20), list[float]()
    with trial.load(per_s=60, threads=4):
        for _ in range(kills):
            time.sleep(trial.random.uniform(0.5, 1.5))
            trial.stack.redis.kill()
            time.sleep(trial.random.uniform(0, 1))
            trial.stack.redis.start()
            resumed.append(_seconds_to_an_end(trial))
    trial.conclude(figures)
    assert _refusals(trial) <= {503}
    figures |= {"kills": kills, "resume p99 s": percentile(resumed, 0.99)}


@fault(11, "power cut")
def test_what_was_acknowledged_is_on_the_disk_at_every_moment(
    trial: Trial, figures: Figures, scale: Scale, tmp_path: Path
) -> None:
    """Redis starts on its append-only file as it was at a random moment under load, torn there"""
    cuts = scale(slice=3, full=100)
    checked = 0
    with trial.load(per_s=100, threads=4, callbacks=0, cancels=0, erases=0) as load:
        for number in range(cuts):
            time.sleep(trial.random.uniform(0.1, 0.6))
            if number % 3 == 2:
                _rewrite(trial)
            acknowledged = list(load.accepted)
            copy = tmp_path / str(number)
            _cut_power(trial.stack.folder / "redis", copy, trial.random)
            checked += _count_known(copy, trial, acknowledged)
            shutil.rmtree(copy)
    trial.conclude(figures)
    figures |= {"cuts": cuts, "acknowledged jobs looked for": checked}


def _rewrite(trial: Trial) -> None:
    """Redis begins to write its file anew, as it does by itself when that has grown."""
    if not trial.stack.client.info("persistence")["aof_rewrite_in_progress"]:
        trial.stack.client.bgrewriteaof()


def _cut_power(source: Path, copy: Path, chance: random.Random) -> None:
    """The directory as it was when this was called, with a torn piece of what came later.

    A file that is only ever appended to needs no stop: its beginning is its past. When Redis
    began another file meanwhile, it is done again.
    """
    try:
        known, last = _manifest(source)
        size = last.stat().st_size
        shutil.copytree(source / _FILES, copy / _FILES)
        same = {known} == {_manifest(source)[0], _manifest(copy)[0]}
    except (shutil.Error, FileNotFoundError):  # it took a file away
        same = False
    if same:
        copied = copy / last.relative_to(source)
        os.truncate(copied, chance.randint(size, copied.stat().st_size))
    else:
        shutil.rmtree(copy)
        _cut_power(source, copy, chance)


def _manifest(folder: Path) -> tuple[str, Path]:
    """What names the files that Redis would read, and the one that it appends to."""
    files = folder / _FILES
    text = (files / "appendonly.aof.manifest").read_text()
    return text, files / text.splitlines()[-1].split()[1]


def _count_known(copy: Path, trial: Trial, acknowledged: list[str]) -> int:
    """How many jobs were looked for, and found, on the copy."""
    with EmbeddedRedis(copy) as server, redis.Redis.from_url(server.url) as client:
        looks = client.pipeline(transaction=False)
        for job in acknowledged:
            looks.exists(*(keys.job(caller.tenant, job) for caller in trial.callers))
        found = sum(looks.execute())
    assert found == len(acknowledged), f"seed {trial.seed}: acknowledged, and not on the disk"
    return found


@contextmanager
def frozen(trial: Trial, seconds: float) -> Iterator[None]:
    """SIGSTOP"""
    pid = trial.stack.redis.pid
    assert pid
    os.kill(pid, signal.SIGSTOP)
    end = time.monotonic() + seconds
    try:
        yield
        time.sleep(max(0, end - time.monotonic()))
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def paused(trial: Trial, seconds: float) -> Iterator[None]:
    """CLIENT PAUSE"""
    end = time.monotonic() + seconds
    trial.stack.client.execute_command("CLIENT", "PAUSE", int(seconds * 1000), "ALL")
    yield
    time.sleep(max(0, end - time.monotonic()))


@fault(12, "Redis stalls")
@pytest.mark.parametrize("stalled", [frozen, paused])
def test_a_redis_that_stalls_is_said_to_be_away(
    stalled: Stall, trial: Trial, figures: Figures, scale: Scale
) -> None:
    """SIGSTOP of Redis, and CLIENT PAUSE, under load"""
    seconds = scale(slice=5, full=60)
    with trial.load(per_s=40, threads=2, patience_s=seconds + 60):
        time.sleep(1)
        end = time.monotonic() + seconds
        with stalled(trial, seconds):
            answers = _knock(trial, until=end)
        figures["resume s"] = round(_seconds_to_an_end(trial), 2)
    trial.conclude(figures)
    assert {answer.status_code for answer in answers} | _refusals(trial) == {503}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)
    slowest = [answer.elapsed.total_seconds() for answer in answers]
    figures |= {"503 p50 s": percentile(slowest, 0.5), "503 longest s": max(slowest)}


def _refusals(trial: Trial) -> set[int]:
    """What submissions were answered that were not accepted; 0: nothing."""
    return {refused.status for refused in trial.history.of(Refused)}


def _knock(trial: Trial, *, until: float) -> list[httpx.Response]:
    """What callers are answered meanwhile; an answer that comes later may be another."""
    answers = []
    while True:
        answer = trial.a.send("GET", "/v1/jobs")
        if time.monotonic() >= until:
            return answers
        assert answer is not None
        answers.append(answer)
        time.sleep(0.1)


@fault(13, "connection storm")
def test_workers_whose_connections_are_cut_again_and_again_go_on(
    trial: Trial, figures: Figures, scale: Scale
) -> None:
    """CLIENT KILL of all connections to Redis, many times in a row, under load"""
    client, kills, cut = trial.stack.client, scale(slice=40, full=600), 0
    with trial.load(per_s=40):
        for _ in range(kills):
            cut += client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            time.sleep(trial.random.uniform(0, 0.1))
        figures["resume s"] = round(_seconds_to_an_end(trial), 2)
    begun = time.monotonic()
    _await_all_consume(trial)
    figures["all workers consume after s"] = round(time.monotonic() - begun, 2)
    trial.conclude(figures)
    figures |= {"kills": kills, "connections cut": cut}


def _await_all_consume(trial: Trial) -> None:
    """Until every worker has ended a job more than now."""
    workers = trial.stack.detectors
    before = {worker.name: _ended(worker) for worker in workers}
    picture = trial.a.upload(png(scene()))

    def all_did() -> bool:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: trial.a.submit(picture), range(8)))
        return all(_ended(worker) > before[worker.name] for worker in workers)

    await_true(all_did, "every worker to end a job")


def _ended(worker: Process) -> int:
    return len(worker.events("job.ended"))


def _seconds_to_an_end(trial: Trial) -> float:
    """From now until a job that is submitted now has ended."""
    begun = time.monotonic()
    picture = trial.a.upload(png(scene()))
    job = trial.a.submit(picture)
    await_true(lambda: _has_ended(trial, job), "a job to end")
    return time.monotonic() - begun


def _has_ended(trial: Trial, job: str) -> bool:
    told = trial.a.read(job)
    return told is not None and told["state"] == "succeeded"
