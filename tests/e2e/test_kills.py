"""Whatever dies, and at whatever stage, every job ends once and with one result."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import redis
from PIL import Image

from boxyard_ledger import keys
from boxyard_schemas import ImageSuccess, JobState, StoredImage, UrlImage
from boxyard_worker.detector.standin import Trouble
from pictures import encoded, png, scene, trouble
from process import PATIENCE_S, await_true
from receivers import Receiver, drip, say
from yard import WorkerProcess, Yard

STAGES = ["fetch", "decode", "infer", "encode"]


def slow_picture(yard: Yard, stage: str, server: Receiver) -> StoredImage:
    """A picture that spends long enough in a stage to be met there."""
    if stage == "fetch":
        return UrlImage(url=server.url)
    if stage == "decode":
        noise = Image.effect_noise((3000, 2000), 90)
        return yard.upload(encoded(noise.convert("RGB"), "PNG"))
    return yard.upload(png(trouble(Trouble.SLOW)))


@pytest.mark.parametrize("stage", STAGES)
def test_a_worker_killed_in_any_stage_loses_no_job(yard: Yard, stage: str) -> None:
    with Receiver(drip, say(200, png(scene()))) as server:
        first = yard.worker()
        job = yard.accept([slow_picture(yard, stage, server), png(scene())])
        first.await_event("picture.stage", job=job, stage=stage)
        if stage == "fetch":
            server.wait(1)  # the stage begins before the request, and the drip is for this worker
        first.kill()
        yard.end_leases()
        yard.worker()
        result = yard.result(job)
    assert all(isinstance(image, ImageSuccess) for image in result.images), result.images
    assert yard.status(job).attempts <= 2
    check_recorded_once(yard, job)


def check_recorded_once(yard: Yard, job: str) -> None:
    """The recorded result is whole, and no claim's hold on the job is left."""
    status = yard.status(job)
    assert status.state == JobState.SUCCEEDED
    assert status.result is not None
    assert status.result.key in set(yard.ledger.blobs.keys(keys.result_prefix("default", job)))
    assert yard.ledger.jobs.ready(status.job.model) == 0


@pytest.mark.parametrize("stage", STAGES)
def test_a_model_child_killed_in_any_stage_costs_no_attempt_and_no_picture(
    yard: Yard, stage: str
) -> None:
    with Receiver(say(200, png(scene()))) as server:
        worker = yard.worker()
        child = worker.child
        job = yard.accept([slow_picture(yard, stage, server), png(scene())])
        worker.await_event("picture.stage", job=job, stage=stage)
        os.kill(child, signal.SIGKILL)
        result = yard.result(job)
        worker.await_event("model.died")
    assert all(isinstance(image, ImageSuccess) for image in result.images), result.images
    assert yard.status(job).attempts == 1


def test_a_model_that_something_keeps_killing_over_one_image_ends_the_job_and_blames_no_image(
    yard: Yard,
) -> None:
    worker, killed = yard.worker(max_attempts=1), set[int]()
    job = yard.accept([png(trouble(Trouble.SLOW))])
    while not yard.status(job).state.terminal:
        await_true(lambda: worker.child not in killed, "another child", worker.tail)
        killed.add(child := worker.child)
        time.sleep(0.4)  # of the second that the image is on the device
        os.kill(child, signal.SIGKILL)
    status = yard.await_end(job)
    assert status.state == JobState.DEAD
    assert "ended from outside, which was not the image's doing" in (status.reason or "")
    assert not worker.events("picture.strike")


def test_a_worker_that_wakes_up_after_its_lease_changes_nothing(yard: Yard) -> None:
    sleeper = yard.worker()
    job = freeze_at_work(yard, sleeper)
    yard.end_leases()
    yard.worker()
    recorded = yard.await_end(job).result
    sleeper.thaw()
    sleeper.await_event("job.ended", job=job, how="dropped")
    assert yard.status(job).result == recorded
    assert yard.status(job).attempts == 2


def freeze_at_work(yard: Yard, worker: WorkerProcess) -> str:
    """The job that a worker has in its hands when it falls asleep."""
    while True:
        job = yard.accept([png(trouble(Trouble.SLOW))])
        worker.await_event("picture.stage", job=job, stage="infer")
        worker.freeze()
        if yard.status(job).state == JobState.RUNNING:
            return job
        worker.thaw()  # it was done before it was met


