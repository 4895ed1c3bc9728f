"""Callback endpoints that a tenant sets up once and names in its jobs."""

from __future__ import annotations

from pydantic import Field

from .ids import EndpointId
from .images import HttpUrl
from .jobs import EventType
from .words import Request, Response, Timestamp


class EndpointRequest(Request):
    """Body of `POST /v1/endpoints`."""

    url: HttpUrl
    events: tuple[EventType, ...] = Field(
        tuple(EventType), min_length=1, description="Only these; all by default."
    )


class Endpoint(Response):
    """A callback endpoint, without its secret."""

    id: EndpointId
    url: HttpUrl
    events: tuple[EventType, ...]
    created_at: Timestamp


class EndpointCreated(Endpoint):
    """Answer of `POST /v1/endpoints`: the only time that the secret is shown."""

    secret: str = Field(description="Standard Webhooks secret, `whsec_…`.")


class EndpointList(Response):
    """Answer of `GET /v1/endpoints`."""

    endpoints: tuple[Endpoint, ...]
