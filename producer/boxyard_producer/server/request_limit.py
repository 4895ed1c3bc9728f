"""Which requests are served when connections are short, and what a request holds meanwhile."""

from __future__ import annotations

from contextlib import ExitStack

from starlette.types import ASGIApp, Receive, Scope, Send

from boxyard_schemas.errors import Unavailable

from .pool import ConnectionPool
from .problems import answer

HEALTH_PATHS = frozenset({"/healthz", "/readyz"})
"""They are answered however many connections there are."""

_RETRY_AFTER_S = 2


class RequestLimit:
    """Middleware that refuses requests while there is no connection left for them.

    The request's state has a stack, `held`, for what must be given back when all of its answer is
    written.
    """

    def __init__(self, app: ASGIApp, pool: ConnectionPool) -> None:
        self._app, self._pool = app, pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on when there is room for it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] in HEALTH_PATHS or self._pool.has_room():
            with ExitStack() as held:
                scope.setdefault("state", {})["held"] = held
                await self._app(scope, receive, send)
        else:
            full = Unavailable(
                "The server has as many connections as it may (BOXYARD_MAX_CONNECTIONS).",
                retry_after_s=_RETRY_AFTER_S,
            )
            await answer(full, scope["path"])(scope, receive, send)
