"""API keys: who calls, and what that caller may do."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StrictFloat, StrictInt, StringConstraints

from .ids import KeyId, Tenant
from .words import WHOLE, Items, Request, Response, Timestamp

_YEAR_S = 366 * 86400
MAX_OVERLAP_S = 30 * 86400
"""What is rotated stays good beside its successor no longer than this."""

KeyName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f]+$")]
OverlapS = Annotated[StrictFloat, Field(ge=0, le=MAX_OVERLAP_S)]


class Scope(StrEnum):
    """What a key may do with what belongs to its own tenant."""

    ENQUEUE = "enqueue"
    """Submit and cancel jobs, send uploads."""
    READ = "read"
    """Read jobs, results, deliveries, models and endpoints."""
    ADMIN = "admin"
    """Everything: also erase, replay, endpoints and keys."""


class ApiKey(Response):
    """An API key, without its text."""

    id: KeyId
    tenant: Tenant
    name: str = Field(description="What its owner calls it.")
    scopes: tuple[Scope, ...]
    created_at: Timestamp
    expires_at: Timestamp | None = Field(
        default=None, description="None: it is good until revoked."
    )

    def may(self, scope: Scope) -> bool:
        """Whether the key's scopes hold this one; `admin` holds all."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


class ApiKeyRequest(Request):
    """Body of `POST /v1/keys`."""

    name: KeyName = Field(description="What its owner calls it.")
    scopes: Items[Scope] = Field(min_length=1, max_length=3)
    expires_in_s: Annotated[StrictInt, Field(ge=1, le=10 * _YEAR_S), WHOLE] | None = Field(
        default=None, description="None: never."
    )


class ApiKeyCreated(ApiKey):
    """Answer where a key is made: the only time that its text is shown."""

    key: str = Field(description="What callers send as `Authorization: Bearer …`.")


class ApiKeyList(Response):
    """Answer of `GET /v1/keys`; expired ones stay listed for a while."""

    keys: tuple[ApiKey, ...]


class Rotation(Request):
    """Body where a key or a secret is rotated."""

    overlap_s: OverlapS | None = Field(
        default=None,
        description="The old one stays good so long, in seconds; the server's setting if not.",
    )


class WebhookSecret(Response):
    """Answer of `POST /v1/webhook-secret/rotate`: the only time that the secret is shown."""

    secret: str = Field(description="Standard Webhooks secret, `whsec_…`.")
