"""AzureML's frames turned into jobs, and results into its answers."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from boxyard_schemas import (
    Base64Image,
    Detection,
    ImageFailure,
    ImageSuccess,
    InputData,
    JobResult,
    Parameters,
    ScoredBox,
    ScoredImage,
    ScoreResponse,
    UrlImage,
)
from boxyard_schemas.errors import InvalidRequest

from .explanations import explain
from .problems import refuse

_ROWS = "input_data.data"
_PROMPT = {"text_prompt", "custom_entities"}


def read_images(frame: InputData, most: int) -> tuple[UrlImage | Base64Image, ...]:
    """The frame's pictures, in order.

    Raises:
        InvalidRequest: more than `most` rows, or a row that is neither a URL nor base64.
    """
    rows = frame.rows()
    if len(rows) > most:
        raise refuse(_ROWS, f"{len(rows)} rows; a request holds at most {most}: split it")
    return tuple(_read_row(index, row) for index, row in enumerate(rows))


def _read_row(index: int, row: str) -> UrlImage | Base64Image:
    beginning = row.lstrip()[:8].lower()
    is_url = beginning.startswith(("http://", "https://"))
    if beginning.startswith("s3://"):
        why = "this is an S3 URI: send it by POST /v1/jobs, or give a signed https URL"
        raise refuse(f"{_ROWS}.{index}", why)
    try:
        if is_url:
            return UrlImage.model_validate({"url": row})
        return Base64Image.model_validate({"base64": row})
    except ValidationError as error:
        (found,) = explain(error.errors(include_input=False))
        raise refuse(f"{_ROWS}.{index}", found["what"]) from None


def read_parameters(params: dict[str, Any], *, prompt: bool) -> Parameters:
    """The cards know no thresholds: every instance, unless the caller uses our names.

    Args:
        params: as the caller wrote them; names that are not ours do nothing.
        prompt: whether the model takes one. Every card's signature has `text_prompt` and
            `custom_entities`; a model with classes of its own does not heed them.

    Raises:
        InvalidRequest: a parameter of ours has a value that it cannot have.
    """
    heeded = Parameters.model_fields.keys() - (set() if prompt else _PROMPT)
    ours = {name: value for name, value in params.items() if name in heeded}
    try:
        return Parameters.model_validate({"score_threshold": 0, "max_detections": 1000, **ours})
    except ValidationError as error:
        found = explain(error.errors())[0]
        raise refuse(f"params.{found['where']}", found["what"]) from None


def write_answer(result: JobResult) -> ScoreResponse:
    """The result as the cards give it: all pictures or, as with theirs, none.

    Raises:
        InvalidRequest: pictures could not be read; each row is named.
    """
    failures = [
        {"where": f"{_ROWS}.{index}", "what": f"{outcome.code}: {outcome.detail}"}
        for index, outcome in enumerate(result.images)
        if isinstance(outcome, ImageFailure)
    ]
    if failures:
        detail = "; ".join(f"{each['where']}: {each['what']}" for each in failures)
        raise InvalidRequest(detail, errors=failures, job=result.job)
    return ScoreResponse(
        tuple(_scored(outcome) for outcome in result.images if isinstance(outcome, ImageSuccess))
    )


def _scored(outcome: ImageSuccess) -> ScoredImage:
    boxes = (
        ScoredBox(box=found.box, label=found.label, score=found.score, polygon=_segments(found))
        for found in outcome.boxes
        if found.polygon != ()  # an instance that has no segment left is none
    )
    return ScoredImage(boxes=tuple(boxes))


def _segments(found: Detection) -> tuple[tuple[float, ...], ...] | None:
    """The cards write the segments around holes among the others."""
    return None if found.polygon is None else found.polygon + (found.holes or ())
