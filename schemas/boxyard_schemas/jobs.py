"""A job: what a caller asks for, and how it stands."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StringConstraints

from .ids import EndpointId, JobId
from .images import HttpUrl, ImageSource, S3Uri
from .words import WHOLE, Items, Request, Response, Timestamp

TextPrompt = Annotated[
    str,
    StringConstraints(
        max_length=2000,
        # No control characters, and something beside spaces and full stops.
        pattern=r"^[^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\xa0.][^\x00-\x1f\x7f-\x9f]*$",
    ),
]
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,199}$")]


class JobState(StrEnum):
    """`queued → running → succeeded | failed | cancelled | expired | dead`."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DEAD = "dead"

    @property
    def terminal(self) -> bool:
        """Whether the job has ended."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


MaskForm = Literal["polygon", "outline", "rle", "none"]


class Priority(StrEnum):
    """Jobs of a higher priority are claimed first."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Parameters(Request):
    """How a picture is read and what comes back."""

    score_threshold: StrictFloat = Field(
        default=0.3, ge=0, le=1, description="Drop instances that score lower."
    )
    max_detections: Annotated[StrictInt, WHOLE] = Field(
        default=100, ge=1, le=1000, description="At most this many, best first."
    )
    masks: MaskForm = Field(
        default="polygon",
        description="Form of instance masks, where the model segments: `polygon` through the "
        "centres of a mask's outer pixels, as the AzureML cards give it, `outline` along the edges "
        "of its pixels, `rle` as COCO writes it. Holes stand beside the first two.",
    )
    pixel_boxes: StrictBool = Field(default=False, description="Also give boxes in pixels.")
    text_prompt: TextPrompt | None = Field(
        default=None,
        description="What to look for, where the model takes a prompt; else its own classes. The "
        "model reads at most 256 tokens.",
        examples=["cat. traffic light. person in red"],
    )
    custom_entities: StrictBool = Field(
        default=True,
        description="Whether the prompt names things, with `. ` between them; else it is a "
        "sentence whose noun phrases are looked for.",
    )


class EventType(StrEnum):
    """What a callback may tell: a job ended."""

    SUCCEEDED = "job.succeeded"
    FAILED = "job.failed"
    CANCELLED = "job.cancelled"
    EXPIRED = "job.expired"
    DEAD = "job.dead"


class Callback(Request):
    """A signed POST to the caller's URL when the job ends."""

    url: HttpUrl
    events: Items[EventType] = Field(
        default=tuple(EventType), min_length=1, description="Only these; all by default."
    )


class Delivery(Request):
    """Where the result goes, beside staying readable at `/v1/jobs/{id}/result`."""

    callback: Callback | None = None
    endpoint: EndpointId | None = Field(
        default=None, description="A callback set up by `/v1/endpoints`."
    )
    s3: S3Uri | None = Field(
        default=None,
        description="A prefix in a bucket that the operator allows; gets `{job id}.json`.",
    )


class JobRequest(Request):
    """Body of `POST /v1/jobs`."""

    model: ModelName = Field(
        description="mmdet-3 name, or one of its aliases.", examples=["rtmdet-ins_demo"]
    )
    images: Items[ImageSource] = Field(
        min_length=1,
        description="The job's pictures.",
        examples=[[{"url": "https://example.com/yard.jpg", "reference": "yard"}]],
    )
    parameters: Parameters = Parameters()
    delivery: Delivery = Delivery()
    priority: Priority = Priority.NORMAL
    expires_in_s: Annotated[StrictInt, Field(ge=1, le=30 * 86400), WHOLE] | None = Field(
        default=None, description="Give up when not started within so many seconds."
    )
    metadata: dict[
        Annotated[str, StringConstraints(min_length=1, max_length=64)],
        Annotated[str, StringConstraints(max_length=512)],
    ] = Field(default={}, max_length=16, description="Comes back with the job and its events.")


class ImageCounts(Response):
    """How many pictures of a job ended how."""

    total: int
    succeeded: int = 0
    failed: int = 0


class Job(Response):
    """How a job stands. Answer of `POST /v1/jobs` and `GET /v1/jobs/{id}`."""

    version: Literal[1] = 1
    id: JobId
    model: ModelName
    state: JobState
    priority: Priority = Priority.NORMAL
    images: ImageCounts
    attempts: int = Field(default=0, description="How often a worker claimed it.")
    created_at: Timestamp
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    expires_at: Timestamp | None = None
    reason: str | None = Field(default=None, description="Why it did not succeed.")
    warnings: tuple[str, ...] = ()
    metadata: dict[str, str] = Field(default={})


class JobPage(Response):
    """Answer of `GET /v1/jobs`, newest first."""

    jobs: tuple[Job, ...]
    next_cursor: str | None = Field(
        default=None, description="Give it as `cursor` for the next page."
    )


class Upload(Response):
    """Answer of `POST /v1/uploads`."""

    id: str
    bytes: int
    sha256: str
