"""What a callback says: Standard Webhooks envelopes about jobs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .jobs import EventType, Job
from .predictions import JobResult
from .words import Response, Timestamp

MAX_EVENT_BYTES = 20_000
"""A larger event leaves `result` out, and of the job what it must; the receiver reads them."""


class EventData(Response):
    """The job as it ended and where its result is."""

    job: Job
    result_url: str | None = Field(
        default=None, description="Read with an API key of the job's tenant."
    )
    result: JobResult | None = Field(
        default=None, description="Inline when the event stays under 20 kB."
    )
    cut: tuple[Literal["metadata", "warnings", "reason"], ...] | None = Field(
        default=None,
        description="Members of `job` that are emptied (`reason`: shortened), since the event "
        "would not stay under 20 kB without its result either; read them at `/v1/jobs/{id}`.",
    )


class Event(Response):
    """Body of a callback. Its `webhook-id` header is the key for dropping duplicates."""

    version: Literal[1] = 1
    type: EventType
    timestamp: Timestamp = Field(description="When the job ended.")
    data: EventData
