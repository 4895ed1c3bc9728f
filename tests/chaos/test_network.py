"""Faults 15 and 16: lines that fall silent, that are slow, and that break."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from chaos.callers import Caller
from chaos.faults import fault
from chaos.namespace import Namespace, let_in, missing
from chaos.proxy import Proxy
from chaos.recovery import Recovery, percentile
from chaos.stack import Stack, await_ready
from chaos.storage import FaultyS3
from chaos.trial import Figures, Trial
from process import Process, await_true

_RESUMED_S = 60


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Namespace]:
    if why := missing():
        pytest.skip(why)
    with Namespace(tmp_path) as made:
        yield made


def held_by(worker: Process) -> set[str]:
    """The jobs that a worker has claimed and not ended, by its log."""
    claimed = {line["job"] for line in worker.events("job.claimed")}
    return claimed - {line["job"] for line in worker.events("job.ended")}


@fault(15, "half-open connection")
def test_a_worker_whose_line_fell_silent_is_replaced_and_takes_work_again(
    trial: Trial, space: Namespace, figures: Figures, scale: Callable[..., int]
) -> None:
    """packets between one worker and Redis vanish, for 5 minutes in full; then they pass again"""
    url, recovery = let_in(trial.stack.client, space), Recovery(trial)
    worker = trial.stack.detect(prefix=space.command(), redis_url=url)
    with trial.stack.further(worker), trial.load(per_s=8, slow=0.25, cancels=0, erases=0):
        cut_at_work(trial, worker, space)
        recovery.strike()
        time.sleep(scale(slice=4, full=300))
        await_true(lambda: bool(recovery.seconds()), "others to end its jobs", trial.logs)
        known = len(worker.events("job.claimed"))
        space.heal()
        start = time.monotonic()
        await_true(lambda: len(worker.events("job.claimed")) > known, "work", worker.tail, 90)
        resumed_s = figures["resume s"] = round(time.monotonic() - start, 1)
    trial.conclude(figures)
    figures["taken over"] = len(recovery.seconds())
    figures["taken over after s (p99)"] = percentile(recovery.seconds(), 0.99)
    assert recovery.seconds()
    assert resumed_s <= _RESUMED_S


def cut_at_work(trial: Trial, worker: Process, space: Namespace) -> None:
    """Cuts a worker's line while it holds jobs."""
    while True:
        await_true(lambda: bool(held_by(worker)), "the worker to hold jobs", worker.tail)
        space.cut()
        if held_by(worker) & {status.job.id for status in trial.running()}:
            return
        space.heal()  # what it held was done before


class FarStack(Stack):
    """A stack whose parts reach Redis, S3 and each other by lines of 200 ms there and back.

    Attributes:
        lines: all of them; a line is a proxy.
    """

    def __init__(self, folder: Path, s3: FaultyS3) -> None:
        super().__init__(
            folder,
            blob_url="s3://far/blobs",
            s3_access_key_id="key",
            s3_secret_access_key="secret",
            s3_endpoint_url=s3.url,
        )
        self.lines: list[Proxy] = []
        self._s3, self._latency_s = s3, 0.0

    def start(self, *, detectors: int = 2) -> None:
        """Each part with lines of its own."""
        self.serve(**self._far())
        workers = [self.detect(ready=False, **self._far()) for _ in range(detectors)]
        self.deliver(**self._far())
        self.sweep(**self._far())
        for worker in workers:
            await_ready(worker)
        self.url = self.line_to(self.port).url

    @contextmanager
    def far(self) -> Iterator[None]:
        """The lines are short before and after, so that a test begins and ends soon."""
        self._set_latency(0.1)
        yield
        self._set_latency(0)

    def _set_latency(self, seconds: float) -> None:
        self._latency_s = seconds
        for line in self.lines:
            line.latency_s = seconds

    def line_to(self, port: int) -> Proxy:
        line = Proxy(port)
        line.latency_s = self._latency_s
        self.lines.append(line)
        return line

    def _far(self) -> dict[str, Any]:
        redis_port = int(self.redis.url.rpartition(":")[2].partition("/")[0])
        return {
            "redis_url": self.line_to(redis_port).redis_url,
            "s3_endpoint_url": self.line_to(self._s3.port).url,
            "redis_timeout_s": 5,
        }

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        for line in self.lines:
            line.close()


class FarTrial(Trial):
    """Tenants whose receivers are far away too."""

    stack: FarStack

    def __init__(self, stack: FarStack) -> None:
        self._fronts: dict[int, Proxy] = {}
        super().__init__(stack)

    def callback(self, caller: Caller) -> dict[str, object]:
        receiver = self.listeners[self.callers.index(caller)]
        if receiver.port not in self._fronts:
            self._fronts[receiver.port] = self.stack.line_to(receiver.port)
        return {"callback": {"url": f"{self._fronts[receiver.port].url}/heard"}}


@fault(16, "slow link")
def test_slow_lines_that_break_again_and_again_lose_nothing(
    tmp_path: Path, figures: Figures, scale: Callable[..., int]
) -> None:
    """200 ms there and back, and resets, between clients, server, workers, Redis, S3, receivers"""
    with FaultyS3("far") as s3, FarStack(tmp_path, s3) as stack:
        stack.start()
        with FarTrial(stack) as trial:
            print(f"seed {trial.seed}")
            resets = 0
            with trial.load(threads=8, per_s=20), stack.far():
                for _ in range(scale(slice=6, full=240)):
                    time.sleep(trial.random.uniform(0.2, 0.8))
                    resets += reset_one(trial)
            trial.conclude(figures, read=0.3)
            ages = list(ages_of(trial))
        figures["connections reset"] = resets
        figures["p99 from accept to end s"] = percentile(ages, 0.99)
        assert resets


def reset_one(trial: FarTrial) -> int:
    """Resets a line on which there are connections; how many there were."""
    lines = trial.stack.lines
    return next(
        (count for line in trial.random.sample(lines, len(lines)) if (count := line.reset())), 0
    )


def ages_of(trial: Trial) -> Iterator[float]:
    """Seconds from its acceptance to its end, of each job."""
    for job in trial.a.list() + trial.b.list():
        begin, end = (datetime.fromisoformat(job[name]) for name in ("created_at", "finished_at"))
        yield (end - begin).total_seconds()
