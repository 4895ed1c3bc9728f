"""Many pictures through the real server by both clients, with a worker that tests play."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Barrier, BrokenBarrierError, Event
from typing import IO

import httpx
import pytest

from beside import beside
from boxyard_ledger import Ledger, LedgerSettings
from boxyard_producer import AsyncClient, Client
from boxyard_producer.client import Retries
from boxyard_producer.client.answers import Outcome
from boxyard_producer.server import ServerSettings
from boxyard_schemas import DEMO_MODEL, Job, JobState, Upload
from boxyard_schemas.errors import TooManyRequests, UnusableImages

from .conftest import SEEN, Serve, Worker, serving

PICTURE = b"\xff\xd8\xff a picture"


@pytest.fixture
def url(serve: Serve) -> str:
    return str(serve().base_url)


@pytest.fixture(params=["blocking", "asyncio"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def work(ledger: Ledger, stop: Event) -> None:
    """Plays a worker that takes one job after another."""
    worker = Worker(ledger, DEMO_MODEL)
    while not stop.wait(0.01):
        for claim in ledger.jobs.claim(DEMO_MODEL, worker="w", max_images=64):
            worker.finish(claim, *[SEEN] * len(claim.job.images))


def working(ledger: Ledger) -> AbstractContextManager[None]:
    return beside(partial(work, ledger))


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    made = [tmp_path / f"{number}.jpg" for number in range(10)]
    for path in made:
        path.write_bytes(PICTURE + path.name.encode())
    return made


class Meeting(httpx.HTTPTransport):
    """Holds submissions until so many are under way together."""

    def __init__(self, parties: int) -> None:
        super().__init__()
        self.barrier = Barrier(parties)
        self.met = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if not self.met and request.url.path == "/v1/jobs":
            try:
                self.barrier.wait(60)
                self.met = True
            except BrokenBarrierError:
                pass
        return super().handle_request(request)


def test_pictures_go_in_and_results_come_out(
    url: str, ledger: Ledger, paths: list[Path], kind: str
) -> None:
    def blocking() -> list[tuple[Job, list[str | None]]]:
        with Client(url, "key-a") as client:
            jobs = client.submit_many(DEMO_MODEL, paths, images_per_job=3, at_once=2)
            return [
                (job, [image.reference for image in client.result(job.id).seen])
                for job in client.as_completed(jobs)
            ]

    async def awaited() -> list[tuple[Job, list[str | None]]]:
        async with AsyncClient(url, "key-a") as client:
            jobs = client.submit_many(DEMO_MODEL, paths, images_per_job=3, at_once=2)
            return [
                (job, [image.reference for image in (await client.result(job.id)).seen])
                async for job in client.as_completed(jobs)
            ]

    with working(ledger):
        ended = blocking() if kind == "blocking" else asyncio.run(awaited())
    assert {job.state for job, _ in ended} == {JobState.SUCCEEDED}
    assert sorted(job.images.total for job, _ in ended) == [1, 3, 3, 3]
    assert sum(len(seen) for _, seen in ended) == 10


def test_submissions_are_under_way_together(url: str) -> None:
    transport = Meeting(3)
    with Client(url, "key-a", transport=transport) as client:
        made = client.submit_many(
            DEMO_MODEL, ["https://p.example/a.jpg"] * 3, images_per_job=1, at_once=3
        )
        assert len(list(made)) == 3
    assert transport.met


def test_jobs_that_nobody_was_given_are_cancelled(url: str, paths: list[Path], kind: str) -> None:
    def broken() -> Iterator[Path]:
        yield from paths[:3]
        raise LookupError

    def blocking(images: Iterable[Path], first: int) -> list[Job]:
        with Client(url, "key-a") as client:
            made = client.submit_many(DEMO_MODEL, images, images_per_job=1, at_once=4)
            return list(islice(made, first))

    async def awaited(images: Iterable[Path], first: int) -> list[Job]:
        async with AsyncClient(url, "key-a") as client:
            made = client.submit_many(DEMO_MODEL, images, images_per_job=1, at_once=4)
            return [await anext(made) for _ in range(first)]

    def call(images: Iterable[Path], first: int) -> list[Job]:
        if kind == "blocking":
            return blocking(images, first)
        return asyncio.run(awaited(images, first))

    with pytest.raises(LookupError):
        call(broken(), 2)
    (kept,) = call(paths[:4], 1)
    with Client(url, "key-a") as client:
        states = [job.state for job in client.iter_jobs() if job.id != kept.id]
        assert client.job(kept.id).state is JobState.QUEUED
    assert states == ["cancelled"] * 6


def test_an_unusable_image_leaves_no_other_unsent(
    url: str, paths: list[Path], tmp_path: Path
) -> None:
    images = [*paths[:2], tmp_path / "missing.jpg", "http://10.0.0.1/inside.jpg", *paths[2:4]]
    with Client(url, "key-a") as client:
        made: list[Job] = []
        with pytest.raises(UnusableImages) as caught:
            made.extend(client.submit_many(DEMO_MODEL, images))
        assert [each["index"] for each in caught.value.data["images"]] == [2]
        assert list(client.iter_jobs()) == []
        with pytest.raises(UnusableImages) as caught:
            made.extend(client.submit_many(DEMO_MODEL, iter(images), images_per_job=3))
        assert [each["index"] for each in caught.value.data["images"]] == [2, 3]
        assert "http://10.0.0.1/inside.jpg: 10.0.0.1 leads to" in caught.value.detail
        assert [job.images.total for job in made] == [2, 2]


def test_jobs_under_the_callers_key_stay(url: str) -> None:
    with Client(url, "key-a") as client:
        for first in (1, 3):
            made = client.submit_many(
                DEMO_MODEL,
                ["https://p.example/a.jpg"] * 3,
                images_per_job=1,
                idempotency_key="nightly",
            )
            assert len(list(islice(made, first))) == first
            del made
        assert [job.state for job in client.iter_jobs()] == ["queued"] * 3


class Hasty(Retries):
    """Comes back sooner than it is told to: half a minute, of a queue that never drained."""

    def delay_s(self, outcome: Outcome, attempt: int, spent_s: float = 0) -> float | None:
        delay_s = super().delay_s(outcome, attempt, spent_s)
        return None if delay_s is None else min(delay_s, 0.02)


def test_a_full_queue_is_waited_for_or_said(
    ledger_settings: LedgerSettings, paths: list[Path], kind: str
) -> None:
    narrow = ledger_settings.model_copy(update={"max_queued_per_tenant": 1})
    with Ledger.open(narrow) as ledger, serving(ServerSettings(), ledger) as url:
        ledger.tenants.register("a", api_key="key-a", webhook_secret="whsec_YQ==")
        with Client(url, "key-a", retries=Retries(patience_s=0)) as client:
            made = client.submit_many(DEMO_MODEL, paths, images_per_job=2)
            with pytest.raises(TooManyRequests):
                list(made)
        with working(ledger):
            ended = (
                asyncio.run(_awaited(url, paths)) if kind == "asyncio" else _blocking(url, paths)
            )
    assert [job.state for job in ended] == ["succeeded"] * 5


def _blocking(url: str, paths: list[Path]) -> list[Job]:
    with Client(url, "key-a", retries=Hasty()) as client:
        return list(client.as_completed(client.submit_many(DEMO_MODEL, paths, images_per_job=2)))


async def _awaited(url: str, paths: list[Path]) -> list[Job]:
    async with AsyncClient(url, "key-a", retries=Hasty()) as client:
        made = client.submit_many(DEMO_MODEL, paths, images_per_job=2)
        return [job async for job in client.as_completed(made)]


def test_a_pipe_is_uploaded_to_its_end(url: str, kind: str) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as file:
        file.write(PICTURE)

    async def awaited(image: IO[bytes]) -> Upload:
        async with AsyncClient(url, "key-a") as client:
            return await client.upload(image)

    with os.fdopen(reader, "rb") as pipe, Client(url, "key-a") as client:
        known = client.upload(pipe) if kind == "blocking" else asyncio.run(awaited(pipe))
    assert known.bytes == len(PICTURE)
