"""The way of a set of pictures through the queue."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from boxyard_schemas import Job, JobResult, JobState, Parameters
from boxyard_schemas.errors import BoxyardError, Forbidden, ServiceError, UnknownJob

from ..client import AsyncClient
from .images import Picture

PICTURES_PER_JOB = 8

_WITHDRAWAL_S = 5.0
"""How long a job that is given up is tried to be erased, for Ctrl-C must end a run whose server is
away; what stays there expires with its retention."""


class Watch(Protocol):
    """Is told how it goes. What it raises ends the passage."""

    def accepted(self, job: Job) -> None:
        """A job is enqueued."""

    def ended(self, pictures: Sequence[Picture], result: JobResult) -> None:
        """These pictures have their outcomes, in order."""


@dataclass(frozen=True)
class Passage:
    """Sends pictures and takes the results, a bounded number of jobs at a time.

    Jobs are erased once their results are read, and when the passage is given up: a set may be
    larger than what the server keeps for one tenant.

    Attributes:
        client: whose patience bounds how long a full queue is waited for.
        model: any name that the model answers to.
        masks: whether masks are wanted.
        jobs: how many are under way at most.
    """

    client: AsyncClient
    model: str
    masks: bool
    jobs: int

    async def run(self, pictures: Sequence[Picture], watch: Watch) -> None:
        """Sends all pictures; returns when each has its outcome.

        Raises:
            BoxyardError: of the first call that failed for good.
        """
        room = asyncio.Semaphore(self.jobs)
        try:
            async with asyncio.TaskGroup() as under_way:
                for start in range(0, len(pictures), PICTURES_PER_JOB):
                    part = pictures[start : start + PICTURES_PER_JOB]
                    under_way.create_task(self._pass(part, watch, room))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _pass(self, part: Sequence[Picture], watch: Watch, room: asyncio.Semaphore) -> None:
        async with room:
            job = await self._submit(part)
            try:
                watch.accepted(job)
                watch.ended(part, await self._result(job))
                await self._erase(job)
            except BaseException:
                await self._withdraw(job)
                raise

    async def _submit(self, part: Sequence[Picture]) -> Job:
        paths = [picture.path for picture in part]
        asked = asyncio.ensure_future(
            self.client.submit(self.model, paths, parameters=self._parameters())
        )
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            await self._take_back(asked)
            raise

    async def _take_back(self, asked: asyncio.Future[Job]) -> None:
        """The server may just have accepted what is given up: then its answer is on the way."""
        await asyncio.wait({asked}, timeout=_WITHDRAWAL_S)
        if asked.done() and not asked.exception():
            await self._withdraw(asked.result())
        asked.cancel()

    def _parameters(self) -> Parameters:
        """Everything that the model gives: pycocotools cuts by itself."""
        return Parameters(
            score_threshold=0.0,
            max_detections=1000,
            masks="rle" if self.masks else "none",
            pixel_boxes=True,
        )

    async def _result(self, job: Job) -> JobResult:
        ended = await self.client.wait(job.id)
        if ended.state not in (JobState.SUCCEEDED, JobState.FAILED):
            raise ServiceError(f"{job.id} ended as {ended.state}: {ended.reason}", job=job.id)
        return await self.client.result(job.id)

    async def _withdraw(self, job: Job) -> None:
        """Erases a job that is given up; being cancelled meanwhile does not stop that.

        When several jobs fail together, the first to be erased ends the passage, and the task group
        then cancels the others while they are being erased.
        """
        erasure = asyncio.ensure_future(self._try_to_erase(job))
        try:
            await asyncio.shield(erasure)
        except asyncio.CancelledError:
            await asyncio.wait({erasure})
            raise

    async def _try_to_erase(self, job: Job) -> None:
        """Erases a job if the server answers in time."""
        with contextlib.suppress(TimeoutError, BoxyardError):  # the first error is the one to say
            async with asyncio.timeout(_WITHDRAWAL_S):
                await self._erase(job)

    async def _erase(self, job: Job) -> None:
        try:
            await self.client.delete(job.id)
        except Forbidden:  # then it goes when its retention is over
            if not (await self.client.job(job.id)).state.terminal:
                await self.client.cancel(job.id)
        except UnknownJob:
            return
