"""`/healthz` and `/readyz`, for those who run the server; they need no key."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from boxyard_schemas.errors import SetupError, Unavailable

from .parts import TheBootstrap, TheLane, TheLedger
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
async def read_readiness(ledger: TheLedger, lane: TheLane, bootstrap: TheBootstrap) -> Health:
    """Whether Redis and the blob store can take work."""
    try:
        await run_in_threadpool(ledger.check_server)
    except SetupError as error:
        raise Unavailable(error.detail, retry_after_s=30) from error
    await run_in_threadpool(bootstrap.check)
    await lane.run(ledger.blobs.check)
    return Health()
