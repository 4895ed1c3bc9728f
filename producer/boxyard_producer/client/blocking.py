"""The client for ordinary, blocking code. Each call is `bulk.BulkCalls`' of the same name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Self, Unpack

import httpx

from boxyard_schemas import (
    DeliveryPage,
    Job,
    JobDelivery,
    JobPage,
    Model,
    Upload,
)

from .address import Address
from .bulk import IMAGES_PER_JOB, SUBMITTED_AT_ONCE, WATCHED_AT_ONCE, BulkCalls
from .exchange import BlockingExchange, drain, run
from .images import Image
from .options import JobOptions, ModelOptions, State
from .results import Result
from .retries import Retries


class Client:
    """Calls a Boxyard server; one client may be shared by threads.

    Args:
        url: of the server; `BOXYARD_URL`, else this machine's port 8000.
        api_key: `BOXYARD_API_KEY` by default.
        timeout_s: for each answer, beyond the time that the server is asked to wait.
        retries: what is sent again, when, and for how long.
        transport: of httpx, in place of the network.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout_s: float = 60.0,
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.address = Address.find(url, api_key)
        exchange = BlockingExchange(self.address, timeout_s, transport)
        self._calls = BulkCalls(exchange, retries or Retries())

    def submit(
        self, model: str, images: Image | Iterable[Image], **options: Unpack[JobOptions]
    ) -> Job:
        """Enqueue one job; large local images are uploaded first. See `Calls.submit`."""
        return run(self._calls.submit(model, images, **options))

    def submit_many(
        self,
        model: str,
        images: Iterable[Image],
        *,
        images_per_job: int = IMAGES_PER_JOB,
        at_once: int = SUBMITTED_AT_ONCE,
        **options: Unpack[JobOptions],
    ) -> Iterator[Job]:
        """Enqueue pictures as jobs, and give each once it is accepted, in the pictures' order.

        Nothing is sent before the first is asked for. See `BulkCalls.submit_many`.
        """
        made = self._calls.submit_many(
            model, images, images_per_job=images_per_job, at_once=at_once, **options
        )
        return drain(made)

    def as_completed(
        self,
        jobs: Iterable[Job | str],
        *,
        at_once: int = WATCHED_AT_ONCE,
        timeout_s: float | None = None,
    ) -> Iterator[Job]:
        """Each job once it has ended, first come first. See `BulkCalls.as_completed`."""
        return drain(self._calls.as_completed(jobs, at_once=at_once, timeout_s=timeout_s))

    def upload(self, image: Image) -> Upload:
        """Send one local picture, a piece at a time; jobs name it by the upload's id."""
        return run(self._calls.upload(image))

    def job(self, job_id: str) -> Job:
        """How a job stands."""
        return run(self._calls.job(job_id))

    def wait(self, job_id: str, timeout_s: float | None = None) -> Job:
        """The job once it has ended; `DeadlineExceeded` when it has not in time."""
        return run(self._calls.wait(job_id, timeout_s))

    def result(self, job_id: str) -> Result:
        """What the model found; `NotFinished` when there is no result, or none yet."""
        return run(self._calls.result(job_id))

    def page(self, state: State | None = None, cursor: str | None = None) -> JobPage:
        """One page of this tenant's jobs, newest first."""
        return run(self._calls.page(state, cursor))

    def iter_jobs(self, state: State | None = None) -> Iterator[Job]:
        """This tenant's jobs, newest first, read page by page."""
        return drain(self._calls.iter_jobs(state))

    def cancel(self, job_id: str) -> Job:
        """Cancel a job; one that has ended stays as it is."""
        return run(self._calls.cancel(job_id))

    def replay(self, job_id: str) -> Job:
        """Enqueue a dead job again; `Conflict` when it is not dead."""
        return run(self._calls.replay(job_id))

    def delete(self, job_id: str) -> None:
        """Erase a job with all that belongs to it alone."""
        run(self._calls.delete(job_id))

    def deliveries(self, job_id: str) -> tuple[JobDelivery, ...]:
        """Where a job's end is told, and how that went; none before it has ended."""
        return run(self._calls.deliveries(job_id))

    def exhausted_page(self, cursor: str | None = None) -> DeliveryPage:
        """One page of this tenant's deliveries that were given up, newest first."""
        return run(self._calls.exhausted_page(cursor))

    def exhausted(self) -> Iterator[JobDelivery]:
        """This tenant's deliveries that were given up, newest first, read page by page."""
        return drain(self._calls.exhausted())

    def replay_delivery(self, delivery_id: str) -> JobDelivery:
        """Make a delivery that has ended due again; `Conflict` when it has not."""
        return run(self._calls.replay_delivery(delivery_id))

    def replay_exhausted(self, endpoint: str | None = None) -> int:
        """Make every delivery that was given up, or one endpoint's, due again; how many."""
        return run(self._calls.replay_exhausted(endpoint))

    def models(self, **filters: Unpack[ModelOptions]) -> tuple[Model, ...]:
        """Models that jobs may name, and who serves them; all, or those that fit the filters."""
        return run(self._calls.models(**filters))

    def model(self, name: str) -> Model:
        """One model, by any of its names; `UnknownModel` with near names."""
        return run(self._calls.model(name))

    def close(self) -> None:
        """Close the connections; see `BulkCalls.close`."""
        run(self._calls.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
