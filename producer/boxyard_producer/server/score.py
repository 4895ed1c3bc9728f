"""`/score`: AzureML's synchronous contract over a job."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from boxyard_ledger import JobStatus, Ledger
from boxyard_schemas import (
    Base64Image,
    ImageFailure,
    ImageSuccess,
    JobRequest,
    JobResult,
    JobState,
    Parameters,
    ScoredBox,
    ScoredImage,
    ScoreRequest,
    ScoreResponse,
    UrlImage,
)
from boxyard_schemas.errors import (
    Conflict,
    DeadlineExceeded,
    InvalidRequest,
    TooLarge,
    Unavailable,
    UnknownModel,
)

from .access import Caller, guarded_router
from .catalogue import resolve, served_models
from .explanations import explain
from .parts import TheAcceptance, TheEndings, TheLedger, TheSettings
from .problems import refuse, responses
from .settings import ServerSettings

router = guarded_router(prefix="/score", tag="score")

_ROWS = "input_data.data"


@router.post(
    "",
    response_model_exclude_none=True,
    responses=responses(
        UnknownModel, Conflict, TooLarge, InvalidRequest, Unavailable, DeadlineExceeded
    ),
)
async def score(
    *,
    request: ScoreRequest,
    tenant: Caller,
    acceptance: TheAcceptance,
    endings: TheEndings,
    ledger: TheLedger,
    settings: TheSettings,
    model: Annotated[str | None, Query(description="Else the one that the server serves.")] = None,
) -> ScoreResponse:
    """Score pictures and wait for it, as the AzureML cards' endpoints do."""
    job = await run_in_threadpool(_job, request, model, settings, ledger)
    accepted = await run_in_threadpool(acceptance.accept, tenant, job)
    status = await endings.wait(tenant, accepted.job.id, settings.score_deadline_s)
    return await run_in_threadpool(_conclude, ledger, status)


def _job(
    request: ScoreRequest, model: str | None, settings: ServerSettings, ledger: Ledger
) -> JobRequest:
    rows = request.input_data.rows()
    if len(rows) > settings.max_images_per_job:
        raise refuse(
            _ROWS, f"{len(rows)} rows; a request holds at most {settings.max_images_per_job}"
        )
    name, _ = resolve(ledger, model or settings.score_model or _only_model(ledger))
    return JobRequest(
        model=name,
        images=tuple(_source(index, row) for index, row in enumerate(rows)),
        parameters=_parameters(request.params),
        expires_in_s=math.ceil(settings.score_deadline_s),
    )


def _only_model(ledger: Ledger) -> str:
    served = sorted(served_models(ledger))
    if len(served) == 1:
        return served[0]
    found = f"{len(served)} are served: {', '.join(served)}" if served else "none is served now"
    raise refuse("model", f"say which by ?model=NAME, or set BOXYARD_SCORE_MODEL; {found}")


def _source(index: int, row: str) -> UrlImage | Base64Image:
    form = "url" if row.lower().startswith(("http://", "https://")) else "base64"
    kind = UrlImage if form == "url" else Base64Image
    try:
        return kind.model_validate({form: row})
    except ValidationError:
        raise refuse(f"{_ROWS}.{index}", "this is neither a URL nor a picture in base64") from None


def _parameters(params: dict[str, Any]) -> Parameters:
    """The cards know no thresholds: every instance, unless the caller uses our names."""
    ours = {name: value for name, value in params.items() if name in Parameters.model_fields}
    try:
        return Parameters.model_validate({"score_threshold": 0, "max_detections": 1000, **ours})
    except ValidationError as error:
        found = explain(error.errors())[0]
        raise refuse(f"params.{found['where']}", found["what"]) from None


def _conclude(ledger: Ledger, status: JobStatus) -> ScoreResponse:
    if not status.state.terminal:
        # It may have ended since: then this changes nothing and the result is there.
        status = ledger.jobs.cancel(status.job.tenant, status.job.id)
    if status.result is None:
        raise _without_result(status)
    stored = ledger.blobs.get(status.result.key)
    return ScoreResponse(_scored(JobResult.model_validate_json(stored)))


def _without_result(status: JobStatus) -> DeadlineExceeded | Unavailable:
    job = status.job.id
    if status.state in (JobState.CANCELLED, JobState.EXPIRED):
        detail = (
            f"No answer in time; job {job} is {status.state}. Use POST /v1/jobs to wait longer."
        )
        return DeadlineExceeded(detail, job=job)
    return Unavailable(f"Job {job} ended as {status.state}: {status.reason}.", job=job)


def _scored(result: JobResult) -> tuple[ScoredImage, ...]:
    failures = [
        {"where": f"{_ROWS}.{index}", "what": f"{outcome.code}: {outcome.detail}"}
        for index, outcome in enumerate(result.images)
        if isinstance(outcome, ImageFailure)
    ]
    if failures:
        raise InvalidRequest(
            "; ".join(f"{each['where']}: {each['what']}" for each in failures),
            errors=failures,
            job=result.job,
        )
    return _images([outcome for outcome in result.images if isinstance(outcome, ImageSuccess)])


def _images(outcomes: Sequence[ImageSuccess]) -> tuple[ScoredImage, ...]:
    return tuple(
        ScoredImage(
            boxes=tuple(
                ScoredBox(
                    box=found.box, label=found.label, score=found.score, polygon=found.polygon
                )
                for found in outcome.boxes
                if found.polygon != ()  # an instance without a segment left is none
            )
        )
        for outcome in outcomes
    )
