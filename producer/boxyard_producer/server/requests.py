"""What HTTP requests came, how they were answered and how long that took."""

from __future__ import annotations

import time

import structlog
from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_OTHER = "other"
"""Callers choose paths and methods: what is none of ours is counted together."""
_PROBES = frozenset({"/healthz", "/readyz"})

_log = structlog.get_logger(__name__)


class RequestMeters:
    """The meters of one server; its owner registers them."""

    def __init__(self) -> None:
        self.requests = Counter(
            "boxyard_http_requests",
            "Requests by route, method and status of the answer.",
            ["route", "method", "status"],
            registry=None,
        )
        self.seconds = Histogram(
            "boxyard_http_request_seconds",
            "From a request's head to the end of its answer, long polls included.",
            ["route", "method"],
            buckets=_BUCKETS_S,
            registry=None,
        )


class MeteredRequests:
    """Middleware that counts and logs each request; it stands outside all others."""

    def __init__(self, app: ASGIApp, meters: RequestMeters) -> None:
        self._app, self._meters = app, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on and writes down how it went."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500  # what is answered to an error that passes through here

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = time.perf_counter()
        try:
            await self._app(scope, receive, note)
        finally:
            self._count(scope, status, time.perf_counter() - began)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", _OTHER)
        method = scope["method"] if scope["method"] in _METHODS else _OTHER
        self._meters.requests.labels(route, method, status).inc()
        self._meters.seconds.labels(route, method).observe(seconds)
        if scope["path"] not in _PROBES:
            # Tenant and job are known by now: whoever let the request in wrote them down.
            _log.info(
                "request.answered",
                client=":".join(map(str, scope["client"] or ())),
                method=scope["method"],
                path=scope["path"],
                status=status,
                seconds=round(seconds, 4),
            )
