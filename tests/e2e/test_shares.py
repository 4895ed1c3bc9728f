"""One tenant's slow servers delay nobody else."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from threading import Event, Thread

from PIL import Image

from beside import beside
from boxyard_ledger import JobRecord
from boxyard_schemas import ImageFailure, JobResult, JobState, UrlImage, new_id
from boxyard_schemas.words import utc_now
from pictures import encoded, png, scene
from receivers import Receiver, say
from yard import MODEL, Yard, await_true

_EVER = 600
"""Seconds; longer than any test."""


@contextmanager
def hanging_server() -> Iterator[str]:
    """Takes every connection and never says a word."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:

        def take() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        Thread(target=take, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        server.shutdown(socket.SHUT_RDWR)
    for connection in held:
        connection.close()


def accept(yard: Yard, tenant: str, urls: list[str]) -> str:
    images = tuple(UrlImage(url=url) for url in urls)
    job = JobRecord(
        id=new_id("job"), tenant=tenant, model=MODEL, images=images, created_at=utc_now()
    )
    yard.ledger.jobs.accept(job)
    return job.id


def end_jobs(yard: Yard, url: str, *, jobs: int, images: int = 1) -> None:
    """B's jobs, one after the other, each until it has succeeded."""
    for _ in range(jobs):
        job = accept(yard, "b", [url] * images)
        await_true(lambda job=job: yard.ledger.jobs.get("b", job).state.terminal, "B's job")
        assert yard.ledger.jobs.get("b", job).state == JobState.SUCCEEDED


def check_hanging(yard: Yard, jobs: Sequence[str]) -> None:
    """None of A's jobs has ended: nobody else had to wait for that."""
    assert {yard.ledger.jobs.get("a", job).state.terminal for job in jobs} == {False}


def test_another_tenants_jobs_go_on_while_two_hundred_urls_hang(yard: Yard) -> None:
    with hanging_server() as slow, Receiver(say(200, png(scene()))) as good:
        worker = yard.worker(fetch_deadline_s=_EVER)
        hanging = [accept(yard, "a", [slow]) for _ in range(136)]
        hanging.append(accept(yard, "a", [slow] * 64))
        await_true(lambda: len(worker.events("picture.stage")) >= 48, "A's pictures", worker.tail)
        end_jobs(yard, good.url, jobs=10, images=3)
        assert len(worker.events("picture.stage", stage="fetch", tenant="a")) <= 48
        check_hanging(yard, hanging)


def test_a_trickle_of_hanging_jobs_does_not_delay_another_tenant(yard: Yard) -> None:
    hanging: list[str] = []

    def trickle(url: str, stop: Event) -> None:
        while not stop.wait(0.1):
            hanging.append(accept(yard, "a", [url]))

    with hanging_server() as slow, Receiver(say(200, png(scene()))) as good:
        worker = yard.worker(fetch_deadline_s=_EVER)
        with beside(partial(trickle, slow)):
            await_true(lambda: len(worker.events("picture.stage")) >= 20, "A's jobs", worker.tail)
            end_jobs(yard, good.url, jobs=5)
            check_hanging(yard, hanging[:])


def test_a_long_row_of_one_tenants_jobs_is_passed_over(yard: Yard) -> None:
    with hanging_server() as slow, Receiver(say(200, png(scene()))) as good:
        hanging = [accept(yard, "a", [slow]) for _ in range(3000)]
        worker = yard.worker(fetch_deadline_s=_EVER)
        await_true(lambda: len(worker.events("picture.stage")) >= 48, "A's pictures", worker.tail)
        end_jobs(yard, good.url, jobs=1)
        check_hanging(yard, hanging[-1:])


def test_what_hangs_ends_at_its_deadline_and_the_next_ones_follow(yard: Yard) -> None:
    with hanging_server() as slow:
        worker = yard.worker(fetch_deadline_s=1)
        jobs = [accept(yard, "a", [slow]) for _ in range(100)]
        for job in jobs:
            await_true(
                lambda job=job: yard.ledger.jobs.get("a", job).state.terminal,
                "a job",
                worker.tail,
            )
        reference = yard.ledger.jobs.get("a", jobs[-1]).result
        assert reference is not None
        result = JobResult.model_validate_json(yard.ledger.blobs.get(reference.key))
        assert isinstance(result.images[0], ImageFailure)
        assert result.images[0].code == "fetch-failed"
        assert worker.stop() == 0


def test_a_worker_that_ends_waits_for_the_slow_ones_that_it_began(yard: Yard) -> None:
    with hanging_server() as slow:
        worker = yard.worker(fetch_deadline_s=6)
        job = accept(yard, "a", [slow])
        worker.await_event("picture.stage", job=job)
        time.sleep(2)  # the task that claimed it has ended by now
        assert worker.stop() == 0
        assert yard.ledger.jobs.get("a", job).state == JobState.FAILED


def endless_picture() -> bytes:
    """A picture that takes minutes to decode."""
    data = encoded(Image.new("L", (8000, 8000), 120), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * 50_000 + b"\xff\xd9"


def test_another_tenants_pictures_are_decoded_between_one_tenants_endless_ones(
    yard: Yard,
) -> None:
    bomb = endless_picture()
    with Receiver(say(200, bomb)) as bombs, Receiver(say(200, png(scene()))) as good:
        worker = yard.worker(decode_deadline_s=3, decoders=2)
        hostile = accept(yard, "a", [bombs.url] * 64)
        worker.await_event("picture.stage", stage="decode", job=hostile)
        end_jobs(yard, good.url, jobs=3)
        check_hanging(yard, [hostile])
        worker.await_event("picture.failed", code="decode-deadline")
