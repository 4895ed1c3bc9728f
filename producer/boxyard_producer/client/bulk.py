"""What a client does with many jobs, written once for both clients."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Unpack

import httpx

from boxyard_schemas import ImageSource, Job, JobDelivery
from boxyard_schemas.errors import DeadlineExceeded, InvalidRequest, UnknownUpload

from . import requests
from .answers import read
from .calls import Calls
from .deprecation import warn_of_old_name
from .exchange import Exchange
from .images import Image, Inline, place, several
from .options import JobOptions, State
from .retries import Retries
from .unusable import Unusable

IMAGES_PER_JOB = 16
SUBMITTED_AT_ONCE = 4
WATCHED_AT_ONCE = 16

_CHECKED_AT_ONCE = 100
_HELD_S = 1
_BETWEEN_ROUNDS_S = 0.05

Jobs = Iterable[Job | str] | AsyncIterable[Job | str]


@dataclass(eq=False)
class Bulk:
    """A caller's submission of many jobs.

    Attributes:
        keyed: whether its jobs carry the caller's key, by which they are found again.
        begun: submissions in order, whose jobs the caller was not given yet.
        unusable: images that were left out of their jobs.
    """

    keyed: bool
    begun: deque[Callable[[], Awaitable[httpx.Response | None]]] = field(default_factory=deque)
    unusable: Unusable = field(default_factory=Unusable)


class BulkCalls(Calls):
    """The calls that take or give many jobs. None holds more of them than it works on."""

    def __init__(self, exchange: Exchange, retries: Retries) -> None:
        super().__init__(exchange, retries)
        self._bulks: set[Bulk] = set()

    async def close(self) -> None:
        """Close the connections, when submissions under way have ended.

        Jobs of a `submit_many` that was left unread, accepted and not given, are cancelled.
        """
        for bulk in list(self._bulks):
            await self._take_back(bulk)
        await self._exchange.close()

    async def submit_many(
        self,
        model: str,
        images: Iterable[Image],
        *,
        images_per_job: int = IMAGES_PER_JOB,
        at_once: int = SUBMITTED_AT_ONCE,
        **options: Unpack[JobOptions],
    ) -> AsyncGenerator[Job, None]:
        """Enqueue images as jobs, and give each once it is accepted, in the images' order.

        Nothing is sent before the first is asked for. While the server has no room the
        submissions wait as their `Retries` say. Jobs that were accepted and not given, because an
        earlier one failed or the caller stopped, are cancelled, unless the caller's key finds them.

        A list, or another collection, is checked before anything is sent. An image that turns out
        later to be unusable, such as one from a generator, is left out of its job; the others are
        sent, and `UnusableImages` is raised after the last job.

        Args:
            model: any name that the model answers to.
            images: as `submit` takes them; those of a generator are read as they are needed.
            images_per_job: at most; the server takes 64 unless its operator set another bound.
            at_once: how many submissions, with their uploads, are under way at most.
            options: of each job. An `idempotency_key` gets the job's number, from 0, behind a dash.

        Raises:
            InvalidRequest: something does not fit the contract.
            UnusableImages: before the first job or after the last; `data["images"]` has the number
                of each in the submission, from 0, and what is wrong with it.
        """
        _refuse_less_than_one(images_per_job=images_per_job, at_once=at_once)
        images = several(images)
        if isinstance(images, Collection):
            await self._check(images)
        bulk = Bulk(keyed="idempotency_key" in options)
        self._bulks.add(bulk)
        parts, warned = enumerate(_parts(images, images_per_job)), False
        try:
            while True:
                for number, part in islice(parts, at_once - len(bulk.begun)):
                    call = self._submit_usable(
                        bulk.unusable,
                        dict(enumerate(part, number * images_per_job)),
                        model,
                        _numbered(options, number),
                    )
                    bulk.begun.append(self._exchange.start(call))
                if not bulk.begun:
                    break
                answer = await bulk.begun[0]()
                bulk.begun.popleft()
                if answer is None:
                    continue
                job = read(answer, Job)
                if not warned:
                    warn_of_old_name(answer, model, job.model)
                    warned = True
                yield job
        finally:
            await self._take_back(bulk)
            self._bulks.discard(bulk)
        bulk.unusable.raise_any("and were left out of their jobs; the others were sent")

    async def as_completed(
        self, jobs: Jobs, *, at_once: int = WATCHED_AT_ONCE, timeout_s: float | None = None
    ) -> AsyncGenerator[Job, None]:
        """Each job once it has ended, however it ended; the first to end comes first.

        Args:
            jobs: jobs or their ids, such as `submit_many` gives: then no more are submitted
                than are watched.
            at_once: how many are watched at most; further ones are read when one has ended.
            timeout_s: for all of them, in seconds.

        What fails in `jobs` is raised when those before it have ended and were given.

        Raises:
            DeadlineExceeded: some have not ended in time; its `jobs` has their ids. They go on.
        """
        _refuse_less_than_one(at_once=at_once)
        _refuse_one(jobs)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        source, more, failure = _ids(jobs), True, None
        watched: list[str] = []
        while more or watched:
            while more and len(watched) < at_once:
                try:
                    watched.append(await anext(source))
                except StopAsyncIteration:
                    more = False
                except Exception as error:  # those taken before are known to nobody else
                    more, failure = False, error
            for job in await self._ended(watched, deadline):
                yield job
        if failure:
            raise failure

    async def iter_jobs(self, state: State | None = None) -> AsyncGenerator[Job, None]:
        """This tenant's jobs, newest first, read page by page."""
        cursor: str | None = None
        while True:
            page = await self.page(state, cursor)
            for job in page.jobs:
                yield job
            if (cursor := page.next_cursor) is None:
                return

    async def exhausted(self) -> AsyncGenerator[JobDelivery, None]:
        """This tenant's deliveries that were given up, newest first, read page by page."""
        cursor: str | None = None
        while True:
            page = await self.exhausted_page(cursor)
            for delivery in page.deliveries:
                yield delivery
            if (cursor := page.next_cursor) is None:
                return

    async def _check(self, images: Collection[Image]) -> None:
        """Looks at every image.

        Raises:
            UnusableImages: some are none.
        """
        unusable = Unusable()
        for number, image in enumerate(images):
            with unusable.note(number):
                place(image)
            if number % _CHECKED_AT_ONCE == 0:
                await self._exchange.pause(0)  # other tasks of an event loop run between
        unusable.raise_any("so nothing was sent")

    async def _submit_usable(
        self, unusable: Unusable, images: Mapping[int, Image], model: str, options: JobOptions
    ) -> httpx.Response | None:
        """Enqueues what can be used of one job's images, by their numbers; none, no job."""
        sources: dict[int, ImageSource] = {}
        inline = Inline()
        for number, image in images.items():
            with unusable.note(number):
                sources[number] = await self._sent(place(image), inline)
        while sources:
            try:
                return await self._submit_sources(model, [*sources.values()], options)
            except (InvalidRequest, UnknownUpload) as error:
                if not unusable.take_out(sources, error):
                    raise
        return None

    async def _ended(self, watched: list[str], deadline: float | None) -> list[Job]:
        """Takes those that have ended off what is watched; none after a while without any."""
        ended = [job for name in watched if (job := await self.job(name)).state.terminal]
        for job in ended:
            watched.remove(job.id)
        if ended or not watched:
            return ended
        if deadline is not None and time.monotonic() >= deadline:
            raise DeadlineExceeded(f"{len(watched)} jobs have not ended in time.", jobs=[*watched])
        await self._hold(watched[0], deadline)
        return []

    async def _hold(self, job_id: str, deadline: float | None) -> None:
        """Lets a moment pass, shorter when the job ends: the oldest is the likeliest to."""
        left_s = float(_HELD_S) if deadline is None else deadline - time.monotonic()
        if left_s >= _HELD_S:
            await self._ask(requests.job(job_id, wait_s=_HELD_S))
        await self._exchange.pause(max(0.0, min(_BETWEEN_ROUNDS_S, left_s)))

    async def _take_back(self, bulk: Bulk) -> None:
        """Cancels jobs that nobody knows of; a submission that failed has left none."""
        while bulk.begun:
            submission = bulk.begun.popleft()
            with suppress(Exception):  # it is told elsewhere, or comes too late to be told
                answer = await submission()
                if answer is not None and not bulk.keyed:
                    await self.cancel(read(answer, Job).id)


def _refuse_less_than_one(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise InvalidRequest(f"{name} is at least 1, not {number}")


def _parts(images: Iterable[Image], size: int) -> Iterator[list[Image]]:
    source = iter(images)
    while part := list(islice(source, size)):
        yield part


def _numbered(options: JobOptions, number: int) -> JobOptions:
    key = options.get("idempotency_key")
    return {**options, "idempotency_key": f"{key}-{number}"} if key else options


def _refuse_one(jobs: Jobs | Job | str) -> None:
    if isinstance(jobs, (Job, str)):
        raise TypeError("as_completed takes several jobs or ids: give a list, or `wait` for one")


async def _ids(jobs: Jobs) -> AsyncGenerator[str, None]:
    if isinstance(jobs, AsyncIterable):
        async for job in jobs:
            yield job if isinstance(job, str) else job.id
        return
    for job in jobs:
        yield job if isinstance(job, str) else job.id
