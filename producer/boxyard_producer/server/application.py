"""The application, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from boxyard_ledger import Ledger

from . import callbacks, deliveries, endpoints, health, jobs, keys, models, score, uploads
from .acceptance import Acceptance
from .bootstrap import Bootstrap
from .checks import Checks
from .docs import install_docs
from .endings import Endings
from .lane import BlobLane
from .limits import BodyLimit, Room
from .openapi import install_openapi
from .pool import ConnectionPool
from .problems import install_problems
from .readiness import Readiness
from .request_limit import RequestLimit
from .request_queue import RequestQueue
from .requests import MeteredRequests, RequestMeters
from .settings import ServerSettings
from .shares import Shares

VERSION = "1"
"""Of the HTTP contract: it is in every path."""

_ROOMY = frozenset({"/v1/jobs", "/v1/uploads", "/score"})
"""Paths that take pictures."""


def create_app(settings: ServerSettings, ledger: Ledger) -> FastAPI:
    """The front door over an open ledger, which stays the caller's to close."""
    app = FastAPI(
        title="Boxyard",
        version=VERSION,
        description="Asynchronous object detection: jobs in, predictions out.",
        lifespan=_listen,
        # They would send callers to whatever address the Host header names.
        redirect_slashes=False,
        # Theirs load scripts from the internet; ours are in docs.py.
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.settings, app.state.ledger = settings, ledger
    app.state.bootstrap = Bootstrap(settings, ledger)
    checks = Checks(settings, ledger)
    app.state.checks, app.state.acceptance = checks, Acceptance(ledger, checks)
    shares = Shares(settings.max_connections)
    app.state.shares, app.state.endings = shares, Endings(ledger, shares)
    app.state.request_queue = RequestQueue()
    app.state.pool = ConnectionPool(settings.max_connections, shares.end_a_wait)
    app.state.lane, app.state.readiness = BlobLane(), Readiness(ledger, app.state.bootstrap)
    app.state.downloads = Room(
        settings.max_bodies_bytes, limit="result-bytes", advice="Read fewer results at once."
    )
    for room in (jobs, deliveries, uploads, models, endpoints, keys, score, health):
        app.include_router(room.router)
    app.webhooks.include_router(callbacks.router)
    app.add_middleware(RequestLimit, pool=app.state.pool)
    app.add_middleware(BodyLimit, settings=settings, roomy=_ROOMY)
    app.state.meters = RequestMeters()
    app.add_middleware(MeteredRequests, meters=app.state.meters)
    install_problems(app)
    install_openapi(app)
    install_docs(app)
    return app


@asynccontextmanager
async def _listen(app: FastAPI) -> AsyncIterator[None]:
    async with app.state.endings:
        yield
    app.state.lane.close()
    app.state.readiness.close()
