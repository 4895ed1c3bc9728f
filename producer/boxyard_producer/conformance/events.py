"""Events of jobs that do not exist, in the bytes that the service would send."""

from __future__ import annotations

import json
import re
from typing import Any

from boxyard_schemas import (
    MAX_EVENT_BYTES,
    Box,
    Detection,
    Event,
    EventData,
    EventType,
    ImageCounts,
    ImageFailure,
    ImageInfo,
    ImageSuccess,
    Job,
    JobResult,
    JobState,
    Provenance,
    new_id,
)
from boxyard_schemas.words import utc_now

_MODEL = "consumer-test"
_METADATA = {"boxyard": "consumer-test", "aisle": "Getränke, 飲料 🥫"}
"""Letters outside ASCII travel as UTF-8."""

Members = dict[str, Any]


def succeeded(*, job_id: str | None = None) -> Members:
    """A job of two pictures, one of which was read; its result is in the event."""
    job = _job(JobState.SUCCEEDED, job_id, ImageCounts(total=2, succeeded=1, failed=1))
    return _event(job, result=_result(job))


def linked(result_url: str) -> Members:
    """A job whose result is where the link leads, as it is of most."""
    named = re.search(r"job_[0-9a-f]{32}", result_url)
    job_id = named[0] if named else None
    job = _job(JobState.SUCCEEDED, job_id, ImageCounts(total=1, succeeded=1))
    return _event(job, result_url=result_url)


def without_result(state: JobState, *, job_id: str | None = None) -> Members:
    """A job that ended so, with neither a result nor a link to one."""
    return _event(_job(state, job_id, ImageCounts(total=2)))


def large() -> bytes:
    """An event one byte under the bound."""
    event = succeeded()
    picture = event["data"]["result"]["images"][1]
    picture["detail"] += "." * (MAX_EVENT_BYTES - 1 - len(encode(event)))
    return encode(event)


def encode(event: Members) -> bytes:
    """As the service writes it: without spaces, in UTF-8."""
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()


def encode_otherwise(event: Members) -> bytes:
    """The same event in bytes that nobody gets by parsing it and writing it again."""
    return json.dumps(event, indent=1).replace("/", "\\/").encode() + b" \n"


def _job(state: JobState, job_id: str | None, images: ImageCounts) -> Job:
    now = utc_now()
    return Job(
        id=job_id or new_id("job"),
        model=_MODEL,
        state=state,
        images=images,
        created_at=now,
        finished_at=now,
        reason=None if state is JobState.SUCCEEDED else "This is a test of the consumer.",
        metadata=_METADATA,
    )


def _event(job: Job, **told: Any) -> Members:
    assert job.finished_at is not None
    data = EventData(job=job, **told)
    event = Event(type=EventType(f"job.{job.state}"), timestamp=job.finished_at, data=data)
    return event.model_dump(mode="json", exclude_none=True)


def _result(job: Job) -> JobResult:
    box = Box(topX=0.0, topY=0.25, bottomX=1.0, bottomY=1e-05 + 0.5)
    read = ImageSuccess(
        reference="größe.jpg",
        boxes=(Detection(box=box, label="carton", label_id=0, score=1.0),),
        image=ImageInfo(width=640, height=480, sha256="0" * 64),
    )
    unread = ImageFailure(code="consumer-test", detail="No picture was looked at.")
    made_by = Provenance(
        model=_MODEL,
        weights_sha256="0" * 64,
        config_sha256="0" * 64,
        device="none",
        precision="none",
        versions={},
    )
    return JobResult(job=job.id, images=(read, unread), provenance=made_by, metadata=_METADATA)
