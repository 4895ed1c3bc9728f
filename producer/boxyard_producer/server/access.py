"""Who calls, and what that caller may do: seen by the key, before anything of the body is read."""

from __future__ import annotations

from asyncio import Semaphore
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from datetime import datetime
from functools import wraps
from inspect import iscoroutinefunction
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Request, Response, Security
from fastapi.params import Security as SecurityDependency
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.concurrency import run_in_threadpool

from boxyard_ledger import Ledger
from boxyard_schemas import ApiKey, Scope
from boxyard_schemas.errors import (
    Forbidden,
    InvalidRequest,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)

from .bodies import JsonRequest
from .bootstrap import Bootstrap
from .problems import responses
from .shares import Shares

_READING = {"GET", "HEAD"}
_turn = ContextVar[Semaphore]("turn")
"""One of the caller's turns, for the endpoint."""
_bearer = HTTPBearer(auto_error=False, description="An API key.")
_documented = [
    Security(_bearer),
    Security(APIKeyHeader(name="X-API-Key", auto_error=False)),
]


class _KnownCallerRoute(APIRoute):
    """A dependency would come too late: FastAPI reads the whole body before it solves any."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if not iscoroutinefunction(endpoint):
            endpoint = _run_in_turn(endpoint)
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle, scope = super().get_route_handler(), self._needed()

        async def handle_known_caller(request: Request) -> Response:
            shares: Shares = request.app.state.shares
            key = await _find_key(request, shares)
            if not key.may(scope):
                raise Forbidden(_lack(key, scope), scope=scope)
            request.state.held.enter_context(shares.serving(key.tenant))
            request.state.key, request.state.connection.known = key, True
            # For every line that is logged on behalf of this request; it has a context of its own.
            named = {word.removesuffix("_id"): text for word, text in request.path_params.items()}
            structlog.contextvars.bind_contextvars(tenant=key.tenant, **named)
            _check_query(request)
            _turn.set(shares.turns.of(key.tenant))
            return await handle(JsonRequest(request.scope, request.receive))

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
        responses=responses(Unauthorized, Forbidden, InvalidRequest, TooManyRequests, Unavailable),
    )


def needs(scope: Scope) -> Any:
    """Another scope for one operation, among its `dependencies`."""
    return Security(_bearer, scopes=[scope])


def _run_in_turn(endpoint: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Has an endpoint wait for the caller's turn when its body has come, which may take long."""

    @wraps(endpoint)
    async def run(*args: Any, **options: Any) -> Any:
        async with _turn.get():
            return await run_in_threadpool(endpoint, *args, **options)

    return run


async def _find_key(request: Request, shares: Shares) -> ApiKey:
    """The key that the request shows.

    Raises:
        Unauthorized: it shows none, or one that is not known or has expired.
        Unavailable: Redis is away, or lost its data.
    """
    state, text = request.app.state, _text(request)
    address = request.client.host if request.client else ""
    async with shares.looking_up(text, address):
        key = await run_in_threadpool(_authenticate, state.ledger, state.bootstrap, text)
    shares.remember(text, key.tenant)
    return key


def _check_query(request: Request) -> None:
    """Refuses query parameters that the operation does not have: a mistyped one changes nothing.

    Raises:
        InvalidRequest: naming them.
    """
    if not request.query_params:
        return
    path = request.app.openapi()["paths"][request.scope["route"].path]
    operation = path[request.method.lower()]
    known = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        takes = f"this takes {', '.join(known)}" if known else "this takes none"
        what = f"there is no such query parameter; {takes}"
        errors = [{"where": name[:64], "what": what} for name in unknown[:100]]
        detail = "; ".join(f"{each['where']}: {each['what']}" for each in errors)
        raise InvalidRequest(detail, errors=errors)


def _lack(key: ApiKey, scope: Scope) -> str:
    held = ", ".join(f"`{each}`" for each in key.scopes)
    return f"This needs the scope `{scope}`; the key {key.name!r} has {held}. Use another key."


def _authenticate(ledger: Ledger, bootstrap: Bootstrap, text: str) -> ApiKey:
    """The key of this text.

    Raises:
        Unauthorized: there is none, or it has expired.
        Unavailable: Redis lost its data, and the key perhaps with it.
    """
    key = ledger.api_keys.authenticate(text)
    if key is None:
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


def _text(request: Request) -> str:
    """The key that the request shows.

    Raises:
        Unauthorized: it shows none.
    """
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    if key := request.headers.get("x-api-key", ""):
        return key
    raise Unauthorized("Send an API key: `Authorization: Bearer KEY`, or `X-API-Key: KEY`.")


async def _tenant(request: Request) -> str:
    key: ApiKey = request.state.key
    return key.tenant


Caller = Annotated[str, Depends(_tenant)]
"""The tenant that calls."""
