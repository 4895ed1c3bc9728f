"""How the telling of a job's end went, as the job's tenant sees it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .ids import DeliveryId
from .words import Response, Timestamp


class JobDeliveryAttempt(Response):
    """One line of a delivery's log."""

    at: Timestamp
    outcome: str = Field(description="`delivered`, or a stable reason such as `status-500`.")
    detail: str = ""


class JobDelivery(Response):
    """One receiver that is told of a job's end."""

    id: DeliveryId = Field(description="The `webhook-id` of a callback, the same over attempts.")
    kind: Literal["callback", "bucket"]
    target: str = Field(description="Callback URL, or `s3://bucket/prefix`.")
    state: Literal["pending", "sending", "delivered", "exhausted"]
    created_at: Timestamp
    attempts: tuple[JobDeliveryAttempt, ...] = Field((), description="Oldest first.")


class JobDeliveryList(Response):
    """Answer of `GET /v1/jobs/{id}/deliveries`; empty until the job has ended."""

    deliveries: tuple[JobDelivery, ...]
