"""How the telling of a job's end went, as the job's tenant sees it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .ids import DeliveryId, EndpointId, JobId
from .words import Request, Response, Timestamp


class JobDeliveryAttempt(Response):
    """One line of a delivery's log."""

    at: Timestamp
    outcome: str = Field(description="`delivered`, or a stable reason such as `status-500`.")
    detail: str = ""


class JobDelivery(Response):
    """One receiver that is told of a job's end."""

    id: DeliveryId = Field(description="The `webhook-id` of a callback, the same over attempts.")
    job: JobId
    kind: Literal["callback", "bucket"]
    target: str = Field(
        description="Callback URL when the job ended, or `s3://bucket/prefix`. "
        "An endpoint that moved since is called where it is now."
    )
    endpoint: EndpointId | None = Field(default=None, description="None: a bare URL, or a bucket.")
    state: Literal["pending", "sending", "delivered", "exhausted"] = Field(
        description="`exhausted`: given up until it is replayed."
    )
    created_at: Timestamp
    next_attempt_at: Timestamp | None = Field(default=None, description="While it is `pending`.")
    attempts: tuple[JobDeliveryAttempt, ...] = Field(default=(), description="Oldest first.")


class JobDeliveryList(Response):
    """Answer of `GET /v1/jobs/{id}/deliveries`; empty until the job has ended."""

    deliveries: tuple[JobDelivery, ...]


class DeliveryPage(Response):
    """Answer of `GET /v1/deliveries`, newest first."""

    deliveries: tuple[JobDelivery, ...]
    next_cursor: str | None = Field(
        default=None, description="Give it as `cursor` for the next page."
    )


class DeliveryReplay(Request):
    """Body of `POST /v1/deliveries/replay`."""

    endpoint: EndpointId | None = Field(default=None, description="Of this one; of all by default.")
    cursor: DeliveryId | None = Field(default=None, description="Where the request before stopped.")


class DeliveriesReplayed(Response):
    """Answer of `POST /v1/deliveries/replay`."""

    replayed: int = Field(description="Deliveries that this request made due again.")
    next_cursor: str | None = Field(
        default=None,
        description="There may be more: give it as `cursor` and go on until there is none.",
    )
