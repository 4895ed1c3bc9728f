"""`/score`: AzureML's synchronous contract over a job."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import Depends, Query, Response

from boxyard_ledger import JobStatus, Ledger
from boxyard_schemas import JobRequest, JobResult, JobState, ScoreRequest, ScoreResponse
from boxyard_schemas.catalogue import takes_prompt
from boxyard_schemas.errors import (
    DeadlineExceeded,
    InvalidRequest,
    TooLarge,
    TooManyRequests,
    TooSlow,
    Unavailable,
    UnknownModel,
)

from .access import Caller, guarded_router
from .azureml import read_images, read_parameters, write_answer
from .bodies import describe_body, json_body
from .catalogue import Resolver, served_models
from .deprecation import HEADERS, announce
from .parts import TheAcceptance, TheEndings, TheLane, TheLedger, TheSettings, TheShares
from .problems import refuse, responses
from .results import read_stored
from .settings import ServerSettings

router = guarded_router(prefix="/score", tag="score")


@router.post(
    "",
    response_model_exclude_none=True,
    responses={
        200: {"headers": HEADERS},
        **responses(
            UnknownModel, TooSlow, TooLarge, InvalidRequest, TooManyRequests, DeadlineExceeded
        ),
    },
    openapi_extra=describe_body(ScoreRequest),
)
async def score(
    *,
    request: Annotated[ScoreRequest, Depends(json_body(ScoreRequest))],
    response: Response,
    tenant: Caller,
    acceptance: TheAcceptance,
    endings: TheEndings,
    ledger: TheLedger,
    settings: TheSettings,
    lane: TheLane,
    shares: TheShares,
    model: Annotated[str | None, Query(description="Else the one that the server serves.")] = None,
) -> ScoreResponse:
    """Score pictures and wait for it, as the AzureML cards' endpoints do."""
    named = model or settings.score_model
    job = await shares.run(tenant, _job, request, named, settings, ledger, acceptance.models)
    accepted = await lane.run(tenant, acceptance.accept, tenant, job)
    announce(response, model or "", f"/score?model={accepted.job.model}")
    status = await endings.wait(tenant, accepted.job.id, settings.score_deadline_s)
    return await lane.run(tenant, _conclude, ledger, status)


def _job(
    request: ScoreRequest,
    named: str | None,
    settings: ServerSettings,
    ledger: Ledger,
    models: Resolver,
) -> JobRequest:
    name = named or _only_model(ledger)
    found, _ = models.resolve(name)
    job = JobRequest(
        model=name,
        images=read_images(request.input_data, settings.max_images_per_job),
        parameters=read_parameters(request.params, prompt=takes_prompt(found)),
        expires_in_s=math.ceil(settings.score_deadline_s),
    )
    models.check_served(found)
    return job


def _only_model(ledger: Ledger) -> str:
    served = sorted(served_models(ledger))
    # The only one's worker may be restarting.
    for names in (served, list(ledger.served_models.names())):
        if len(names) == 1:
            return names[0]
    found = f"{len(served)} are served: {', '.join(served)}" if served else "none is served now"
    raise refuse("model", f"say which by ?model=NAME, or set BOXYARD_SCORE_MODEL; {found}")


def _conclude(ledger: Ledger, status: JobStatus) -> ScoreResponse:
    if not status.state.terminal:
        # It may have ended since: then this changes nothing and the result is there.
        status = ledger.jobs.cancel(status.job.tenant, status.job.id)
    if status.result is None:
        raise _without_result(status)
    return write_answer(
        JobResult.model_validate_json(read_stored(ledger, status.job.id, status.result))
    )


def _without_result(status: JobStatus) -> DeadlineExceeded | Unavailable:
    job = status.job.id
    if status.state in (JobState.CANCELLED, JobState.EXPIRED):
        return DeadlineExceeded(
            f"No answer in time; job {job} is {status.state}. POST /v1/jobs waits longer.", job=job
        )
    return Unavailable(f"Job {job} ended as {status.state}: {status.reason}", job=job)
