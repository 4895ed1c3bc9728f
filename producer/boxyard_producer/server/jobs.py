"""`/v1/jobs`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from boxyard_ledger import JobStatus
from boxyard_schemas import (
    Base64Image,
    Job,
    JobDeliveryList,
    JobId,
    JobPage,
    JobRequest,
    JobResult,
    JobState,
    Scope,
)
from boxyard_schemas.errors import (
    Conflict,
    IdempotencyConflict,
    InvalidRequest,
    NotFinished,
    TooLarge,
    TooManyRequests,
    TooSlow,
    Unavailable,
    UnknownJob,
    UnknownModel,
    UnknownUpload,
    Unreadable,
)

from .access import Caller, guarded_router, needs
from .bodies import describe_body, json_body
from .deprecation import HEADERS, announce
from .names import NamedJob
from .outbox import list_deliveries
from .parts import (
    TheAcceptance,
    TheDownloads,
    TheEndings,
    TheLane,
    TheLedger,
    TheSettings,
    TheShares,
)
from .problems import responses
from .results import read_stored

router = guarded_router(prefix="/v1/jobs", tag="jobs")

_PIECE = 64 * 2**10

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description=(
            "The same key with the same body is one job, however often it is sent, "
            "for as long as the job is kept."
        ),
    ),
]

Wait = Annotated[
    float,
    Query(ge=0, description="Hold the answer until the job ends, for at most so many seconds."),
]
_SUBMITTED = {
    "Location": {"description": "The job.", "schema": {"type": "string"}},
    **HEADERS,
}


@router.post(
    "",
    status_code=202,
    responses={
        200: {"model": Job, "description": "The job has ended.", "headers": _SUBMITTED},
        202: {"description": "The job is recorded.", "headers": _SUBMITTED},
        **responses(
            UnknownModel,
            UnknownUpload,
            IdempotencyConflict,
            TooSlow,
            TooLarge,
            InvalidRequest,
            TooManyRequests,
        ),
    },
    openapi_extra=describe_body(JobRequest),
)
async def submit_job(
    *,
    request: Annotated[JobRequest, Depends(json_body(JobRequest))],
    response: Response,
    tenant: Caller,
    acceptance: TheAcceptance,
    lane: TheLane,
    shares: TheShares,
    endings: TheEndings,
    settings: TheSettings,
    wait: Wait = 0,
    idempotency_key: IdempotencyKey = None,
    traceparent: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Job:
    """Enqueue one job. Once it is answered it survives any crash.

    With `wait` the answer is 200 when the job has ended by then, however it ended, and 202 with
    the job's present state when it has not.
    """
    accept = partial(acceptance.accept, key=idempotency_key, traceparent=traceparent)
    if any(isinstance(image, Base64Image) for image in request.images):
        status = await lane.run(tenant, accept, tenant, request)
    else:
        status = await shares.run(tenant, accept, tenant, request)
    response.headers["Location"] = f"/v1/jobs/{status.job.id}"
    announce(response, request.model, f"/v1/models/{status.job.model}")
    if wait:
        # The job is recorded: the caller must learn its id, whatever keeps it from waiting.
        with suppress(TooManyRequests, Unavailable, UnknownJob):
            status = await endings.wait(
                tenant, status.job.id, min(wait, settings.max_wait_s), polling=True
            )
        if status.state.terminal:
            response.status_code = HTTPStatus.OK
    return status.view()


@router.get("", responses=responses(InvalidRequest))
def list_jobs(
    *,
    tenant: Caller,
    ledger: TheLedger,
    settings: TheSettings,
    state: JobState | None = None,
    limit: Annotated[
        int, Query(ge=1, description="Jobs on the page, up to the server's cap.")
    ] = 50,
    cursor: Annotated[
        JobId | None, Query(description="A page's `next_cursor`; leave it out for the first page.")
    ] = None,
) -> JobPage:
    """This tenant's jobs, newest first."""
    page, following = ledger.jobs.list(
        tenant, state=state, limit=min(limit, settings.max_page), cursor=cursor
    )
    return JobPage(jobs=tuple(status.view() for status in page), next_cursor=following)


@router.get("/{job_id}", responses=responses(UnknownJob, Unreadable, InvalidRequest))
async def read_job(
    job_id: NamedJob,
    tenant: Caller,
    settings: TheSettings,
    endings: TheEndings,
    wait: Wait = 0,
) -> Job:
    """How a job stands, at once or when it has ended."""
    status = await endings.wait(tenant, job_id, min(wait, settings.max_wait_s), polling=True)
    return status.view()


@router.get(
    "/{job_id}/result",
    responses={200: {"model": JobResult}, **responses(UnknownJob, NotFinished, Unreadable)},
    response_class=JSONResponse,
)
async def read_result(
    *,
    job_id: NamedJob,
    request: Request,
    tenant: Caller,
    ledger: TheLedger,
    lane: TheLane,
    shares: TheShares,
    downloads: TheDownloads,
) -> Response:
    """What the model found, byte for byte as it was stored."""
    status = await shares.run(tenant, ledger.jobs.get, tenant, job_id)
    if status.result is None:
        raise _no_result(status)
    # Until all of it is written, which is up to the client.
    downloads.take(tenant, status.result.size)
    request.state.held.callback(downloads.give, tenant, status.result.size)
    stored = await lane.run(tenant, read_stored, ledger, job_id, status.result)
    headers = {"ETag": f'"{status.result.sha256}"', "Content-Length": str(len(stored))}
    return StreamingResponse(_pieces(stored), media_type="application/json", headers=headers)


@router.post("/{job_id}/cancel", responses=responses(UnknownJob, Unreadable))
def cancel_job(job_id: NamedJob, tenant: Caller, ledger: TheLedger) -> Job:
    """Cancel a job that has not ended; one that has stays as it is."""
    return ledger.jobs.cancel(tenant, job_id).view()


@router.post(
    "/{job_id}/replay",
    responses=responses(UnknownJob, Conflict),
    dependencies=[needs(Scope.ADMIN)],
)
def replay_job(job_id: NamedJob, tenant: Caller, ledger: TheLedger) -> Job:
    """Enqueue a dead job again, as if it had never been tried."""
    return ledger.jobs.replay(tenant, job_id).view()


@router.delete(
    "/{job_id}",
    status_code=204,
    responses=responses(UnknownJob, Conflict),
    dependencies=[needs(Scope.ADMIN)],
)
async def erase_job(job_id: NamedJob, tenant: Caller, ledger: TheLedger, lane: TheLane) -> None:
    """Erase a job with its results, its deliveries and the pictures that it alone names.

    One that has not ended is cancelled first.
    """
    await lane.run(tenant, ledger.jobs.erase, tenant, job_id)


@router.get("/{job_id}/deliveries", responses=responses(UnknownJob))
def list_job_deliveries(job_id: NamedJob, tenant: Caller, ledger: TheLedger) -> JobDeliveryList:
    """Where the end of a job is told, and how that went."""
    ledger.jobs.get(tenant, job_id)
    return list_deliveries(ledger, tenant, job_id)


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    """As a whole it would be copied into the connection's buffer, where no bound counts it."""
    for start in range(0, len(data), _PIECE):
        yield data[start : start + _PIECE]


def _no_result(status: JobStatus) -> NotFinished:
    job = status.job.id
    if status.state.terminal:
        detail = f"Job {job} ended as {status.state} and has no result: {status.reason}"
    else:
        detail = f"Job {job} is {status.state}. Wait with GET /v1/jobs/{job}?wait=30."
    return NotFinished(detail, job=job, state=status.state)
