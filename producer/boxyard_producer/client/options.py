"""What a caller may say beside the images, as objects, as names or as dicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypedDict

from boxyard_schemas import Delivery, EventType, JobState, MaskForm, Parameters, Priority
from boxyard_schemas.catalogue import Task

PriorityName = Literal["high", "normal", "low"]
StateName = Literal["queued", "running", "succeeded", "failed", "cancelled", "expired", "dead"]
EventName = Literal["job.succeeded", "job.failed", "job.cancelled", "job.expired", "job.dead"]

State = JobState | StateName


class ParameterMembers(TypedDict, total=False):
    """`Parameters` as a dict."""

    score_threshold: float
    max_detections: int
    masks: MaskForm
    pixel_boxes: bool
    text_prompt: str | None
    custom_entities: bool


class _CallbackUrl(TypedDict):
    url: str


class CallbackMembers(_CallbackUrl, total=False):
    """`Callback` as a dict."""

    events: list[EventName | EventType] | tuple[EventName | EventType, ...]


class DeliveryMembers(TypedDict, total=False):
    """`Delivery` as a dict."""

    callback: CallbackMembers | None
    endpoint: str | None
    s3: str | None


class JobOptions(TypedDict, total=False):
    """What a job may say beside its model and its images."""

    parameters: Parameters | ParameterMembers
    delivery: Delivery | DeliveryMembers
    priority: Priority | PriorityName
    expires_in_s: int | None
    metadata: Mapping[str, str]
    idempotency_key: str
    """Twice the same key is one job. A fresh one by default, so that retries are safe."""


class ModelOptions(TypedDict, total=False):
    """Which models are listed: those that fit everything that is not None."""

    task: Task | None
    text: str | None
    """Words, each in the name, the family or the paper's title."""
    family: str | None
    min_box_ap: float | None
    """In percent."""
    min_mask_ap: float | None
    max_size: int | None
    """Of the input's longer side, in pixels."""
    served: bool | None
