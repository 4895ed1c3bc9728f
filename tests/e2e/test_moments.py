"""A worker, or its model, dies while its result is stored or recorded.

Both last milliseconds. A proxy before S3, and one before Redis, hold the request or its answer, so
that the kill comes right before the step, or right after it while the worker does not know.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

import pytest
from moto.server import ThreadedMotoServer

from boxyard_ledger import EmbeddedRedis, Ledger, keys
from boxyard_ledger.s3 import S3
from boxyard_ledger.scripts import read_script
from boxyard_schemas import JobResult, JobState, UrlImage
from chaos.proxy import Hold, Proxy
from pictures import png, scene
from receivers import Receiver, say
from yard import WorkerProcess, Yard


class Post(NamedTuple):
    """A yard whose workers reach S3 and Redis through proxies."""

    yard: Yard
    ledger: Ledger
    s3: Proxy
    redis: Proxy
    pictures: Receiver

    def worker(self) -> WorkerProcess:
        """One that is listened in on, and has ended a job: Redis knows its scripts by then."""
        started = self.yard.worker(s3_endpoint_url=self.s3.url, redis_url=self.redis.redis_url)
        self.yard.await_end(self.accept())
        return started

    def accept(self) -> str:
        return self.yard.accept([UrlImage(url=self.pictures.url)] * 2)

    def check_recorded_once(self, job: str, *, attempts: int) -> None:
        """The recorded result is whole and the only one."""
        status = self.yard.await_end(job)
        assert status.state == JobState.SUCCEEDED
        assert status.attempts == attempts
        assert status.result is not None
        stored = self.ledger.blobs.get(status.result.key)
        assert len(JobResult.model_validate_json(stored).images) == 2


@pytest.fixture(scope="module")
def store() -> Iterator[tuple[str, int]]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield server.get_host_and_port()
    server.stop()


@pytest.fixture
def post(yard: Yard, store: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    host, port = store
    for name, value in {
        "BLOB_URL": "s3://yard/prod",
        "S3_ENDPOINT_URL": f"http://{host}:{port}",
        "S3_ACCESS_KEY_ID": "key",
        "S3_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(f"BOXYARD_{name}", value)
    settings = type(yard.settings)(redis_url=yard.redis.url)
    S3(settings).client.create_bucket(Bucket="yard")
    yard.settings = settings
    with (
        Ledger.open(settings) as ledger,
        Proxy(port) as s3,
        Proxy(redis_port(yard.redis)) as redis,
        Receiver(say(200, png(scene()))) as pictures,
    ):
        yield Post(yard, ledger, s3, redis, pictures)


def redis_port(redis: EmbeddedRedis) -> int:
    return int(redis.url.rpartition(":")[2].partition("/")[0])


class Moment(NamedTuple):
    """A step, and whether it is done when the worker is met."""

    step: str
    done: bool

    def hold(self, post: Post) -> AbstractContextManager[Hold]:
        words = [b"PUT /", b"/results/"]
        proxy = post.s3
        if self.step == "finish":
            proxy, words = post.redis, [read_script("finish")[0].encode()]
        return proxy.hold(*words, answer=self.done)


MOMENTS = [Moment(step, done) for step in ("store", "finish") for done in (False, True)]


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_a_worker_killed_around_a_step_leaves_one_result(post: Post, moment: Moment) -> None:
    worker = post.worker()
    with moment.hold(post) as hold:
        job = post.accept()
        hold.wait()
        worker.kill()
    post.yard.end_leases()
    post.yard.worker()
    recorded = moment == Moment("finish", done=True)
    post.check_recorded_once(job, attempts=1 if recorded else 2)


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_a_model_killed_around_a_step_costs_nothing(post: Post, moment: Moment) -> None:
    worker = post.worker()
    child = worker.child
    with moment.hold(post) as hold:
        job = post.accept()
        hold.wait()
        os.kill(child, signal.SIGKILL)
        worker.await_event("model.died")
        hold.release()
        post.check_recorded_once(job, attempts=1)
    assert len(list(post.ledger.blobs.keys(keys.result_prefix("default", job)))) == 1


def test_a_worker_that_sleeps_before_it_records_takes_its_result_away_again(post: Post) -> None:
    sleeper = post.worker()
    with Moment("finish", done=False).hold(post) as hold:
        job = post.accept()
        hold.wait()
        sleeper.freeze()
        post.yard.end_leases()
        post.yard.worker()
        post.check_recorded_once(job, attempts=2)
        hold.release()
        sleeper.thaw()
        sleeper.await_event("job.ended", job=job, how="dropped")
    sleeper.await_event("job.result-discarded", job=job)
    (left,) = post.ledger.blobs.keys(keys.result_prefix("default", job))
    recorded = post.yard.status(job).result
    assert recorded is not None
    assert left == recorded.key
