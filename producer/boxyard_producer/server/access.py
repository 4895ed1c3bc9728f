"""Who calls, and what that caller may do: seen by the key, before anything of the body is read."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Request, Response, Security
from fastapi.params import Security as SecurityDependency
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.concurrency import run_in_threadpool

from boxyard_ledger import Ledger
from boxyard_schemas import ApiKey, Scope
from boxyard_schemas.errors import Forbidden, Unauthorized, Unavailable

from .bootstrap import Bootstrap
from .problems import responses

_READING = {"GET", "HEAD"}
_bearer = HTTPBearer(auto_error=False, description="An API key.")
_documented = [
    Security(_bearer),
    Security(APIKeyHeader(name="X-API-Key", auto_error=False)),
]


class _KnownCallerRoute(APIRoute):
    """A dependency would come too late: FastAPI reads the whole body before it solves any."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle, scope = super().get_route_handler(), self._needed()

        async def handle_known_caller(request: Request) -> Response:
            key = await run_in_threadpool(_authenticate, request)
            if not key.may(scope):
                raise Forbidden(_lack(key, scope), scope=scope)
            request.state.key = key
            # For every line that is logged on behalf of this request; it has a context of its own.
            named = {word.removesuffix("_id"): text for word, text in request.path_params.items()}
            structlog.contextvars.bind_contextvars(tenant=key.tenant, **named)
            return await handle(request)

        return handle_known_caller

    def _needed(self) -> Scope:
        named = [each for each in self.dependencies if isinstance(each, SecurityDependency)]
        for scope in (scope for each in named for scope in each.scopes or ()):
            return Scope(scope)
        return Scope.READ if _READING.issuperset(self.methods or ()) else Scope.ENQUEUE


def guarded_router(*, prefix: str, tag: str) -> APIRouter:
    """A router that lets in callers with an API key alone, to read by `read`, else by `enqueue`."""
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        route_class=_KnownCallerRoute,
        dependencies=_documented,
        responses=responses(Unauthorized, Forbidden, Unavailable),
    )


def needs(scope: Scope) -> Any:
    """Another scope for one operation, among its `dependencies`."""
    return Security(_bearer, scopes=[scope])


def _lack(key: ApiKey, scope: Scope) -> str:
    held = ", ".join(f"`{each}`" for each in key.scopes)
    return f"This needs the scope `{scope}`; the key {key.name!r} has {held}. Use another key."


def _authenticate(request: Request) -> ApiKey:
    """The request's key.

    Raises:
        Unauthorized: no key, one that nobody has, or one that has expired.
        Unavailable: Redis lost its data, and the key perhaps with it.
    """
    text = _text(request)
    if text is None:
        raise Unauthorized("Send an API key: `Authorization: Bearer KEY`, or `X-API-Key: KEY`.")
    ledger: Ledger = request.app.state.ledger
    key = ledger.api_keys.authenticate(text)
    if key is None:
        bootstrap: Bootstrap = request.app.state.bootstrap
        bootstrap.check()  # a Redis that lost its data knows no key
        raise Unauthorized(_why_not(ledger.api_keys.find(text), bootstrap.lost_at))
    return key


def _why_not(known: ApiKey | None, lost_at: datetime | None) -> str:
    # Only who holds the key's whole text gets here with a known one.
    if known and known.expires_at:
        return f"This API key expired at {known.expires_at:%Y-%m-%d %H:%M:%S} UTC: use another."
    unknown = "This API key is not known here, or it was revoked. `boxyard keys create` makes one."
    if lost_at is None:
        return unknown
    return f"{unknown} Redis lost its data before {lost_at:%Y-%m-%d %H:%M:%S} UTC, keys too."


def _text(request: Request) -> str | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    return request.headers.get("x-api-key") or None


async def _tenant(request: Request) -> str:
    key: ApiKey = request.state.key
    return key.tenant


Caller = Annotated[str, Depends(_tenant)]
"""The tenant that calls."""
