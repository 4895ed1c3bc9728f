"""What a client can do, written once for both clients."""

from __future__ import annotations

import errno
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Unpack

import httpx

from boxyard_schemas import (
    Base64Image,
    DeliveriesReplayed,
    DeliveryPage,
    ImageSource,
    Job,
    JobDelivery,
    JobDeliveryList,
    JobPage,
    Model,
    ModelList,
    Upload,
    UploadImage,
)
from boxyard_schemas.errors import DeadlineExceeded, InvalidRequest, TooLarge
from boxyard_schemas.inline import ImageText

from . import requests
from .answers import Outcome, accept, read
from .deprecation import warn_of_old_name
from .exchange import Exchange
from .images import Image, Inline, LocalImage, place, several
from .options import JobOptions, ModelOptions, State
from .requests import Request
from .results import Result
from .retries import Retries, retry_after_s

_HELD_S = 20
_BETWEEN_POLLS_S = 0.2
_PAGE = 100


class Calls:
    """The calls, over any exchange. Each raises errors of `boxyard_schemas.errors`."""

    def __init__(self, exchange: Exchange, retries: Retries) -> None:
        self._exchange, self._retries = exchange, retries

    async def submit(
        self, model: str, images: Image | Iterable[Image], **options: Unpack[JobOptions]
    ) -> Job:
        """Enqueue one job; local images are checked before it, and large ones uploaded.

        Args:
            model: any name that the model answers to.
            images: one image or several: paths, bytes, open files, URLs, `s3://` and `data:` URIs,
                image sources as objects or dicts.
            options: see `JobOptions`.

        Raises:
            InvalidRequest: something does not fit the contract, or an image has no bytes.
            UnknownModel: with near names.
            OSError: a local image cannot be read; `filename` names it.
            TypeError: something is no image.
        """
        answer = await self._submit(model, several(images), options)
        job = read(answer, Job)
        warn_of_old_name(answer, model, job.model)
        return job

    async def upload(self, image: Image) -> Upload:
        """Send one local picture, a piece at a time; jobs name it by the upload's id.

        Raises:
            TypeError: it is no path, open file or bytes.
            OSError: it cannot be read.
        """
        found = place(image)
        if not isinstance(found, LocalImage):
            raise TypeError("only a path, an open file or bytes can be uploaded")
        return await self._upload(found)

    async def job(self, job_id: str) -> Job:
        """How a job stands."""
        return read(await self._ask(requests.job(job_id)), Job)

    async def wait(self, job_id: str, timeout_s: float | None = None) -> Job:
        """The job once it has ended, however it ended.

        Raises:
            DeadlineExceeded: it has not after `timeout_s` seconds; it goes on.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = _HELD_S if deadline is None else deadline - time.monotonic()
            held_s = max(0, min(_HELD_S, int(left_s)))
            job = read(await self._ask(requests.job(job_id, wait_s=held_s)), Job)
            if job.state.terminal:
                return job
            if left_s <= 0:
                raise DeadlineExceeded(f"{job_id} is {job.state} after {timeout_s} s.", job=job_id)
            await self._exchange.pause(min(_BETWEEN_POLLS_S, left_s))

    async def result(self, job_id: str) -> Result:
        """What the model found.

        Raises:
            NotFinished: the job has no result, or none yet.
        """
        return read(await self._ask(requests.result(job_id)), Result)

    async def page(self, state: State | None = None, cursor: str | None = None) -> JobPage:
        """One page of this tenant's jobs, newest first."""
        return read(await self._ask(requests.jobs(state, _PAGE, cursor)), JobPage)

    async def cancel(self, job_id: str) -> Job:
        """Cancel a job; one that has ended stays as it is."""
        return read(await self._ask(requests.cancel(job_id)), Job)

    async def replay(self, job_id: str) -> Job:
        """Enqueue a dead job again, as if it had never been tried.

        Raises:
            Conflict: it is not dead.
        """
        return read(await self._ask(requests.replay(job_id)), Job)

    async def delete(self, job_id: str) -> None:
        """Erase a job with its results, its deliveries and the pictures that it alone names.

        Raises:
            UnknownJob: there is none, or an earlier try whose answer was lost has erased it.
        """
        await self._ask(requests.delete(job_id))

    async def deliveries(self, job_id: str) -> tuple[JobDelivery, ...]:
        """Where a job's end is told, and how that went; none before it has ended."""
        return read(await self._ask(requests.deliveries(job_id)), JobDeliveryList).deliveries

    async def exhausted_page(self, cursor: str | None = None) -> DeliveryPage:
        """One page of this tenant's deliveries that were given up, newest first."""
        return read(await self._ask(requests.exhausted(_PAGE, cursor)), DeliveryPage)

    async def replay_delivery(self, delivery_id: str) -> JobDelivery:
        """Make a delivery that has ended due again.

        Raises:
            Conflict: it has not ended.
        """
        return read(await self._ask(requests.replay_delivery(delivery_id)), JobDelivery)

    async def replay_exhausted(self, endpoint: str | None = None) -> int:
        """Make every delivery that was given up, or one endpoint's, due again; how many."""
        total = 0
        cursor: str | None = None
        while True:
            answer = await self._ask(requests.replay_exhausted(endpoint, cursor))
            replayed = read(answer, DeliveriesReplayed)
            total, cursor = total + replayed.replayed, replayed.next_cursor
            if cursor is None:
                return total

    async def models(self, **filters: Unpack[ModelOptions]) -> tuple[Model, ...]:
        """Models that jobs may name, and who serves them.

        Args:
            filters: see `ModelOptions`.

        Raises:
            InvalidRequest: a filter does not fit the contract.
        """
        return read(await self._ask(requests.models(filters)), ModelList).models

    async def model(self, name: str) -> Model:
        """One model, by any of its names.

        Raises:
            UnknownModel: with near names.
        """
        answer = await self._ask(requests.model(name))
        model = read(answer, Model)
        warn_of_old_name(answer, name, model.name)
        return model

    async def _submit(
        self, model: str, images: Iterable[Image], options: JobOptions
    ) -> httpx.Response:
        placed = [place(image) for image in images]  # all are checked before the first is sent
        inline = Inline()
        sources = [await self._sent(each, inline) for each in placed]
        return await self._submit_sources(model, sources, options)

    async def _submit_sources(
        self, model: str, sources: Sequence[ImageSource], options: JobOptions
    ) -> httpx.Response:
        key = options.get("idempotency_key") or uuid.uuid4().hex
        return await self._ask(requests.submit(model, sources, options, key))

    async def _upload(self, image: LocalImage) -> Upload:
        try:
            with _named(image):
                return read(await self._ask(requests.upload(image.content)), Upload)
        except (InvalidRequest, TooLarge) as error:
            raise type(error)(f"{image.name}: {error.detail}", **error.data) from error

    async def _sent(self, image: ImageSource | LocalImage, inline: Inline) -> ImageSource:
        """What a job names the image by; one that is local and does not go inline is uploaded."""
        if not isinstance(image, LocalImage):
            return image
        with _named(image):
            content = await self._exchange.run(partial(inline.take, image))
        if content is not None:
            return Base64Image(base64=ImageText.encode(content), reference=image.reference)
        upload = await self._upload(image)
        return UploadImage(upload=upload.id, reference=image.reference)

    async def _ask(self, request: Request) -> httpx.Response:
        began, attempt = time.monotonic(), 0
        while True:
            outcome = await self._exchange.send(request)
            if _is_refused_poll(request, outcome):
                # The server holds no more polls of this tenant for now: the time passes here.
                await self._exchange.pause(min(request.held_s, retry_after_s(outcome) or 0))
                request = replace(request, params={}, held_s=0)
                continue
            attempt = 1 if retry_after_s(outcome) is not None else attempt + 1
            delay_s = self._retries.delay_s(outcome, attempt, time.monotonic() - began)
            if delay_s is None or not request.repeatable:
                return accept(outcome)
            await self._exchange.pause(delay_s)


@contextmanager
def _named(image: LocalImage) -> Iterator[None]:
    """Inside, an `OSError` has the image's name."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise OSError(error.errno or errno.EIO, why, image.name) from error


def _is_refused_poll(request: Request, outcome: Outcome) -> bool:
    return (
        request.held_s > 0
        and isinstance(outcome, httpx.Response)
        and outcome.status_code == HTTPStatus.TOO_MANY_REQUESTS
    )
