"""Callback endpoints that a tenant sets up once and names in its jobs."""

from __future__ import annotations

from pydantic import Field, StrictBool

from .ids import EndpointId
from .images import HttpUrl
from .jobs import EventType
from .words import Items, Request, Response, Timestamp


class EndpointRequest(Request):
    """Body of `POST /v1/endpoints`."""

    url: HttpUrl
    events: Items[EventType] = Field(
        default=tuple(EventType), min_length=1, description="Only these; all by default."
    )


class EndpointChange(Request):
    """Body of `PATCH /v1/endpoints/{id}`: what is left out stays as it is."""

    url: HttpUrl | None = None
    events: Items[EventType] | None = Field(default=None, min_length=1)
    disabled: StrictBool | None = Field(
        default=None,
        description="What a disabled endpoint misses is given up, and can be replayed.",
    )


class Endpoint(Response):
    """A callback endpoint, without its secret."""

    id: EndpointId
    url: HttpUrl
    events: tuple[EventType, ...]
    created_at: Timestamp
    disabled_at: Timestamp | None = Field(default=None, description="None: it is enabled.")
    disabled_reason: str | None = None


class EndpointCreated(Endpoint):
    """Answer where an endpoint gets a secret: the only time that it is shown."""

    secret: str = Field(description="Standard Webhooks secret, `whsec_…`.")


class EndpointList(Response):
    """Answer of `GET /v1/endpoints`."""

    endpoints: tuple[Endpoint, ...]
