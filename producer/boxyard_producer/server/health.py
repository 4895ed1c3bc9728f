"""`/healthz` and `/readyz`, for those who run the server; they need no key."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from boxyard_schemas.errors import Unavailable

from .parts import TheReadiness
from .problems import responses

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """All is well; anything else is a problem document."""

    status: Literal["ok"] = "ok"


@router.get("/healthz")
async def read_health() -> Health:
    """Whether this process answers."""
    return Health()


@router.get("/readyz", responses=responses(Unavailable))
async def read_readiness(readiness: TheReadiness) -> Health:
    """Whether Redis and the blob store can take work."""
    await readiness.check()
    return Health()
