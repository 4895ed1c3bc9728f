"""`/v1/keys` and `/v1/webhook-secret`: what lets callers in, and what tells receivers who calls."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from boxyard_schemas import (
    ApiKey,
    ApiKeyCreated,
    ApiKeyList,
    ApiKeyRequest,
    Rotation,
    Scope,
    WebhookSecret,
)
from boxyard_schemas.errors import Conflict, InvalidRequest, NotFound

from .access import Caller, guarded_router, needs
from .names import NamedKey
from .parts import TheLedger
from .problems import responses

router = guarded_router(prefix="/v1", tag="keys")

_admin = [needs(Scope.ADMIN)]


async def _overlap_s(ledger: TheLedger, rotation: Rotation | None = None) -> float:
    wanted = rotation.overlap_s if rotation else None
    return ledger.settings.secret_overlap_s if wanted is None else wanted


OverlapS = Annotated[float, Depends(_overlap_s)]
"""How long what is rotated stays good, in seconds."""


@router.post(
    "/keys", status_code=201, dependencies=_admin, responses=responses(Conflict, InvalidRequest)
)
def create_key(request: ApiKeyRequest, tenant: Caller, ledger: TheLedger) -> ApiKeyCreated:
    """Make an API key. Its text is shown this once."""
    made = ledger.api_keys.create(
        tenant, name=request.name, scopes=request.scopes, expires_in_s=request.expires_in_s
    )
    return _show(*made)


@router.get("/keys", dependencies=_admin)
def list_keys(tenant: Caller, ledger: TheLedger) -> ApiKeyList:
    """This tenant's keys, oldest first."""
    return ApiKeyList(keys=tuple(ledger.api_keys.list(tenant)))


@router.post(
    "/keys/{key_id}/rotate",
    status_code=201,
    dependencies=_admin,
    responses=responses(NotFound, Conflict, InvalidRequest),
)
def rotate_key(
    key_id: NamedKey, tenant: Caller, ledger: TheLedger, overlap_s: OverlapS
) -> ApiKeyCreated:
    """Make a key like this one, its text shown this once; for a while the old one is good too."""
    return _show(*ledger.api_keys.rotate(tenant, key_id, overlap_s))


@router.delete(
    "/keys/{key_id}", status_code=204, dependencies=_admin, responses=responses(NotFound)
)
def revoke_key(key_id: NamedKey, tenant: Caller, ledger: TheLedger) -> None:
    """Make a key no good from now on."""
    ledger.api_keys.revoke(tenant, key_id)


@router.post("/webhook-secret/rotate", dependencies=_admin, responses=responses(InvalidRequest))
def rotate_webhook_secret(tenant: Caller, ledger: TheLedger, overlap_s: OverlapS) -> WebhookSecret:
    """Sign callbacks to bare URLs by a new secret, shown this once, and for a while by both."""
    return WebhookSecret(secret=ledger.tenants.rotate_webhook_secret(tenant, overlap_s))


def _show(key: ApiKey, text: str) -> ApiKeyCreated:
    return ApiKeyCreated(**key.model_dump(), key=text)
