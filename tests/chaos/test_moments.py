"""Faults 3 to 6 and 14: processes that are met at one exact step between Redis and S3.

What the worker and the server say to the stores goes through proxies, which hold a request or
its answer while the process is killed or put to sleep.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import NamedTuple

import boto3
import pytest
from moto.server import ThreadedMotoServer

from boxyard_ledger import keys
from boxyard_ledger.scripts import read_script
from boxyard_schemas import JobState, detect_queue
from chaos.callers import inline
from chaos.faults import fault
from chaos.proxy import Hold, Proxy
from chaos.recovery import percentile
from chaos.stack import MODEL, Stack
from chaos.trial import Figures, Trial
from leases import end_leases
from pictures import png, scene
from process import Process, await_true

Scale = Callable[..., int]
_ACCESS = {"s3_access_key_id": "test", "s3_secret_access_key": "test"}


@dataclass
class Tapped:
    """A stack whose server and first worker are listened in on."""

    stack: Stack
    server_redis: Proxy
    worker_redis: Proxy
    worker_s3: Proxy
    worker: Process
    spare: Process

    def mend(self) -> None:
        """The worker alone takes jobs."""
        self.stack.mend()
        self.spare.freeze()


@pytest.fixture(scope="module")
def shared_tapped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tapped]:
    with ExitStack() as exits:
        s3 = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        s3.start()
        exits.callback(s3.stop)
        host, port = s3.get_host_and_port()
        _make_bucket(f"http://{host}:{port}")
        settings = {
            "blob_url": "s3://boxyard/blobs",
            "s3_endpoint_url": f"http://{host}:{port}",
            "lease_s": 60,  # ended where a test says so, and by nothing else
        }
        folder = tmp_path_factory.mktemp("tapped")
        stack = exits.enter_context(Stack(folder, **settings, **_ACCESS))
        yield _tap(stack, port, exits)


def _make_bucket(url: str) -> None:
    names = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **names)
    client.create_bucket(Bucket="boxyard")
    client.close()


def _tap(stack: Stack, s3_port: int, exits: ExitStack) -> Tapped:
    server_redis, worker_redis = (exits.enter_context(Proxy(stack.redis_port)) for _ in range(2))
    worker_s3 = exits.enter_context(Proxy(s3_port))
    stack.serve(ready=False, redis_url=server_redis.redis_url)
    worker = stack.detect(
        ready=False, redis_url=worker_redis.redis_url, s3_endpoint_url=worker_s3.url
    )
    spare = stack.detect(ready=False)
    stack.deliver()
    stack.sweep()
    return Tapped(stack, server_redis, worker_redis, worker_s3, worker, spare)


@pytest.fixture
def tapped(shared_tapped: Tapped) -> Tapped:
    shared_tapped.mend()
    return shared_tapped


@pytest.fixture
def trial(tapped: Tapped) -> Iterator[Trial]:
    with Trial(tapped.stack) as begun:
        yield begun


def runs(script: str) -> bytes:
    """What stands in a request to run a script of the ledger."""
    return read_script(script)[0].encode()


class Moment(NamedTuple):
    """When a worker is met: before a step, or when it is done and the worker does not know."""

    where: str
    words: tuple[bytes, ...]
    done: bool

    def hold(self, tapped: Tapped) -> AbstractContextManager[Hold]:
        proxy: Proxy = getattr(tapped, self.where)
        return proxy.hold(*self.words, answer=self.done)


_PUT = ("worker_s3", (b"PUT /", b"/results/"))
_FINISH = ("worker_redis", (runs("finish"),))
BEFORE_PUT, AFTER_PUT = Moment(*_PUT, done=False), Moment(*_PUT, done=True)
BEFORE_FINISH, AFTER_FINISH = Moment(*_FINISH, done=False), Moment(*_FINISH, done=True)


def kill_at(moment: Moment, tapped: Tapped, trial: Trial) -> str:
    """A job whose worker died at a moment; another worker is there."""
    with moment.hold(tapped) as hold:
        job = trial.a.submit(inline(png(scene())), delivery=trial.callback(trial.a))
        hold.wait()
        tapped.worker.kill()
    end_leases(tapped.stack.client)
    tapped.spare.thaw()
    tapped.worker.start()
    return job


@fault(4, "crash around the result's PUT")
def test_a_worker_that_dies_around_its_put_leaves_one_result(
    tapped: Tapped, trial: Trial, figures: Figures, scale: Scale
) -> None:
    """kill -9 right before the PUT, right after it, and right before the result is recorded"""
    for _ in range(scale(slice=1, full=10)):
        for moment in (BEFORE_PUT, AFTER_PUT, BEFORE_FINISH):
            tapped.mend()
            job = kill_at(moment, tapped, trial)
            _await_end(trial, job)
            assert trial.stack.ledger.jobs.get(trial.a.tenant, job).attempts == 2
    trial.conclude(figures)
    figures["results a job"] = _most_results(trial)


def _most_results(trial: Trial) -> int:
    """The most blobs of results that any job of A has."""
    blobs, tenant = trial.stack.ledger.blobs, trial.a.tenant
    ids = [job["id"] for job in trial.a.list()]
    return max(len(list(blobs.keys(keys.result_prefix(tenant, job)))) for job in ids)


@fault(5, "crash after finish")
def test_a_worker_that_dies_after_recording_has_its_callback_sent(
    tapped: Tapped, trial: Trial, figures: Figures, scale: Scale
) -> None:
    """kill -9 when the result is recorded and the worker does not know yet"""
    for _ in range(scale(slice=1, full=20)):
        tapped.mend()
        job = kill_at(AFTER_FINISH, tapped, trial)
        _await_end(trial, job)
        assert trial.stack.ledger.jobs.get(trial.a.tenant, job).attempts == 1
    verdict = trial.conclude(figures)
    figures |= {"callbacks": verdict.accepted, "callbacks sent again": verdict.repeats}


@fault(3, "zombie worker")
def test_a_worker_that_sleeps_right_before_it_writes_is_refused(
    tapped: Tapped, trial: Trial, figures: Figures, scale: Scale
) -> None:
    """SIGSTOP of a worker right before its PUT, or before it records; SIGCONT after its lease"""
    for _ in range(scale(slice=1, full=10)):
        for moment in (BEFORE_PUT, BEFORE_FINISH):
            tapped.mend()
            _sleep_at(moment, tapped, trial)
    verdict = trial.conclude(figures)
    figures["stale writes refused"] = verdict.accepted


def _sleep_at(moment: Moment, tapped: Tapped, trial: Trial) -> None:
    with moment.hold(tapped) as hold:
        job = trial.a.submit(inline(png(scene())))
        hold.wait()
        tapped.worker.freeze()
        end_leases(tapped.stack.client)
        tapped.spare.thaw()
        _await_end(trial, job)
        hold.release()
        tapped.worker.thaw()
    tapped.worker.await_event("job.ended", job=job, how="dropped")


@fault(6, "server dies before it sends the wake-up message")
@pytest.mark.parametrize(
    ("words", "done"),
    [
        ((runs("accept"),), False),
        ((runs("accept"),), True),
        ((b"LPUSH", detect_queue(MODEL).encode()), False),
    ],
    ids=["unwritten", "written", "unrung"],
)
def test_what_the_server_wrote_down_ends_though_it_died(
    words: tuple[bytes, ...], done: bool, tapped: Tapped, trial: Trial, figures: Figures
) -> None:
    """kill -9 of the server before it writes the job, after that, and before the wake-up message"""
    marker, picture = trial.a.new_marker(), inline(png(scene()))
    server = trial.stack.server
    with ThreadPoolExecutor() as pool:
        with tapped.server_redis.hold(*words, answer=done) as hold:
            asking = pool.submit(trial.a.ask, marker, picture)
            hold.wait()
            server.kill()
        assert asking.result() is None
    killed, written = time.monotonic(), done or runs("accept") not in words
    if written:
        trial.settle()
        assert _count(trial) == 1, "nobody had to ask again"
        figures["recovery s"] = round(time.monotonic() - killed, 2)
    server.start()
    trial.stack.await_server(server)
    await_true(lambda: trial.a.ask(marker, picture) is not None, "an answer", trial.logs)
    trial.conclude(figures)
    assert _count(trial) == 1, "asked again by its key, it is the same job"


def _count(trial: Trial) -> int:
    return int(trial.stack.client.zcard(keys.listed(trial.a.tenant)))


@fault(14, "lost acknowledgement")
def test_a_worker_whose_connection_dies_with_the_bell_is_not_stuck(
    tapped: Tapped, trial: Trial, figures: Figures, scale: Scale
) -> None:
    """Redis delivers a wake-up message, which needs no acknowledgement; the connection is reset"""
    took, picture = list[float](), trial.a.upload(png(scene()))
    for _ in range(scale(slice=2, full=50)):
        with tapped.worker_redis.hold(b"BRPOP", detect_queue(MODEL).encode()) as hold:
            hold.wait_for_request()
            job = trial.a.submit(picture)
            hold.wait()
        reset = time.monotonic()
        _await_end(trial, job)
        took.append(time.monotonic() - reset)
    assert tapped.worker.alive
    assert not [key for key in trial.stack.client.keys("*unacked*") if key]
    trial.conclude(figures)
    figures |= {"resets": len(took), "recovery p99 s": percentile(took, 0.99)}


def _await_end(trial: Trial, job: str) -> None:
    ledger, tenant = trial.stack.ledger, trial.a.tenant
    what, log = f"{job} to end", trial.logs
    await_true(lambda: ledger.jobs.get(tenant, job).state == JobState.SUCCEEDED, what, log)
