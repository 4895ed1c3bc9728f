"""Who calls: an API key names a tenant, before anything of the body is read."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.concurrency import run_in_threadpool

from boxyard_ledger import Ledger
from boxyard_schemas.errors import Unauthorized, Unavailable

from .problems import responses

_documented = [
    Security(HTTPBearer(auto_error=False, description="An API key.")),
    Security(APIKeyHeader(name="X-API-Key", auto_error=False)),
]


class _KnownCallerRoute(APIRoute):
    """A dependency would come too late: FastAPI reads the whole body before it solves any."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_known_caller(request: Request) -> Response:
            request.state.tenant = await run_in_threadpool(_authenticate, request)
            return await handle(request)

        return handle_known_caller


def guarded_router(*, prefix: str, tag: str) -> APIRouter:
    """A router that lets in callers with an API key alone."""
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        route_class=_KnownCallerRoute,
        dependencies=_documented,
        responses=responses(Unauthorized, Unavailable),
    )


def _authenticate(request: Request) -> str:
    """The tenant of the request's key.

    Raises:
        Unauthorized: no key, or one that nobody has.
    """
    key = _key(request)
    if key is None:
        raise Unauthorized("Send an API key: `Authorization: Bearer KEY`, or `X-API-Key: KEY`.")
    ledger: Ledger = request.app.state.ledger
    tenant = ledger.tenants.authenticate(key)
    if tenant is None:
        raise Unauthorized("This API key is not known here. `boxyard up` prints one.")
    return tenant


def _key(request: Request) -> str | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    return request.headers.get("x-api-key")


async def _tenant(request: Request) -> str:
    tenant: str = request.state.tenant
    return tenant


Caller = Annotated[str, Depends(_tenant)]
"""The tenant that calls."""