def test_jobs_survive_a_killed_redis_and_the_worker_takes_up_work_again(yard: Yard) -> None:
    worker = yard.worker()
    before = [yard.accept([png(trouble(Trouble.SLOW))]) for _ in range(3)]
    worker.await_event("picture.stage", job=before[0], stage="infer")
    yard.redis.kill()
    time.sleep(1)
    yard.redis.start()
    after = yard.accept([png(scene())])
    for job in (*before, after):
        assert yard.await_end(job).state == JobState.SUCCEEDED
    assert worker.process.poll() is None
    assert worker.stop() == 0
    assert "Connected to redis://" in worker.text()
    assert "<class" not in worker.text()  # as Celery would call the broker


def test_a_bell_that_a_worker_took_to_its_grave_is_rung_again(yard: Yard) -> None:
    first = yard.worker()
    first.freeze()
    job = yard.accept([png(scene())])
    time.sleep(1.5)  # Redis hands the bell to the sleeper's waiting BRPOP
    first.kill()
    yard.worker()
    assert yard.await_end(job).state == JobState.SUCCEEDED


def test_cut_connections_are_made_again(yard: Yard) -> None:
    worker = yard.worker()
    jobs = []
    with redis.Redis.from_url(yard.redis.url) as client:
        for _ in range(10):
            jobs.append(yard.accept([png(scene())]))
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            time.sleep(0.1)
    for job in jobs:
        assert yard.await_end(job).state == JobState.SUCCEEDED
    assert worker.process.poll() is None


def test_results_wait_while_the_blob_store_is_away(yard: Yard, tmp_path: Path) -> None:
    worker = yard.worker(lease_s=6)
    results = tmp_path / "blobs" / "default" / "results"
    results.parent.mkdir(parents=True)
    results.write_bytes(b"")  # where a folder should be, so that nothing can be stored
    job = yard.accept([png(scene())])
    worker.await_event("job.store", job=job)
    held = yard.held_until(job)
    await_true(lambda: yard.held_until(job) > held + 6000, "a hold beyond its lease", worker.tail)
    assert yard.status(job).state == JobState.RUNNING
    results.unlink()
    assert yard.await_end(job).state == JobState.SUCCEEDED
    assert yard.status(job).attempts == 1


def test_a_worker_can_be_stopped_while_redis_is_away(yard: Yard) -> None:
    worker = yard.worker()
    yard.redis.kill()
    time.sleep(1)
    assert worker.stop() == 0
    yard.redis.start()


def test_sigterm_finishes_what_was_begun_and_hands_back_the_rest(yard: Yard) -> None:
    worker = yard.worker("--max-batch", "1", hands=2)
    jobs = [yard.accept([png(trouble(Trouble.SLOW))]) for _ in range(8)]
    worker.await_event("picture.stage", stage="infer")
    assert worker.stop() == 0
    states = [yard.status(job).state for job in jobs]
    assert set(states) == {JobState.SUCCEEDED, JobState.QUEUED}
    yard.worker()
    for job in jobs:
        assert yard.await_end(job).state == JobState.SUCCEEDED
        assert yard.status(job).attempts == 1


def test_a_second_signal_hands_back_what_was_begun(yard: Yard) -> None:
    worker = yard.worker("--max-batch", "1")
    jobs = [yard.accept([png(trouble(Trouble.SLOW))]) for _ in range(8)]
    for job in jobs:
        worker.await_event("picture.stage", job=job, stage="infer")
    worker.send(signal.SIGTERM)
    worker.await_event("worker.stopping")
    worker.send(signal.SIGQUIT)
    assert worker.process.wait(PATIENCE_S) == 0
    assert JobState.QUEUED in [yard.status(job).state for job in jobs]
    yard.worker("--max-batch", "4")
    for job in jobs:
        assert yard.await_end(job).state == JobState.SUCCEEDED


def test_a_worker_whose_model_does_not_load_says_why_and_ends(yard: Yard) -> None:
    worker = yard.worker("--detector", "mmdetection", "--model", "no-such-model", ready=False)
    assert worker.process.wait(PATIENCE_S) == 1
    await_true(lambda: "no-such-model" in worker.tail(), "the reason", worker.tail)


def test_a_worker_whose_weights_are_not_the_named_ones_says_so_and_ends(yard: Yard) -> None:
    worker = yard.worker(ready=False, weights_sha256="ab" * 32)
    assert worker.process.wait(PATIENCE_S) == 1
    assert "BOXYARD_WEIGHTS_SHA256" in worker.tail().splitlines()[-1]
