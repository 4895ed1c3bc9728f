"""A set of pictures on its way through the queue, with a worker that tests play."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Event

import httpx
import pytest

from beside import beside
from boxyard_ledger import Ledger, LedgerSettings
from boxyard_producer import AsyncClient
from boxyard_producer.client import Retries
from boxyard_producer.client.answers import Outcome
from boxyard_producer.evaluation import Passage, Picture
from boxyard_producer.server import ServerSettings
from boxyard_schemas import DEMO_MODEL, Job, JobResult, Scope
from boxyard_schemas.errors import ServiceError

from .conftest import SEEN, Worker, serving


@pytest.fixture
def pictures(tmp_path: Path) -> list[Picture]:
    """Twenty: three jobs."""
    made = [Picture(n, tmp_path / f"{n}.jpg", 64, 48) for n in range(20)]
    for picture in made:
        picture.path.write_bytes(b"\xff\xd8\xff a picture %d" % picture.id)
    return made


@pytest.fixture
def narrow(ledger_settings: LedgerSettings) -> Iterator[Ledger]:
    """A ledger in which one job may wait."""
    settings = ledger_settings.model_copy(update={"max_queued_per_tenant": 1})
    with Ledger.open(settings) as opened:
        opened.tenants.register("a", api_key="key-a", webhook_secret="whsec_YQ==")
        yield opened


class Transport(httpx.AsyncHTTPTransport):
    """Notices when a job is refused for now."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        if answer.status_code == 429:
            self.refused.set()
        return answer


class Together(Transport):
    """Gives the results of three jobs together, and erases the others after the first."""

    def __init__(self) -> None:
        super().__init__()
        self._asked, self._erased = asyncio.Barrier(3), asyncio.Event()
        self._is_first = True

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/result"):
            await self._asked.wait()
        if request.method == "DELETE" and not self._is_first:
            await self._erased.wait()
            for _ in range(100):  # the passage ends with the first meanwhile
                await asyncio.sleep(0)
        if request.method == "DELETE" and self._is_first:
            self._is_first = False
            answer = await super().handle_async_request(request)
            self._erased.set()
            return answer
        return await super().handle_async_request(request)


class Hasty(Retries):
    """Comes back sooner than it is told to: half a minute, of a queue that never drained."""

    def delay_s(self, outcome: Outcome, attempt: int, spent_s: float = 0) -> float | None:
        delay_s = super().delay_s(outcome, attempt, spent_s)
        return None if delay_s is None else min(delay_s, 0.1)


class Watch:
    """Counts, and raises when it is told to."""

    def __init__(self, raises: Exception | None = None) -> None:
        self.accepted_jobs = self.most = self.under_way = 0
        self.outcomes: list[int] = []
        self._raises = raises

    def accepted(self, job: Job) -> None:
        self.accepted_jobs += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)

    def ended(self, pictures: Sequence[Picture], result: JobResult) -> None:
        if self._raises:
            raise self._raises
        self.under_way -= 1
        assert len(pictures) == len(result.images)
        self.outcomes += [picture.id for picture in pictures]


def working(
    ledger: Ledger, begin: Callable[[], object] = lambda: None
) -> AbstractContextManager[None]:
    """A worker that finds the same in each picture, once it begins."""
    worker = Worker(ledger, DEMO_MODEL)

    def work(stop: Event) -> None:
        begin()
        while not stop.wait(0.02):
            for claim in ledger.jobs.claim(DEMO_MODEL, worker="w", max_images=8):
                worker.try_to_finish(claim, *[SEEN] * len(claim.job.images))

    return beside(work)


def send(url: str, pictures: list[Picture], watch: Watch, **options: object) -> None:
    transport = options.get("transport")
    assert transport is None or isinstance(transport, Transport)
    key, jobs = str(options.get("key", "key-a")), options.get("jobs", 3)
    assert isinstance(jobs, int)

    async def run() -> None:
        async with AsyncClient(url, key, retries=Hasty(), transport=transport) as client:
            await Passage(client, DEMO_MODEL, masks=True, jobs=jobs).run(pictures, watch)

    asyncio.run(run())


def test_a_full_queue_is_waited_for_and_nothing_stays_behind(
    narrow: Ledger, pictures: list[Picture]
) -> None:
    transport, watch = Transport(), Watch()
    with (
        serving(ServerSettings(), narrow) as url,
        working(narrow, lambda: transport.refused.wait(60)),
    ):
        send(url, pictures, watch, transport=transport)
    assert transport.refused.is_set()
    assert sorted(watch.outcomes) == [picture.id for picture in pictures]
    assert watch.accepted_jobs == 3
    assert narrow.jobs.list("a") == ([], None)


def test_no_more_jobs_are_under_way_than_asked_for(narrow: Ledger, pictures: list[Picture]) -> None:
    watch = Watch()
    with serving(ServerSettings(), narrow) as url, working(narrow):
        send(url, pictures, watch, jobs=1)
    assert (watch.accepted_jobs, watch.most) == (3, 1)


def test_an_error_ends_it_and_takes_the_jobs_back(ledger: Ledger, pictures: list[Picture]) -> None:
    ledger.tenants.register("a", api_key="key-a", webhook_secret="whsec_YQ==")
    watch = Watch(raises=ServiceError("that will not do"))
    with serving(ServerSettings(), ledger) as url, working(ledger):
        with pytest.raises(ServiceError, match="that will not do"):
            send(url, pictures, watch)
        assert ledger.jobs.list("a") == ([], None)


def test_jobs_that_fail_together_are_all_taken_back(
    ledger: Ledger, pictures: list[Picture]
) -> None:
    ledger.tenants.register("a", api_key="key-a", webhook_secret="whsec_YQ==")
    watch = Watch(raises=ServiceError("that will not do"))
    with serving(ServerSettings(), ledger) as url, working(ledger):
        with pytest.raises(ServiceError, match="that will not do"):
            send(url, pictures, watch, transport=Together())
        assert ledger.jobs.list("a") == ([], None)


def test_a_key_that_may_not_erase_leaves_jobs_that_have_ended(
    ledger: Ledger, pictures: list[Picture]
) -> None:
    ledger.tenants.register("a", api_key="key-a", webhook_secret="whsec_YQ==")
    scopes = (Scope.ENQUEUE, Scope.READ)
    _, key = ledger.api_keys.create("a", name="narrow", scopes=scopes)
    watch = Watch(raises=ServiceError("that will not do"))
    with (
        serving(ServerSettings(), ledger) as url,
        working(ledger),
        pytest.raises(ServiceError, match="that will not do"),
    ):
        send(url, pictures, watch, key=key)
    left, _ = ledger.jobs.list("a")
    assert left
    assert all(status.state.terminal for status in left)
